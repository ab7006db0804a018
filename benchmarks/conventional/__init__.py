"""Conventional implementations, as a user would write them without this project, to compare with."""
