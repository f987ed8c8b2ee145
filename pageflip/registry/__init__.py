"""MLflow: training runs, model versions, aliases and promotion."""

import os
