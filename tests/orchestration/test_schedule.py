"""The schedule on each Airflow that Amazon MWAA offers: from landing to page."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import airflow_server as airflow
import duckdb
import kafka_broker
import pytest
from airflow_server import PROJECT, Airflow
from confluent_kafka import Producer
from kafka_broker import Broker
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
            "alerts": bool(dag.on_failure_callback),
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
CALLBACKS = """
import json, logging, os, sys
logging.disable()
folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
from airflow.models import DagBag
bag = DagBag(folder, include_examples=False)
dag = bag.dags["pinterest"]
try:  # as Airflow 3 does it for a run that a scheduler gave up
    from airflow.callbacks.callback_requests import DagCallbackRequest
    from airflow.dag_processing.processor import _execute_dag_callbacks
    def ended(reason):
        request = DagCallbackRequest(
            filepath=dag.fileloc, bundle_name="dags-folder", bundle_version=None,
            dag_id=dag.dag_id, run_id=reason, is_failure_callback=True, msg=reason,
        )
        import structlog
        _execute_dag_callbacks(bag, request, structlog.get_logger())
except ImportError:  # and Airflow 2
    from datetime import UTC, datetime
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType
    def ended(reason):
        now = datetime.now(UTC)
        run = dag.create_dagrun(
            run_id=reason, state=DagRunState.RUNNING, execution_date=now,
            data_interval=(now, now), run_type=DagRunType.MANUAL,
        )
        dag.handle_callback(run, success=False, reason=reason)
ended("timed_out")
ended("task_failure")  # of which the task has told

sys.path.append(folder)
from pinterest_shared import tell
from pinterest import too_much_rejected
for wrong in (
    {"conn_type": "http", "host": "https://chat.example.com/hook"},
    {"conn_type": "http", "password": "no url"},
    {"conn_type": "http", "password": "http://127.0.0.1:1/a b"},
    {"conn_type": "http", "password": "http://127.0.0.1:1/"},
):
    os.environ["AIRFLOW_CONN_PINTEREST_ALERTS"] = json.dumps(wrong)
    tell("error", "never comes to anybody")

def rows(**topics):
    keys = ("landed_count", "rejected_count", "dead_letter_count")
    return [
        {"topic": name, **dict(zip(keys, counts))} for name, counts in topics.items()
    ]
before = rows(pin=(10_000_000, 0, 0), geo=(100, 100, 0))
print(json.dumps([
    too_much_rejected(rows(**topics), before, 0.01)
    for topics in (
        {"pin": (10_100_000, 100_000, 0), "geo": (100, 100, 0)},
        {"pin": (10_000_000, 0, 2), "geo": (100, 100, 0)},
        {"pin": (10_000_100, 1, 0), "geo": (100, 100, 0)},
        {"pin": (10_000_000, 0, 0), "user": (50, 1, 0)},
        {"pin": (200, 20, 0)},
    )
]))
"""
PYTHON = r"""#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\necho "$*" >> "%s/asked"\n' "$3" > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""
SECRET = "dapi-made-up-secret"  # noqa: S105 - nobody's
EVENTS = 300
SOAK = "SOAK" in os.environ


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


def of_script(scheduler: Airflow, script: str, **environment: str) -> Any:  # noqa: ANN401 - it is JSON
    """Return what a script says in its last line."""
    done = scheduler.call("python", "-c", script, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def health_numbers(scheduler: Airflow) -> list[dict[str, Any]]:
    """Return what the task `health` of each run gave to Airflow, in order."""
    path = Path(scheduler.environment["AIRFLOW_HOME"]) / "airflow.db"
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "select value from xcom where dag_id = 'pinterest'"
            " and task_id = 'health' and key = 'return_value' order by timestamp"
        ).fetchall()
    found = [json.loads(value) for (value,) in rows]
    return [json.loads(each) if isinstance(each, str) else each for each in found]


def loads(database: Path) -> dict[str, tuple[int, str]]:
    """Return how many rows each incremental model has, and when it got its last."""
    with duckdb.connect(database, read_only=True) as connection:
        names = connection.sql(
            "select table_name from duckdb_columns() where column_name = 'loaded_at'"
            " and table_name in (select table_name from duckdb_tables())"
        ).fetchall()
        found = {
            name: connection.sql(f"select count(*), max(loaded_at) from {name}")
            for (name,) in names
        }
        return {
            name: (count, str(last))
            for name, rows in found.items()
            for count, last in rows.fetchall()
        }


def copy_of_project(folder: Path) -> Path:
    """Return the models in a folder of their own, to break them."""
    for name in ("models", "macros", "seeds", "tests/data"):
        shutil.copytree(PROJECT / name, folder / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


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
    (rejected,) = (text for text in told if "rejected" in text)
    assert "new records in u.pin" in rejected, told
    assert {alert["severity"] for alert in alerts[1]} == {"warning"}
    assert leaks(said) == []
    (numbers,) = health_numbers(scheduler)
    topics = {row["topic"]: row for row in numbers["rpt_pipeline_health"]}
    assert topics.keys() == {"u.pin", "u.geo", "u.user"}
    pins = topics["u.pin"]
    assert f"{pins['rejected_count']} of {pins['landed_count']} new" in rejected
    assert pins["landed_count"] > EVENTS > pins["valid_count"]
    (geo,) = (row for row in numbers["rpt_event_health"] if row["record_type"] == "geo")
    assert geo["event_count"] == topics["u.geo"]["newest_count"] > 0


@pytest.mark.parametrize("scheduler", ["2.11"], indirect=True)
def test_a_run_without_new_records_loads_nothing_and_is_green(
    scheduler: Airflow, alerts: tuple[str, list[dict[str, str]]]
) -> None:
    database = Path(scheduler.environment["DUCKDB_PATH"])
    before = loads(database)
    assert {"base_pinterest__pins", "int_newest_users"} <= before.keys()
    assert all(count for count, _ in before.values())
    alerts[1].clear()
    conf = json.dumps({"max_rejected_share": 0.001})
    done = scheduler.call("airflow", "dags", "test", "pinterest", "--conf", conf)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    assert loads(database) == before
    assert [alert for alert in alerts[1] if "rejected" in alert["text"]] == []
    first, second = health_numbers(scheduler)
    assert first == second


@pytest.mark.parametrize("scheduler", ["3.0"], indirect=True)
def test_rejects_that_a_run_before_told_are_not_told_again(
    scheduler: Airflow, alerts: tuple[str, list[dict[str, str]]]
) -> None:
    assert health_numbers(scheduler)
    alerts[1].clear()
    done = scheduler.call(
        *("airflow", "tasks", "test", "pinterest", "health", "2100-01-01"),
        *("--task-params", json.dumps({"max_rejected_share": 0})),
    )
    assert "state=<TaskInstanceState.SUCCESS" in done.stdout + done.stderr
    assert alerts[1] == []


def test_both_dags_are_read_without_error_or_warning(scheduler: Airflow) -> None:
    found = of_script(scheduler, STRUCTURE)
    assert found["errors"] == {}
    assert found["warnings"] == []
    dag = found["dags"]["pinterest"]
    steps = ["land", "freshness", "build", "publish", "show", "health"]
    assert {name: task["then"] for name, task in dag["tasks"].items()} == {
        step: [then] if then else []
        for step, then in zip(steps, [*steps[1:], None], strict=True)
    }
    for each in found["dags"].values():
        for task in each["tasks"].values():
            assert task["retries"] == 2
            assert task["backoff"]
            assert task["timeout"]
            assert task["alerts"]
        assert not each["catchup"]
        assert each["max_active_runs"] == 1
        assert each["timeout"]
        assert each["alerts"]
    assert dag["params"] == ["full_refresh", "max_rejected_share", "select"]
    models = found["dags"]["pinterest_models"]
    assert models["max_active_tasks"] == 1
    assert any("rpt_users_joined_by_year" in name for name in models["tasks"])


def test_a_run_that_times_out_is_told_and_wrong_connections_fail_nothing(
    scheduler: Airflow, alerts: tuple[str, list[dict[str, str]]]
) -> None:
    alerts[1].clear()
    found = of_script(scheduler, CALLBACKS)
    assert alerts[1] == [
        {
            "severity": "error",
            "text": "pinterest: the run timed_out failed: timed_out",
        }
    ]
    assert found == [
        ["100000 of 100000 new records in pin"],
        ["2 of 2 new records in pin"],
        [],
        ["1 of 50 new records in user"],
        ["20 of 200 new records in pin"],
    ]


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
    copy_of_project(tmp_path)
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
    (error,) = (each["text"] for each in alerts[1] if each["severity"] == "error")
    assert "build failed" in error
    assert leaks(said) == []


def test_a_test_of_the_data_that_fails_is_named_and_not_tried_again(
    scheduler: Airflow, tmp_path: Path
) -> None:
    test = copy_of_project(tmp_path) / "tests" / "data" / "every_age_is_too_low.sql"
    test.write_text("select * from {{ ref('age_groups') }}\n")
    params = {"select": "age_groups", "full_refresh": True}
    done = scheduler.call(
        *("airflow", "tasks", "test", "pinterest", "build", "2026-01-01"),
        *("--task-params", json.dumps(params)),
        PINTEREST_HOME=str(tmp_path),
        PINTEREST_VENV=str(PROJECT / ".venv"),
    )
    said = re.sub("\x1b[^m]*m", "", done.stdout + done.stderr)  # Airflow 3 exits with 0
    failed = "AirflowFailException: dbt build: test.pinterest.every_age_is_too_low"
    assert failed in said, said[-8000:]
    target = Path(scheduler.environment["DBT_TARGET_PATH"])
    ran = json.loads((target / "run_results.json").read_bytes())
    assert ran["args"]["full_refresh"] is True
    assert {each["unique_id"] for each in ran["results"]} >= {
        "seed.pinterest.age_groups",
        "test.pinterest.every_age_is_too_low",
    }
    assert not any("rpt_" in each["unique_id"] for each in ran["results"])


@pytest.mark.parametrize("scheduler", ["3.0"], indirect=True)
def test_kafka_is_landed_with_the_settings_of_its_connection(
    scheduler: Airflow, tmp_path: Path
) -> None:
    require(kafka_broker.missing())
    listener = "listener.name.asking"
    settings = {
        f"{listener}.sasl.enabled.mechanisms": "PLAIN",
        f"{listener}.plain.sasl.jaas.config": (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            f'user_lander="{SECRET}";'
        ),
    }
    with Broker(tmp_path, settings, {"ASKING": "SASL_PLAINTEXT"}) as broker:
        broker.create_topics("u.pin")
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("u.pin", b'{"index": 1}')
        assert producer.flush(30) == 0
        landing = tmp_path / "landing"
        extra = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "lander",
            "sasl.password": SECRET,
        }
        done = scheduler.call(
            *("airflow", "tasks", "test", "pinterest", "land", "2026-01-01"),
            PINTEREST_LAND=f"land kafka --bootstrap {broker.at['ASKING']}"
            f" --topics u.pin --landing {landing}",
            AIRFLOW_CONN_PINTEREST_KAFKA=json.dumps(
                {"conn_type": "kafka", "extra": extra}
            ),
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    (path,) = landing.glob("topics/u.pin/*/*.json")
    assert path.read_bytes() == b'{"index": 1}\n'
    assert leaks(said) == []


@pytest.mark.parametrize(
    "scheduler", airflow.VERSIONS if SOAK else ["3.0"], indirect=True
)
def test_new_events_pass_through_a_task_for_each_model(
    scheduler: Airflow, tmp_path: Path
) -> None:
    """In CI one chain of models, in `make soak` all of them on both versions."""
    landing = tmp_path / "landing"
    environment = {
        "LANDING": str(landing),
        "DUCKDB_PATH": str(tmp_path / "models.duckdb"),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "PINTEREST_MODELS": "" if SOAK else "+int_newest_pins",
        "PINTEREST_RETRIES": "0",
    }
    programs = PROJECT / ".venv" / "bin"
    parse = [str(programs / "dbt"), "--quiet", "parse"]
    subprocess.run(parse, check=True, cwd=PROJECT, env={**os.environ, **environment})
    newest = []
    for count in (EVENTS, 2 * EVENTS):
        land = [str(programs / "ingest"), "emit", "landing", "--source", "sample"]
        land += ["--events", str(count), "--user-id", f"u{count}"]
        land += ["--landing", str(landing)]
        subprocess.run(land, check=True, capture_output=True)
        done = scheduler.call(
            "airflow", "dags", "test", "pinterest_models", **environment
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-8000:]
        assert f"{PROJECT.name}_test" in said
        newest.append(loads(tmp_path / "models.duckdb")["int_newest_pins"][0])
    assert newest == [EVENTS, 2 * EVENTS]


@pytest.mark.parametrize("scheduler", ["3.0"], indirect=True)
@pytest.mark.parametrize("component", ["worker", "scheduler"])
def test_what_mwaa_starts_finds_programs_and_both_dags(
    scheduler: Airflow, tmp_path: Path, component: str
) -> None:
    """With a `python3 -m venv` that makes a `pip` which only says what it is asked."""
    home = copy_of_project(tmp_path / "airflow" / "dags" / "pinterest")
    shutil.copy(PROJECT / "profiles.yml.example", home)
    (home / "requirements").symlink_to(PROJECT / "requirements")
    shutil.copytree(scheduler.environment["DBT_TARGET_PATH"], home / "target")
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    text = (PROJECT / "orchestration" / "mwaa" / "startup.sh").read_text()
    script = tmp_path / "startup.sh"
    script.write_text(
        text.replace("/usr/local/airflow", str(tmp_path / "airflow")).replace(
            "/tmp/pinterest",  # noqa: S108 - MWAA's, of which it makes another
            str(tmp_path / "work"),
        )
    )
    said = subprocess.run(
        ["/bin/sh", "-c", f". {script}; env -0"],
        env={
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "MWAA_AIRFLOW_COMPONENT": component,
        },
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    variables = dict(each.split("=", 1) for each in said.rstrip("\0").split("\0"))
    asked = tmp_path / "airflow" / "pinterest" / "asked"
    installed = asked.read_text() if asked.exists() else ""
    assert (f"-r {home}/requirements/run.txt" in installed) == (component == "worker")
    assert installed.endswith(f"{home}\n") == (component == "worker")
    assert variables["PINTEREST_LAND"].startswith("land kinesis ")
    assert variables["PINTEREST_LAND"].endswith(variables["LANDING"])
    variables = {
        name: value
        for name, value in variables.items()
        if name not in scheduler.environment or name.startswith(("DBT_", "PINTEREST_"))
    }
    found = of_script(scheduler, STRUCTURE, **variables)
    assert found["errors"] == {}
    assert found["dags"].keys() == {"pinterest", "pinterest_models"}
