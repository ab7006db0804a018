"""Running a study: the only code that drives Ray and Optuna."""
