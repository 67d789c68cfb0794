"""Airflow, each version in an environment of its own, on SQLite in a folder."""

import os
import subprocess
from pathlib import Path

from processes import SERVERS

VERSIONS = ("2.11", "3.0")
PROJECT = Path(__file__).parents[2]


def missing(version: str) -> str | None:
    """Say what is missing and how to get it."""
    if (SERVERS / f"airflow-{version}" / "bin" / "airflow").exists():
        return None
    return f"Airflow {version} is not installed: make .servers/airflow-{version}.done"


class Airflow:
    """One version, with this project's DAGs and a database of its own."""

    def __init__(self, version: str, folder: Path, environment: dict[str, str]) -> None:
        """Make the database; `environment` is what the project is configured by."""
        self.programs = SERVERS / f"airflow-{version}" / "bin"
        self.environment = {
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "orchestration" / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "false",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
            "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "false",
            "AIRFLOW__COSMOS__CACHE_DIR": str(folder / "cosmos"),
            "NO_COLOR": "1",
            **environment,
        }
        done = self.call("airflow", "db", "migrate")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    def call(
        self, *command: str, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program of Airflow's environment."""
        return subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            env=self.environment | environment,
            cwd=self.environment["AIRFLOW_HOME"],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
