#!/bin/sh
# Amazon MWAA runs this before Airflow starts: dbt and `ingest` get an environment of
# their own. The project is the folder `pinterest` beside the DAGs.
set -eu

# Yours: where the landing is, and what `ingest` lands there.
export LANDING=s3://BUCKET/raw
export PINTEREST_LAND="land kinesis --user-id 12a740a19697 --region eu-west-1 --landing $LANDING"

export PINTEREST_HOME=/usr/local/airflow/dags/pinterest
export PINTEREST_VENV=/usr/local/airflow/pinterest
export DBT_PROFILES_DIR=/tmp/pinterest
export DBT_TARGET_PATH=/tmp/pinterest/target DBT_LOG_PATH=/tmp/pinterest/logs
export DUCKDB_PATH=/tmp/pinterest/pinterest.duckdb
export ANSWERS_PATH=/tmp/pinterest/answers.duckdb DASHBOARD_PATH=/tmp/pinterest/page.html

mkdir -p "$DBT_TARGET_PATH"
cp "$PINTEREST_HOME/profiles.yml.example" "$DBT_PROFILES_DIR/profiles.yml"
# Schedulers and workers read the second DAG from what `dbt parse` wrote before the copy.
if [ -f "$PINTEREST_HOME/target/manifest.json" ]; then
    cp "$PINTEREST_HOME/target/manifest.json" "$DBT_TARGET_PATH"
fi
if [ "${MWAA_AIRFLOW_COMPONENT:-worker}" = worker ]; then
    export PIP_USER=false
    python3 -m venv "$PINTEREST_VENV"
    "$PINTEREST_VENV/bin/pip" install --quiet --no-deps --require-hashes \
        -r "$PINTEREST_HOME/requirements/run.txt"
    "$PINTEREST_VENV/bin/pip" install --quiet --no-deps --no-build-isolation "$PINTEREST_HOME"
    export PIP_USER=true
fi
