"""The sections of `scaling.py`: how costs grow with one size at a time."""
