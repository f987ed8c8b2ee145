"""Helpers that the DAG files import: operators, task commands, the stage graph, the trigger form and alerts."""
