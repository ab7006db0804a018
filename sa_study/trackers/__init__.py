"""Experiment trackers: a process beside the driver shows there what the study's own records hold."""
