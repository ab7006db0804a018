"""From files to batches: the data sets' reader and checker, splits, image store, batches, sample data."""

from sa_study.data.dataset import ImageRecord, ReidDataset

__all__ = ["ImageRecord", "ReidDataset"]
