"""One training run: trainer, step, features, checkpoint, score and evaluation, without Ray."""
