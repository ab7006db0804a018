"""Early stopping: schedulers, their rungs and their rules."""
