"""Suggestions: samplers, the history that they learn from, and the trials that a study begins with."""
