"""Runs dbt in a Spark session and writes what every table then holds.

python spark_tables.py FOLDER dbt-argument... [--then FOLDER dbt-argument...]
`-` for a folder writes nothing.
"""

import json
import sys
from pathlib import Path

from dbt.cli.main import dbtRunner
from pyspark.sql import SparkSession


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
    """Run dbt, write the tables; and again after `--then`."""
    if "--then" in arguments:
        end = arguments.index("--then")
        main(arguments[:end])
        main(arguments[end + 1 :])
        return
    folder, *command = arguments
    if not dbtRunner().invoke(command).success:
        sys.exit(f"dbt {' '.join(command)} failed on Spark")
    if folder != "-":
        write_tables(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
