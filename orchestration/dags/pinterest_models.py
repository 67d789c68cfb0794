"""Each model as a task of its own, for those who want to see them in Airflow.

Needs astronomer-cosmos, and `target/manifest.json`, which `dbt parse` writes. Without
either there is no such DAG. It lands nothing and has no schedule: the DAG `pinterest`
is the schedule. With DuckDB, one file with one writer, it runs a task at a time.
"""

import os
from importlib.util import find_spec
from pathlib import Path

HOME = Path(os.environ.get("PINTEREST_HOME", Path(__file__).resolve().parents[2]))
PROGRAMS = Path(os.environ.get("PINTEREST_VENV", HOME / ".venv")) / "bin"
TARGET = os.environ.get("DBT_TARGET", "duckdb")
MANIFEST = HOME / os.environ.get("DBT_TARGET_PATH", "target") / "manifest.json"

if find_spec("cosmos") and MANIFEST.is_file():
    from cosmos import (  # type: ignore[import-not-found]
        DbtDag,
        ExecutionConfig,
        LoadMode,
        ProfileConfig,
        ProjectConfig,
        RenderConfig,
    )
    from cosmos.constants import InvocationMode  # type: ignore[import-not-found]

    models = DbtDag(
        dag_id="pinterest_models",
        project_config=ProjectConfig(HOME, manifest_path=MANIFEST),
        profile_config=ProfileConfig(
            profile_name="pinterest",
            target_name=TARGET,
            profiles_yml_filepath=HOME / "profiles.yml",
        ),
        execution_config=ExecutionConfig(
            dbt_executable_path=str(PROGRAMS / "dbt"),
            invocation_mode=InvocationMode.SUBPROCESS,
        ),
        render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        max_active_tasks=1 if TARGET == "duckdb" else 4,
        doc_md=__doc__,
        tags=["pinterest"],
    )
