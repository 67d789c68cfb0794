"""The SQL endpoint of `databricks_sql` as a process, and what clients need to know."""

import json
import sys
import time
from pathlib import Path
from typing import Any, Self

import databricks_sql
import yaml
from processes import Process

START_SECONDS = 30


class DatabricksServer:
    """A SQL warehouse that is none, in front of a Thrift server."""

    schema = "on_databricks"

    def __init__(self, folder: Path, thrift_port: int) -> None:
        """Start it; it keeps its files in a folder."""
        self.folder = folder
        folder.mkdir(parents=True)
        self._process = Process(
            [sys.executable, databricks_sql.__file__, str(folder), str(thrift_port)],
            folder / "server.log",
        )
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "port").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.port = int((folder / "port").read_text("utf-8"))

    def environment(self, profiles: Path) -> dict[str, str]:
        """Return what dbt's target `databricks` reads, with a profile that comes here.

        The profile is the given one and settings that have the connector speak the
        Statement Execution API, inline. The adapter and the connector are unmodified.
        """
        profile: dict[str, Any] = yaml.safe_load(profiles.read_text("utf-8"))
        authority = str(self.folder / "ca.pem")
        profile["pinterest"]["outputs"]["databricks"]["connection_parameters"] = {
            "use_sea": True,
            "use_cloud_fetch": False,
            "enable_telemetry": False,
            "_tls_trusted_ca_file": authority,
            "_retry_stop_after_attempts_count": 2,
        }
        (self.folder / "profiles.yml").write_text(yaml.safe_dump(profile), "utf-8")
        return {
            "DBT_TARGET": "databricks",
            "DBT_PROFILES_DIR": str(self.folder),
            "DATABRICKS_HOST": databricks_sql.HOST,
            "DATABRICKS_HTTP_PATH": "/sql/1.0/warehouses/local",
            "DATABRICKS_CATALOG": databricks_sql.CATALOG,
            "DATABRICKS_SCHEMA": self.schema,
            "DBT_ENV_SECRET_DATABRICKS_TOKEN": databricks_sql.TOKEN,
            "HTTPS_PROXY": f"http://127.0.0.1:{self.port}",
            "REQUESTS_CA_BUNDLE": authority,
        }

    def passed(self) -> list[str]:
        """Return the statements that were answered and not done, in their order."""
        lines = (self.folder / "statements.jsonl").read_text("utf-8").splitlines()
        return [
            said["statement"] for line in lines if (said := json.loads(line))["passed"]
        ]

    def __enter__(self) -> Self:
        """Stand by."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.stop()
