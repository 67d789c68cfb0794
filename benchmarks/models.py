"""How long the models take, against bare passes over the same files in the same run.

Run by `make bench`. Prints one table of medians with their spread and the ratios that
matter; asserts nothing. `--events` sets the size, `--rounds` the repetitions.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

SMALL_FILES = 100_000
STEPS = ("one", "none", "small")
ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
FIELDS = {
    "pin": {
        "index": "BIGINT",
        "unique_id": "VARCHAR",
        "title": "VARCHAR",
        "description": "VARCHAR",
        "poster_name": "VARCHAR",
        "follower_count": "VARCHAR",
        "tag_list": "VARCHAR",
        "is_image_or_video": "VARCHAR",
        "image_src": "VARCHAR",
        "downloaded": "INTEGER",
        "save_location": "VARCHAR",
        "category": "VARCHAR",
    },
    "geo": {
        "ind": "BIGINT",
        "timestamp": "TIMESTAMP",
        "latitude": "DOUBLE",
        "longitude": "DOUBLE",
        "country": "VARCHAR",
    },
    "user": {
        "ind": "BIGINT",
        "first_name": "VARCHAR",
        "last_name": "VARCHAR",
        "age": "INTEGER",
        "date_joined": "TIMESTAMP",
    },
}


@dataclass
class Timing:
    """Seconds of each round, and the peak memory of the slowest child in MiB.

    `own` has what dbt took right before each round over an empty landing, which is its
    own time: as machines are shared, only what stands side by side can be compared.
    """

    seconds: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    mebibytes: int = 0

    @property
    def beyond(self) -> list[float]:
        """Seconds beyond dbt's own time, round by round; none without dbt."""
        pairs = zip(self.seconds, self.own, strict=False)
        return [seconds - own for seconds, own in pairs]


def shown(seconds: Sequence[float]) -> str:
    """Return median and spread."""
    if not seconds:
        return ""
    spread = f"{min(seconds):.1f}-{max(seconds):.1f}"
    return f"{statistics.median(seconds):.1f} ({spread})"


class Bench:
    """A landing of made-up events, and everything that reads it."""

    def __init__(
        self, folder: Path, events: int, small_files: int = SMALL_FILES
    ) -> None:
        """Work in `folder`; the landing there is kept for the next run."""
        self.small_files = small_files
        self.folder = folder
        self.events = events
        self.landing = folder / f"landing-{events}"
        self.extra = folder / f"extra-{events}"
        self.database = folder / "bench.duckdb"
        self.idle = folder / "idle.duckdb"

    def call(
        self,
        *command: str,
        landing: Path | None = None,
        database: Path | None = None,
        target: str = "duckdb",
    ) -> tuple[float, int]:
        """Run a command; return its seconds and peak memory in MiB.

        dbt would parse the project anew where the run before had another landing,
        database or target, as no user's has: so each has a target path of its own.
        """
        landing = landing or self.landing
        database = database or self.database
        parsed_for = f"{target}-{database.stem}-{landing.name}"
        env = {
            **os.environ,
            "LANDING": str(landing),
            "DUCKDB_PATH": str(database),
            "DBT_TARGET": target,
            "DBT_TARGET_PATH": str(self.folder / "target" / parsed_for),
            "DBT_LOG_PATH": str(self.folder / "logs"),
        }
        started = time.monotonic()
        child = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} failed: see {self.folder / 'logs'}")
        return time.monotonic() - started, usage.ru_maxrss // 1024

    def prepare(self) -> None:
        """Land the events, and keep another 1 % of them apart."""
        if self.extra.exists():
            return
        whole = self.folder / "sample"
        more = self.events // 100
        for folder, events in ((whole, self.events), (self.folder / "more", more)):
            self.call("ingest", "sample", "--events", str(events), "--out", str(folder))
        options = ("--user-id", "bench", "--source")
        self.call(
            *("ingest", "emit", "landing", *options, str(whole)),
            *("--landing", str(self.landing)),
        )
        renumber(self.folder / "more", self.events)
        self.call(
            *("ingest", "emit", "landing", *options, str(self.folder / "more")),
            *("--landing", str(self.folder / "more-landing")),
        )
        (self.folder / "more-landing" / "topics").rename(self.extra)
        for folder in (whole, self.folder / "more", self.folder / "more-landing"):
            shutil.rmtree(folder)

    def files(self, record_type: str) -> str:
        """Return a glob of the landed files of a record type."""
        return f"{self.landing}/topics/bench.{record_type}/*/*.json"

    def add(self) -> None:
        """Put the other 1 % beside what is landed, in new files."""
        for path in self.extra.glob("*/*/*.json"):
            topic, partition = path.parts[-3:-1]
            name = f"{topic}+0+{self.events:010d}.json"
            shutil.copy(path, self.landing / "topics" / topic / partition / name)

    def take_back(self) -> None:
        """Undo `add`."""
        for path in self.landing.glob(f"topics/*/*/*+{self.events:010d}.json"):
            path.unlink()


def renumber(folder: Path, first: int) -> None:
    """Give the events of a sample other numbers, from `first` on."""
    for record_type, fields in FIELDS.items():
        key = next(iter(fields))
        path = folder / f"{record_type}.jsonl"
        lines = path.read_text("utf-8").splitlines(keepends=True)
        start = f'{{"{key}":'
        path.write_text(
            "".join(
                f"{start}{first + number}{line[line.index(',') :]}"
                for number, line in enumerate(lines)
            ),
            "utf-8",
        )


def bare_duckdb(bench: Bench) -> None:
    """Read the files with a given schema into three tables, nothing else."""
    import duckdb

    path = bench.folder / "bare.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        for record_type, fields in FIELDS.items():
            columns = ", ".join(f"'{k}': '{v}'" for k, v in fields.items())
            connection.execute(
                f"create table {record_type} as from read_json("
                f"'{bench.files(record_type)}', format='newline_delimited', "
                f"columns={{{columns}}})"
            )


def polars_to_parquet(bench: Bench) -> None:
    """Read them with Polars, write Parquet."""
    import polars as pl

    types = {
        "BIGINT": pl.Int64,
        "INTEGER": pl.Int32,
        "DOUBLE": pl.Float64,
        "VARCHAR": pl.String,
        "TIMESTAMP": pl.String,
    }
    for record_type, fields in FIELDS.items():
        pl.scan_ndjson(
            bench.files(record_type), schema={k: types[v] for k, v in fields.items()}
        ).sink_parquet(bench.folder / f"{record_type}.parquet")


def bare_chdb(bench: Bench) -> None:
    """Read them with chDB, write Parquet."""
    import chdb

    types = {
        "BIGINT": "Int64",
        "INTEGER": "Int32",
        "DOUBLE": "Float64",
        "VARCHAR": "String",
        "TIMESTAMP": "String",
    }
    for record_type, fields in FIELDS.items():
        columns = ", ".join(f"`{k}` {types[v]}" for k, v in fields.items())
        target = bench.folder / f"{record_type}.chdb.parquet"
        target.unlink(missing_ok=True)
        chdb.query(
            f"insert into function file('{target}', Parquet) select * from "
            f"file('{bench.files(record_type)}', JSONEachRow, '{columns}')"
        )


RIVALS: dict[str, Callable[[Bench], None]] = {
    "bare DuckDB": bare_duckdb,
    "chDB": bare_chdb,
    "Polars": polars_to_parquet,
}


def rival(bench: Bench, name: str) -> float:
    """Return the seconds a rival takes in a process of its own, start-up aside.

    Linux counts the peak memory of a parent as its child's: this one stays small.
    """
    done = subprocess.run(
        [
            *(sys.executable, __file__, "--rival", name),
            *("--events", str(bench.events), "--folder", str(bench.folder)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def measure(
    bench: Bench,
    rounds: int,
    rivals: Sequence[str] = tuple(RIVALS),
    steps: Sequence[str] = STEPS,
) -> dict[str, Timing]:
    """Time everything `rounds` times, in turn, so that noise falls on all alike."""
    timings = {name: Timing() for name in (*rivals, "empty", "full", *steps)}
    empty, small = bench.folder / "empty", bench.folder / "small"
    (empty / "topics").mkdir(parents=True, exist_ok=True)
    if "small" in steps:
        make_small_files(small, bench.small_files)
    run = ("dbt", "-q", "run")

    def dbt(name: str, *options: str, landing: Path | None = None) -> None:
        own, mebibytes = bench.call(*run, landing=empty, database=bench.idle)
        timings["empty"].seconds.append(own)
        timings["empty"].mebibytes = max(timings["empty"].mebibytes, mebibytes)
        seconds, mebibytes = bench.call(*run, *options, landing=landing)
        timings[name].seconds.append(seconds)
        timings[name].own.append(own)
        timings[name].mebibytes = max(timings[name].mebibytes, mebibytes)

    for database in (bench.database, bench.idle):
        database.unlink(missing_ok=True)
        bench.call("dbt", "-q", "seed", database=database)
    bench.call(*run, landing=empty, database=bench.idle)
    for _ in range(rounds):
        for name in rivals:
            timings[name].seconds.append(rival(bench, name))
        dbt("full", "--full-refresh")
        bench.add()
        for step in ("one", "none"):
            if step in steps:
                dbt(step)
        bench.take_back()
        if "small" in steps:
            bench.call(*run, "--full-refresh", landing=small)
            dbt("small", landing=small)
    return timings


def make_small_files(landing: Path, files: int) -> None:
    """Land `files` files of one record, as a sink that flushes too often does."""
    if landing.exists():
        return
    for record_type, fields in FIELDS.items():
        key = next(iter(fields))
        folder = landing / "topics" / f"small.{record_type}" / "partition=0"
        folder.mkdir(parents=True)
        other = list(fields)[-1]
        for number in range(files // 3):
            (folder / f"small.{record_type}+0+{number:010d}.json").write_text(
                f'{{"{key}":{number},"{other}":"x"}}\n'
            )


def report(timings: dict[str, Timing], events: int, small_files: int) -> None:
    """Print the table and the ratios."""
    labels = {
        "bare DuckDB": "bare DuckDB pass into three tables",
        "chDB": "chDB to Parquet",
        "Polars": "Polars to Parquet",
        "empty": "dbt run, empty landing (dbt's own time)",
        "full": "dbt run --full-refresh",
        "one": "dbt run, +1 % of new events in new files",
        "none": "dbt run, nothing new",
        "small": f"dbt run, nothing new, {small_files:,} small files",
    }
    table = Table(title=f"{events:,} events, {3 * events:,} records")
    for column in ("what", "seconds (spread)", "beyond dbt's own", "peak MiB"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, timing in timings.items():
        table.add_row(
            labels[name],
            shown(timing.seconds),
            shown(timing.beyond),
            str(timing.mebibytes or ""),
        )
    console = Console()
    console.print(table)
    full = timings["full"].beyond
    bare = timings["bare DuckDB"].seconds
    tell_ratio(console, "full refresh / bare DuckDB pass", full, bare, "3 or less")
    if "one" in timings:
        one = timings["one"].beyond
        tell_ratio(console, "+1 % / full refresh", one, full, "0.10 or less")


def tell_ratio(
    console: Console,
    what: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    wanted: str,
) -> None:
    """Print the median and the spread of the ratios within a round."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    console.print(
        f"{what}: {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}; "
        f"{wanted} is wanted)"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=tuple(RIVALS))
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=STEPS)
    parser.add_argument("--small-files", type=int, default=SMALL_FILES)
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "bench")
    parser.add_argument("--rival", choices=RIVALS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if options.rival:
        started = time.monotonic()
        RIVALS[options.rival](Bench(folder, options.events[0]))
        Console().print(time.monotonic() - started)
        return
    for events in options.events:
        bench = Bench(folder, events, options.small_files)
        bench.prepare()
        timings = measure(bench, options.rounds, options.rivals, options.steps)
        report(timings, events, options.small_files)


if __name__ == "__main__":
    main()
