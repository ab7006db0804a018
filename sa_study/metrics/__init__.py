"""Matching figures, their intervals, feature distances and re-ranking.

The package imports nothing by itself: the figures' names are wanted where PyTorch is not.
"""
