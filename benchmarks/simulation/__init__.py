"""Simulated studies: landscapes with a known optimum, and the methods that search them."""
