"""MLflow: training runs, model versions, aliases and promotion."""
