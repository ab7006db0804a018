"""Sample data drawn by code: who the people are, how they walk, what cameras make of them, the files."""

from sa_study.data.sample.make import make_sample_data

__all__ = ["make_sample_data"]
