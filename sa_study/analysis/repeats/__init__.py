"""Configurations trained again with several seeds: `confirm` and `ablate`."""
