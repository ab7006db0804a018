"""Chosen configurations, each trained with several seeds: `confirm` and `ablate`."""
