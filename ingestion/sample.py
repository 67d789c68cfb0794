"""A made-up sample shaped like the real records, of any size, the same for a seed."""

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from ingestion.dirt import COUNTS_FILE, SampleCounts, clean_counts, write_dirty
from ingestion.records import KEY_FIELDS

MEMORY_LIMIT: Final = "512MB"
"""Far more than the blocks in flight need; it does not grow with the events."""


def write_sample(
    out: Path, events: int, seed: int, dirt: bool = False, *, threads: int = 2
) -> SampleCounts:
    """Write `pin.jsonl`, `geo.jsonl` and `user.jsonl` into `out`; return their counts.

    Event numbers run from 0 to `events` - 1. The same `events` and `seed` give the same
    bytes with the locked DuckDB, whatever `threads` is. With `dirt` each kind of
    `ingestion.dirt` is mixed in, and the counts are also written to `counts.json`.

    The files appear under their names only when all of them are complete. Raises
    `OSError` or `duckdb.IOException` when `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".sample-") as name:
        folder = Path(name)
        with _generator(folder, events, seed, threads) as connection:
            for record_type in KEY_FIELDS:
                _copy(connection, record_type, folder)
            counts = (
                write_dirty(connection, folder, events)
                if dirt
                else clean_counts(events)
            )
        (out / COUNTS_FILE).unlink(missing_ok=True)
        for path in sorted(folder.glob("*.json*")):
            path.replace(out / path.name)
    return counts


def _generator(
    folder: Path, events: int, seed: int, threads: int
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(folder / "spill"),
        }
    )
    connection.execute("set variable seed = $seed", {"seed": seed})
    connection.execute("set variable events = $events", {"events": events})
    views = files("ingestion").joinpath("sample.sql").read_text(encoding="utf-8")
    connection.execute(views)
    return connection


def _copy(
    connection: duckdb.DuckDBPyConnection, record_type: str, folder: Path
) -> None:
    path = str(folder / f"{record_type}.jsonl")
    connection.execute(
        f'copy (from "{record_type}") to $path (format json)', {"path": path}
    )
