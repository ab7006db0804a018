"""Planning: what a study will take, before it is launched."""
