"""The version, in one place: pyproject.toml reads it here."""

VERSION = "1.0.0"
