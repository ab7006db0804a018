"""What every part uses and that knows of none: errors, files, randomness, provenance, redaction."""
