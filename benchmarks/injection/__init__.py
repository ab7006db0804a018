"""Fault injection: drivers of tiny studies that are watched from outside and killed at chosen moments."""
