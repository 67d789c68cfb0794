"""What small files cost: one set of records in objects of several sizes.

    python benchmarks/flush.py [--events 10000] [--records 10 1000 10000] [--rounds 3]

Lands the same made-up events with each flush size, counts the files, and times a full
refresh of the base models, which read every one. dbt's own time, that of an empty
landing, is taken off.
"""

import argparse
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models import ROOT, Bench

READ = ("dbt", "-q", "run", "--full-refresh", "--select", "base")


def land(bench: Bench, events: int, records: int) -> Path:
    """Land made-up events in objects of so many records; return where."""
    landing = bench.folder / f"flush-{records}"
    shutil.rmtree(landing, ignore_errors=True)
    source = ("--source", "sample", "--events", str(events), "--user-id", "u")
    size = ("--landing", str(landing), "--flush-records", str(records))
    bench.call("ingest", "emit", "landing", *source, *size)
    return landing


def read(bench: Bench, landing: Path, rounds: int) -> float:
    """Return the median of the seconds that all base models take."""
    return statistics.median(
        bench.call(*READ, landing=landing)[0] for _ in range(rounds)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument(
        "--records", type=int, nargs="+", default=[10, 100, 1_000, 10_000]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "bench")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked.folder, asked.events)
    bench.call("dbt", "-q", "seed")
    empty = asked.folder / "empty"
    (empty / "topics").mkdir(parents=True, exist_ok=True)
    own = read(bench, empty, asked.rounds)
    rows = []
    for records in sorted(asked.records, reverse=True):
        landing = land(bench, asked.events, records)
        files = sum(1 for _ in landing.glob("topics/*/*/*"))
        rows.append((records, files, read(bench, landing, asked.rounds) - own))
        shutil.rmtree(landing)
    show(asked.events, own, rows)


def show(events: int, own: float, rows: Sequence[tuple[int, int, float]]) -> None:
    """Print a table; the first row is what the others are compared with."""
    table = Table(title=f"{events:,} events, {3 * events:,} records")
    for name in ("records a file", "files", "seconds beyond dbt's own", "times"):
        table.add_column(name, justify="right")
    for records, files, seconds in rows:
        ratio = f"{seconds / rows[0][2]:.1f}"
        table.add_row(f"{records:,}", f"{files:,}", f"{seconds:.1f}", ratio)
    console = Console(width=88)
    console.print(table)
    console.print(f"dbt's own: {own:.1f} s")


if __name__ == "__main__":
    main()
