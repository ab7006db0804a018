"""From files to batches: the data sets' reader and checker, splits, image store, batches, sample data."""

from sa_study.data.market1501 import ImageRecord, Market1501

__all__ = ["ImageRecord", "Market1501"]
