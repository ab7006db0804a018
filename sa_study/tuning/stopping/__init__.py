"""Early stopping: rules, their rungs, and the scheduler that asks them."""
