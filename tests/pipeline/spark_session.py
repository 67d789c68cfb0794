"""Runs dbt in Spark sessions of one process, one command after the other.

python spark_session.py --landing FOLDER dbt-argument... [--landing FOLDER …]
`--tables FOLDER` in the place of dbt's arguments writes what every table holds, and
`--page FILE` what `ingest dashboard` writes.
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

from dbt.cli.main import dbtRunner
from pyspark.sql import SparkSession

from ingestion.dashboard import write_dashboard


def write_tables(folder: Path) -> None:
    """Write each table and view as one JSON text: its columns and its rows."""
    folder.mkdir(parents=True)
    session = SparkSession.builder.getOrCreate()
    tables = session.catalog.listTables("pinterest")
    for name in [table.name for table in tables if not table.isTemporary]:
        frame = session.table(f"pinterest.{name}")
        rows = [list(row) for row in frame.collect()]
        text = json.dumps({"columns": frame.columns, "rows": rows}, default=str)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Do what each `--landing` says, until something fails."""
    starts = [n for n, word in enumerate(arguments) if word == "--landing"]
    for start, end in pairwise([*starts, len(arguments)]):
        _, landing, *command = arguments[start:end]
        os.environ["LANDING"] = landing
        if command[0] == "--tables":
            write_tables(Path(command[1]))
        elif command[0] == "--page":
            write_dashboard(Path(command[1]), None, Path(command[1]).parent)
        elif not dbtRunner().invoke(command).success:
            sys.exit(f"dbt {' '.join(command)} failed on Spark")


if __name__ == "__main__":
    main(sys.argv[1:])
