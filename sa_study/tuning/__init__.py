"""Running a study with Ray and Optuna: launches, samplers, early stopping, plans and budgets."""
