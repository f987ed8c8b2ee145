#!/bin/bash
# Run once by the image of PostgreSQL, on an empty volume: a user and a database each for Airflow and MLflow.
set -euo pipefail
for name in airflow mlflow; do
    variable=${name^^}_DB_PASSWORD
    psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --set=name="$name" --set=password="${!variable}" <<'SQL'
CREATE USER :"name" PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
