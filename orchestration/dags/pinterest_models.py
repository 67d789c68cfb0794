"""Each model as a task of its own, for those who want to see them in Airflow.

Needs astronomer-cosmos, and `target/manifest.json`, which `dbt parse` writes. Without
either there is no such DAG. It lands nothing and has no schedule: the DAG `pinterest`
is the schedule. With DuckDB, one file with one writer, it runs a task at a time. Tests
of the data come last: many of them compare models, so all must be built.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # Airflow 3's command line does not
from pinterest_shared import HOME, PROGRAMS, RUNS, artifact

TARGET = os.environ.get("DBT_TARGET", "duckdb")
MODELS = os.environ.get("PINTEREST_MODELS", "").split()
MANIFEST = artifact("manifest.json")
# dbt works in a copy of the project that is gone after the task.
HERE = {
    "DBT_TARGET_PATH": "target",
    "DBT_LOG_PATH": "logs",
    "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
}
DATABRICKS = {
    "DATABRICKS_HOST": "{{ conn.pinterest_databricks.host }}",
    "DATABRICKS_HTTP_PATH": "{{ conn.pinterest_databricks.extra_dejson.http_path }}",
    "DBT_ENV_SECRET_DATABRICKS_TOKEN": "{{ conn.pinterest_databricks.password }}",
}

if find_spec("cosmos") and MANIFEST.is_file():
    from cosmos import (  # type: ignore[import-not-found]
        DbtDag,
        ExecutionConfig,
        LoadMode,
        ProfileConfig,
        ProjectConfig,
        RenderConfig,
    )
    from cosmos.constants import (  # type: ignore[import-not-found]
        InvocationMode,
        TestBehavior,
        TestIndirectSelection,
    )

    project = ProjectConfig(HOME)
    # As an argument it would become a path that tasks cannot copy on Airflow 3.
    project.manifest_path = MANIFEST

    models = DbtDag(
        dag_id="pinterest_models",
        project_config=project,
        profile_config=ProfileConfig(
            profile_name="pinterest",
            target_name=TARGET,
            profiles_yml_filepath=Path(os.environ.get("DBT_PROFILES_DIR", HOME))
            / "profiles.yml",
        ),
        execution_config=ExecutionConfig(
            dbt_executable_path=str(PROGRAMS / "dbt"),
            invocation_mode=InvocationMode.SUBPROCESS,
            # No test of a part that looks at models beyond it.
            test_indirect_selection=TestIndirectSelection.BUILDABLE,
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_ALL,
            select=MODELS,
        ),
        operator_args={"env": HERE | (DATABRICKS if TARGET == "databricks" else {})},
        schedule=None,
        max_active_tasks=1 if TARGET == "duckdb" else 4,
        doc_md=__doc__,
        **RUNS,
    )
