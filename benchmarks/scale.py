"""What a landing costs as it grows: measured small, extrapolated to a day of events.

    python benchmarks/scale.py [--events 100000 300000] [--day 1000000000]

Measures on DuckDB what an event is in bytes, and what a run takes by what is new and by
what is stored, at two sizes; then prints what straight lines through these come to. A
straight line is a model: it says what stops first, not how long it takes.
"""

import argparse
import gzip
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from models import ROOT, Bench

MEBIBYTE = 1 << 20
FLUSHES = ("10,000 records", "16 MiB", "128 MiB")
KEYS_A_LIST = 1_000


@dataclass
class Measured:
    """One size: events, seconds beyond dbt's own time, and what was counted."""

    events: int
    full: float
    new: float
    nothing: float
    bytes_an_event: float
    gzip_share: float
    follower_counts: int


def seconds(bench: Bench, rounds: int) -> list[float]:
    """Return the medians of a full refresh, 1 % new events, and nothing new."""
    empty = bench.folder / "empty"
    (empty / "topics").mkdir(parents=True, exist_ok=True)
    run = ("dbt", "-q", "run")
    bench.call("dbt", "-q", "seed")
    found = []
    for _ in range(rounds):
        bench.call(*run, "--full-refresh", landing=empty)
        own, _ = bench.call(*run, landing=empty)
        full, _ = bench.call(*run, "--full-refresh")
        bench.add()
        new, _ = bench.call(*run)
        nothing, _ = bench.call(*run)
        bench.take_back()
        found.append((full - own, new - own, nothing - own))
    return [statistics.median(column) for column in zip(*found, strict=True)]


def measure(folder: Path, events: int, rounds: int) -> Measured:
    """Land events; time the runs, count bytes and follower counts."""
    bench = Bench(folder, events)
    bench.prepare()
    full, new, nothing = seconds(bench, rounds)
    files = list(bench.landing.glob("topics/*/*/*.json"))
    some = b"".join(path.read_bytes() for path in files[::10])
    with duckdb.connect(str(bench.database), read_only=True) as connection:
        counts = connection.sql("select count(distinct follower_count) from fct_posts")
        distinct = counts.fetchall()[0][0]
    return Measured(
        events=events,
        full=full,
        new=new,
        nothing=nothing,
        bytes_an_event=sum(path.stat().st_size for path in files) / events,
        gzip_share=len(gzip.compress(some)) / len(some),
        follower_counts=distinct,
    )


def show_measured(console: Console, sizes: Sequence[Measured]) -> None:
    """Print what was measured; seconds are beyond dbt's own time."""
    table = Table(title="measured, seconds beyond dbt's own")
    for column in (
        *("events", "full refresh", "+1 %", "nothing new"),
        *("bytes an event", "gzip", "different follower counts"),
    ):
        table.add_column(column, justify="right")
    for size in sizes:
        table.add_row(
            f"{size.events:,}",
            *(f"{seconds:.1f}" for seconds in (size.full, size.new, size.nothing)),
            f"{size.bytes_an_event:.0f}",
            f"{size.gzip_share:.0%}",
            f"{size.follower_counts:,}",
        )
    console.print(table)


def show_day(console: Console, small: Measured, large: Measured, day: int) -> None:
    """Print what a day of events comes to."""
    million = 1_000_000
    more = (large.events - small.events) / million
    a_million = (large.full - small.full) / more
    a_million_stored = (large.nothing - small.nothing) / more
    a_million_new = (large.new - large.nothing) / (large.events / 100 / million)
    raw = large.bytes_an_event * day
    files = (3 * day // 10_000, *(raw // (size * MEBIBYTE) for size in (16, 128)))
    table = Table(title=f"{day:,} events a day, by straight lines")
    table.add_column("what")
    table.add_column("comes to", justify="right")
    table.add_row("records a second, on average", f"{3 * day / 86_400:,.0f}")
    table.add_row("TB a day, plain", f"{raw / 1e12:.2f}")
    table.add_row("TB a day, gzip", f"{raw * large.gzip_share / 1e12:.2f}")
    for flush, number in zip(FLUSHES, files, strict=True):
        table.add_row(f"files a day, flushed at {flush}", f"{number:,.0f}")
        table.add_row(
            "  calls to list a year of them", f"{number * 365 / KEYS_A_LIST:,.0f}"
        )
    table.add_row("seconds of a full refresh, a million events", f"{a_million:.1f}")
    table.add_row("seconds of a run, a million new events", f"{a_million_new:.1f}")
    table.add_row("seconds of a run, a million stored", f"{a_million_stored:.1f}")
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs=2, default=[100_000, 300_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--day", type=int, default=1_000_000_000)
    options = parser.parse_args(arguments)
    folder = ROOT / "data" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    small, large = (
        measure(folder, events, options.rounds) for events in options.events
    )
    show_measured(console, (small, large))
    show_day(console, small, large, options.day)


if __name__ == "__main__":
    main()
