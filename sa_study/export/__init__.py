"""A study for other programs: the network, its trials as tables, a table for a paper."""
