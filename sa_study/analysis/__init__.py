"""What is asked of a finished study: confirm, ablate, evaluate, reproduce, audit, compare."""
