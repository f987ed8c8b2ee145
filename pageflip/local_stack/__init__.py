"""Airflow and MLflow as local processes, and clients of Airflow's API."""
