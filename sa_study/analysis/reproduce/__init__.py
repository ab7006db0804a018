"""A trial rerun from its record, and whether it gives the same figures and weights."""
