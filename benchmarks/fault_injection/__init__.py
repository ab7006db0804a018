"""Fault injection: tiny studies whose processes are watched from outside and killed at chosen moments."""
