"""The schedule: land, look how fresh it is, build and test, publish, show.

For Airflow 2.11 and 3.0, so for Amazon MWAA. dbt and `ingest` live in a virtual
environment of their own; Airflow only starts them. `docs/schedule.md` says which
variables and connections there are.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.exceptions import AirflowException, AirflowFailException

try:
    from airflow.sdk import Param, dag, get_current_context, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.param import Param
    from airflow.operators.python import get_current_context

sys.path.append(str(Path(__file__).parent))  # Airflow 3's command line does not
from pinterest_shared import HOME, PROGRAMS, RUNS, artifact, connection, log, tell

LAND = os.environ.get("PINTEREST_LAND", "")
SCHEDULE = os.environ.get("PINTEREST_SCHEDULE", "@hourly")
HEALTH = ("rpt_pipeline_health", "rpt_event_health")
STOP_SECONDS = 30  # a lander writes what waits within 25
SET_ASIDE = 3  # exit code of `ingest`: done, but some records cannot be lines


# --- programs ----------------------------------------------------------------------


def run(*command: str, good: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Run a program of the project's environment; return its exit code and output.

    Its lines are the task's log. A task that is stopped or times out stops the program,
    which has 30 s to end well. Raises `AirflowException` where the code is not `good`.
    """
    log.info("Running %s", shlex.join(command))
    process = start(command)
    lines = []
    try:
        for line in process.stdout or ():
            log.info(line.rstrip())
            lines.append(line)
        code = process.wait()
    finally:
        stop(process)
    if code not in good:
        said = "".join(lines[-5:]).strip()
        raise AirflowException(f"`{shlex.join(command[:3])}` ended with {code}: {said}")
    return code, "".join(lines)


def start(command: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start a program; what it may know is in no variable that a traceback shows."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PATH"] = f"{PROGRAMS}{os.pathsep}{environment['PATH']}"
    return subprocess.Popen(
        [str(PROGRAMS / command[0]), *command[1:]],
        cwd=HOME,
        env=environment | databricks(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a program that still runs; it may end what it is at."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def results(name: str) -> list[dict[str, Any]]:
    """Return what dbt's last command wrote of each node, if anything."""
    path = artifact(name)
    if not path.exists():
        return []
    found: list[dict[str, Any]] = json.loads(path.read_bytes())["results"]
    return found


def databricks() -> dict[str, str]:
    """Return what the target `databricks` wants, where its connection is there."""
    found = connection("pinterest_databricks")
    if found is None:
        return {}
    return {
        "DATABRICKS_HOST": found.host,
        "DATABRICKS_HTTP_PATH": found.extra_dejson["http_path"],
        "DBT_ENV_SECRET_DATABRICKS_TOKEN": found.password,
    }


@contextmanager
def kafka_options() -> Iterator[list[str]]:
    """Give `--kafka-config` where the connection to Kafka has settings."""
    found = connection("pinterest_kafka")
    if found is None or not LAND.startswith("land kafka"):
        yield []
        return
    with tempfile.NamedTemporaryFile("w", suffix=".properties") as file:  # mode 0600
        file.writelines(f"{k}={v}\n" for k, v in found.extra_dejson.items())
        file.flush()
        yield ["--kafka-config", file.name]


# --- the schedule ------------------------------------------------------------------


def too_much_rejected(
    rows: list[dict[str, Any]], before: list[dict[str, Any]], most: float
) -> list[str]:
    """Name each topic of whose new records a greater share than `most` is rejected.

    New is what `before`, the rows of an earlier run, does not have yet; all of a topic
    that it does not know or that has less than it had.
    """
    seen = {row["topic"]: counts(row) for row in before}
    found = []
    for row in rows:
        total, bad = counts(row)
        seen_total, seen_bad = seen.get(row["topic"], (0, 0))
        if seen_total <= total and seen_bad <= bad:
            total, bad = total - seen_total, bad - seen_bad
        if bad > most * total:
            found.append(f"{bad} of {total} new records in {row['topic']}")
    return found


def counts(row: dict[str, Any]) -> tuple[int, int]:
    """Return how many records a topic had, and how many of them no model can use."""
    dead = row["dead_letter_count"]
    return row["landed_count"] + dead, row["rejected_count"] + dead


def report(name: str) -> list[dict[str, Any]]:
    """Return the rows of a report, of whatever target dbt is on."""
    asked = ("show", "-s", name, "--output", "json", "--limit", "-1")
    _, said = run("dbt", "-q", "--no-use-colors", *asked)
    rows: list[dict[str, Any]] = json.loads(said[said.index("{") :])["show"]
    return rows


@task
def land() -> None:
    """Land what is there now, each record exactly once; set aside is a warning."""
    if not LAND:
        log.info("PINTEREST_LAND is not given: somebody else fills the landing.")
        return
    with kafka_options() as options:
        code, _ = run("ingest", *shlex.split(LAND), *options, good=(0, SET_ASIDE))
    if code == SET_ASIDE:
        tell("warning", "pinterest: records were set aside: see the log of `land`")


@task
def freshness() -> None:
    """Warn where nothing was landed for long: what is there is still to be built."""
    artifact("sources.json").unlink(missing_ok=True)
    code, _ = run("dbt", "--no-use-colors", "source", "freshness", good=(0, 1))
    found = results("sources.json")
    stale = [each for each in found if each["status"] in {"warn", "error"}]
    if code and not stale:
        raise AirflowException("dbt cannot tell how fresh the landing is: see the log")
    if stale:
        names = ", ".join(each["unique_id"] for each in stale)
        tell("warning", f"pinterest: nothing was landed for long in {names}")


@task
def build() -> None:
    """Build the models and test the data; what fails is named.

    A model that fails is tried again, a test of the data that fails is not.
    """
    params = get_current_context()["params"]
    options = ["--exclude-resource-type", "unit_test"]
    options += ["--full-refresh"] if params["full_refresh"] else []
    options += ["--select", *params["select"].split()] if params["select"] else []
    artifact("run_results.json").unlink(missing_ok=True)
    try:
        run("dbt", "--no-use-colors", "build", *options)
    except AirflowException as error:
        found = results("run_results.json")
        bad = [each for each in found if each["status"] in {"error", "fail"}]
        said = "; ".join(f"{each['unique_id']}: {each['message']}" for each in bad)
        final = any(each["status"] == "fail" for each in bad)
        kind = AirflowFailException if final else AirflowException
        raise kind(f"dbt build: {said or error}") from error


@task
def publish() -> None:
    """Give readers the file with answers; of DuckDB only, others have a server."""
    if os.environ.get("DBT_TARGET", "duckdb") == "duckdb":
        run("ingest", "publish")


@task
def show() -> None:
    """Write the models' documentation and the page."""
    run("dbt", "--no-use-colors", "docs", "generate", "--static")
    run("ingest", "dashboard")


@task
def health() -> dict[str, Any]:
    """Return the health reports; too much of what is new rejected is a warning."""
    context = get_current_context()
    numbers = {name: report(name) for name in HEALTH}
    before = context["ti"].xcom_pull("health", include_prior_dates=True, map_indexes=-1)
    found = too_much_rejected(
        numbers["rpt_pipeline_health"],
        (before or {}).get("rpt_pipeline_health", []),
        context["params"]["max_rejected_share"],
    )
    if found:
        tell("warning", f"pinterest: rejected: {', '.join(found)}")
    return numbers


@dag(
    dag_id="pinterest",
    schedule=SCHEDULE,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    doc_md=__doc__,
    params={
        "full_refresh": Param(
            False, type="boolean", description="Build all tables anew from the landing."
        ),
        "select": Param(
            "", type="string", description="Models to build, as `dbt build --select`."
        ),
        "max_rejected_share": Param(
            0.01, type="number", minimum=0, maximum=1, description="More is a warning."
        ),
    },
    **RUNS,
)
def pinterest() -> None:
    """From events to answers."""
    land() >> freshness() >> build() >> publish() >> show() >> health()


pinterest()
