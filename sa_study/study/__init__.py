"""Studies: the only code that knows Ray and Optuna."""
