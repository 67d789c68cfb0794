"""The schedule on each Airflow that Amazon MWAA offers: from landing to page."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import airflow_server as airflow
import pytest
from airflow_server import PROJECT, Airflow
from processes import require

STRUCTURE = """
import json, logging, os, warnings
logging.disable()
folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
from airflow.models import DagBag
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    bag = DagBag(folder, include_examples=False)
print(json.dumps({
    "errors": bag.import_errors,
    "warnings": [
        str(each.message) for each in caught if each.filename.startswith(folder)
    ],
    "dags": {
        name: {
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "max_active_tasks": dag.max_active_tasks,
            "timeout": bool(dag.dagrun_timeout),
            "params": sorted(dag.params),
            "tasks": {
                task.task_id: {
                    "then": sorted(task.downstream_task_ids),
                    "retries": task.retries,
                    "backoff": bool(task.retry_exponential_backoff),
                    "timeout": bool(task.execution_timeout),
                    "alerts": bool(task.on_failure_callback),
                }
                for task in dag.tasks
            },
        }
        for name, dag in bag.dags.items()
    },
}))
"""
SECRET = "dapi-made-up-secret"  # noqa: S105 - nobody's
EVENTS = 300


class Alerts(BaseHTTPRequestHandler):
    """Takes what is posted, as a chat tool would."""

    taken: list[dict[str, str]]

    def do_POST(self) -> None:
        self.taken.append(
            json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        )
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def alerts() -> Iterator[tuple[str, list[dict[str, str]]]]:
    taken: list[dict[str, str]] = []
    handler = type("Handler", (Alerts,), {"taken": taken})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()


@pytest.fixture(scope="module", params=airflow.VERSIONS)
def scheduler(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    alerts: tuple[str, list[dict[str, str]]],
) -> Airflow:
    require(airflow.missing(request.param))
    folder = tmp_path_factory.mktemp("airflow")
    dirty = folder / "dirty"
    program = PROJECT / ".venv" / "bin" / "ingest"
    subprocess.run(
        [program, "sample", "--events", str(EVENTS), "--dirt", "--out", dirty],
        check=True,
        capture_output=True,
    )
    alerts[1].clear()
    return Airflow(
        request.param,
        folder,
        {
            "LANDING": str(folder / "landing"),
            "DUCKDB_PATH": str(folder / "pinterest.duckdb"),
            "ANSWERS_PATH": str(folder / "answers.duckdb"),
            "DASHBOARD_PATH": str(folder / "page.html"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "PINTEREST_LAND": f"emit landing --source {dirty} --user-id u "
            f"--landing {folder / 'landing'} --bad-lines land",
            "AIRFLOW_CONN_PINTEREST_ALERTS": json.dumps(
                {"conn_type": "http", "password": alerts[0]}
            ),
            "AIRFLOW_CONN_PINTEREST_DATABRICKS": json.dumps(
                {
                    "conn_type": "databricks",
                    "host": "h",
                    "password": SECRET,
                    "extra": {"http_path": "p"},
                }
            ),
        },
    )


def leaks(said: str) -> list[str]:
    """Return lines with the secret, but for those of Airflow 3 masking it.

    `airflow dags test` shows what its parts say to each other, a scheduler does not.
    """
    lines = said.splitlines()
    return [line for line in lines if SECRET in line and "MaskSecret(" not in line]


def structure(scheduler: Airflow) -> dict[str, Any]:
    done = scheduler.call("python", "-c", STRUCTURE)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_events_come_to_a_page_and_what_is_odd_is_told(
    scheduler: Airflow, alerts: tuple[str, list[dict[str, str]]]
) -> None:
    folder = Path(scheduler.environment["AIRFLOW_HOME"])
    conf = json.dumps({"max_rejected_share": 0.001})
    done = scheduler.call("airflow", "dags", "test", "pinterest", "--conf", conf)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-8000:]
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert (folder / "answers.duckdb").exists()
    assert (folder / "target" / "static_index.html").exists()
    told = [alert["text"] for alert in alerts[1]]
    assert any("records were set aside" in text for text in told), told
    assert any("of all records are rejected" in text for text in told), told
    assert {alert["severity"] for alert in alerts[1]} == {"warning"}
    assert leaks(said) == []


def test_both_dags_are_read_without_error_or_warning(scheduler: Airflow) -> None:
    found = structure(scheduler)
    assert found["errors"] == {}
    assert found["warnings"] == []
    dag = found["dags"]["pinterest"]
    steps = ["land", "freshness", "build", "publish", "show", "health"]
    assert {name: task["then"] for name, task in dag["tasks"].items()} == {
        step: [then] if then else []
        for step, then in zip(steps, [*steps[1:], None], strict=True)
    }
    for task in dag["tasks"].values():
        assert task["retries"] == 2
        assert task["backoff"]
        assert task["timeout"]
        assert task["alerts"]
    assert not dag["catchup"]
    assert dag["max_active_runs"] == 1
    assert dag["timeout"]
    assert dag["params"] == ["full_refresh", "max_rejected_share", "select"]
    models = found["dags"]["pinterest_models"]
    assert models["max_active_tasks"] == 1
    assert any("rpt_users_joined_by_year" in name for name in models["tasks"])


def test_an_old_landing_is_a_warning(
    scheduler: Airflow, alerts: tuple[str, list[dict[str, str]]]
) -> None:
    folder = Path(scheduler.environment["AIRFLOW_HOME"])
    for path in (folder / "landing" / "topics").rglob("*.json*"):
        os.utime(path, (0, 0))
    alerts[1].clear()
    done = scheduler.call(
        "airflow", "tasks", "test", "pinterest", "freshness", "2026-01-01"
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    (told,) = alerts[1]
    assert told["severity"] == "warning"
    assert "nothing was landed for long in source.pinterest.landing." in told["text"]


def test_a_model_that_fails_fails_the_run_with_its_name(
    scheduler: Airflow, tmp_path: Path, alerts: tuple[str, list[dict[str, str]]]
) -> None:
    for name in ("models", "macros", "seeds", "tests/data"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, tmp_path / name)
    model = tmp_path / "models" / "reports" / "rpt_users_joined_by_year.sql"
    model.write_text(model.read_text() + "where no_such_column = 1\n")
    alerts[1].clear()
    done = scheduler.call(
        "airflow",
        "dags",
        "test",
        "pinterest",
        "--conf",
        json.dumps({"select": "rpt_users_joined_by_year"}),
        PINTEREST_HOME=str(tmp_path),
        PINTEREST_VENV=str(PROJECT / ".venv"),
        PINTEREST_LAND="",
        PINTEREST_RETRIES="0",  # their pauses are minutes
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0, said[-8000:]
    assert "dbt build: model.pinterest.rpt_users_joined_by_year: " in said
    assert "no_such_column" in said
    assert any(
        alert["severity"] == "error" and "build failed" in alert["text"]
        for alert in alerts[1]
    ), alerts[1]
    assert leaks(said) == []
