"""From files to batches: the data sets' reader and checker, splits, image store, batches, sample data."""
