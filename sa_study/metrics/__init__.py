"""Matching figures, their intervals, feature distances and re-ranking.

The package imports nothing by itself: code that needs the figures' names alone does not import PyTorch.
"""
