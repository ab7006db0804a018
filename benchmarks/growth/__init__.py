"""How costs grow with one size at a time: what `scaling.py` measures."""
