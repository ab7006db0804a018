"""Used by all packages and importing none: errors, files, machine, progress, randomness, redaction, text."""
