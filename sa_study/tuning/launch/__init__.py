"""Launches: what they prepare, the cluster they run on, the trainable and what hears of its epochs."""
