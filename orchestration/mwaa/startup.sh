#!/bin/sh
# Amazon MWAA runs this before Airflow starts: dbt and `ingest` get an environment of
# their own. The project is the folder `pinterest` beside the DAGs.
set -eu
export PINTEREST_HOME=/usr/local/airflow/dags/pinterest
export PINTEREST_VENV=/usr/local/airflow/pinterest
export DBT_TARGET_PATH=/tmp/pinterest/target DBT_LOG_PATH=/tmp/pinterest/logs
export DUCKDB_PATH=/tmp/pinterest/pinterest.duckdb
export ANSWERS_PATH=/tmp/pinterest/answers.duckdb DASHBOARD_PATH=/tmp/pinterest/page.html
export PIP_USER=false
mkdir -p /tmp/pinterest
if [ "${MWAA_AIRFLOW_COMPONENT:-worker}" = worker ]; then
    python3 -m venv "$PINTEREST_VENV"
    "$PINTEREST_VENV/bin/pip" install --quiet --no-deps --require-hashes \
        -r "$PINTEREST_HOME/requirements/run.txt"
    "$PINTEREST_VENV/bin/pip" install --quiet --no-deps --no-build-isolation "$PINTEREST_HOME"
    cp -n "$PINTEREST_HOME/profiles.yml.example" /tmp/pinterest/profiles.yml
fi
export DBT_PROFILES_DIR=/tmp/pinterest
export PIP_USER=true
