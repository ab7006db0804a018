"""A study while it runs: the same view in its own terminal, in another one, and in lines."""
