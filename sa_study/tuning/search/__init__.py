"""Suggestions: samplers, the history that they are given, initial trials, duplicates."""
