"""Operators, graph and forms that the DAG files import; orchestrator environment only, no pipeline code."""
