"""TensorBoard files: curves, hyperparameters and the tags of both."""
