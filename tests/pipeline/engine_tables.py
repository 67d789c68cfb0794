"""What tables hold, read from each engine and made comparable."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
from pyhive import hive

INTERNAL = {
    "loaded_at",
    "pin_loaded_at",
    "geolocation_loaded_at",
    "user_loaded_at",
}
"""Columns that tell runs apart: they gate work and rank nothing."""

Tables = dict[str, Counter[tuple[tuple[str, object], ...]]]


def comparable(value: object) -> object:
    """Return a value as all engines have it; doubles agree to 9 digits.

    Hive's protocol has lists as texts of JSON.
    """
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, list):
        return json.dumps(value, separators=(",", ":"))
    return value if isinstance(value, int | None) else str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Counter[Any]:
    """Count equal rows, without internal columns."""
    return Counter(
        tuple(
            (column, comparable(value))
            for column, value in sorted(zip(columns, row, strict=True))
            if column not in INTERNAL
        )
        for row in rows
    )


def tables_of_duckdb(database: Path) -> Tables:
    """Read a DuckDB file."""
    with duckdb.connect(str(database), read_only=True) as connection:
        names = connection.execute(
            "select table_name from information_schema.tables "
            "where table_schema = 'main'"
        ).fetchall()
        found = {name: connection.table(name) for (name,) in names}
        return {
            name: table(relation.columns, relation.fetchall())
            for name, relation in found.items()
        }


def tables_of_session(folder: Path) -> Tables:
    """Read what `spark_session.py` wrote."""
    contents = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in folder.glob("*.json")
    }
    return {name: table(one["columns"], one["rows"]) for name, one in contents.items()}


def tables_of_cluster(port: int, schema: str) -> Tables:
    """Read a schema through a Thrift server."""
    tables = {}
    connection = hive.connect("127.0.0.1", port, username="test")
    cursor = connection.cursor()
    cursor.execute(f"show tables in {schema}")
    for _, name, is_temporary in cursor.fetchall():
        if is_temporary:
            continue
        cursor.execute(f"select * from {schema}.{name}")
        columns = [column[0].rpartition(".")[2] for column in cursor.description]
        tables[name] = table(columns, cursor.fetchall())
    connection.close()
    return tables


def differences(left: Counter[Any], right: Counter[Any]) -> list[str]:
    """Return a line for each row that is not in both, five for each side."""
    return [
        f"{side} alone, {count} times: {dict(row)}"
        for side, rows in (("left", left - right), ("right", right - left))
        for row, count in list(rows.items())[:5]
    ]
