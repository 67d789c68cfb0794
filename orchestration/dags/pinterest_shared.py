"""What both DAGs share: where the project is, how tasks are tried, who is told."""

import json
import logging
import os
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from airflow.exceptions import AirflowNotFoundException

try:
    from airflow.sdk import Connection

    get_connection = Connection.get
except ImportError:  # Airflow 2
    from airflow.models import Connection

    get_connection = Connection.get_connection_from_secrets

HOME = Path(os.environ.get("PINTEREST_HOME", Path(__file__).resolve().parents[2]))
PROGRAMS = Path(os.environ.get("PINTEREST_VENV", HOME / ".venv")) / "bin"
RETRIES = int(os.environ.get("PINTEREST_RETRIES", "2"))

log = logging.getLogger("airflow.task")


def artifact(name: str) -> Path:
    """Return where dbt writes a file about what it did."""
    return HOME / os.environ.get("DBT_TARGET_PATH", "target") / name


def connection(name: str) -> Any | None:  # noqa: ANN401 - two classes in two versions
    """Return one of Airflow's connections, None where nobody made it."""
    try:
        return get_connection(name)
    except AirflowNotFoundException:
        return None


def tell(severity: str, text: str) -> None:
    """Log, and post to the URL that is the password of `pinterest_alerts`, if any.

    The body is JSON with `text`, as chat tools take it, and `severity`. That an alert
    could not be posted is logged; it fails nothing.
    """
    log.log(logging.ERROR if severity == "error" else logging.WARNING, text)
    body = json.dumps({"severity": severity, "text": text}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        found = connection("pinterest_alerts")
        if found is not None:
            request = Request(found.password, body, headers)  # noqa: S310 - its owner chose it
            urlopen(request, timeout=10).close()  # noqa: S310 - the same
    except (OSError, ValueError, HTTPException) as error:
        log.warning(
            "The alert was not posted (%s): the password of the connection"
            " pinterest_alerts must be a URL that takes JSON.",
            type(error).__name__,
        )


def alert(context: dict[str, Any]) -> None:
    """Tell that a task failed, and why."""
    task = context["task_instance"]
    why = context.get("exception") or "its log says why"
    tell("error", f"{task.dag_id}: {task.task_id} failed: {why}")


def alert_run(context: dict[str, Any]) -> None:
    """Tell that a run timed out or is stuck; `alert` has told of a task that failed."""
    reason = context.get("reason")
    if reason != "task_failure":
        dag = context["dag"].dag_id
        tell("error", f"{dag}: the run {context['run_id']} failed: {reason}")


RUNS = {
    "catchup": False,
    "max_active_runs": 1,
    "dagrun_timeout": timedelta(hours=6),
    "on_failure_callback": alert_run,
    "tags": ["pinterest"],
    "default_args": {
        "retries": RETRIES,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(hours=2),
        "on_failure_callback": alert,
    },
}
"""How runs of a DAG go, as arguments of a DAG."""
