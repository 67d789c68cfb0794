"""How long the models take on DuckDB and on a Spark cluster, beside the notebook way.

Run by `make bench`; needs Java. Everything reads the same landed files in the same run:
`dbt run --full-refresh`, another 1 % of events, and a PySpark program as the public
notebooks for these records have it. Prints each step as it ends, as large sizes take an
hour, then medians with their spread; asserts nothing.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models import ROOT, Bench

CLUSTER = ROOT / "tests" / "servers" / "spark_cluster.py"
ENGINES = ("duckdb", "spark_cluster")
STEPS = {
    "empty": "dbt run, empty landing (dbt's own time)",
    "full": "dbt run --full-refresh",
    "one": "dbt run, +1 % of new events in new files",
    "none": "dbt run, nothing new",
}


def label(engine: str, step: str) -> str:
    """Return what a step of an engine does."""
    notebook = {"empty": "session start", "full": "infer, clean, join, aggregate"}
    return (notebook if engine == "notebook" else STEPS)[step]


@dataclass
class Result:
    """An engine's seconds of each round by step, and its peak memory in MiB."""

    name: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    mebibytes: int = 0

    def add(self, step: str, seconds: float) -> None:
        """Note a round, and tell it."""
        self.seconds.setdefault(step, []).append(seconds)
        sys.stderr.write(f"{self.name}: {label(self.name, step)}: {seconds:.1f} s\n")

    def median(self, step: str) -> float:
        """Return the middle round."""
        return statistics.median(self.seconds[step])

    def text(self, step: str) -> str:
        """Return median and spread."""
        rounds = self.seconds[step]
        return f"{self.median(step):.1f} ({min(rounds):.1f}-{max(rounds):.1f})"


@contextmanager
def cluster(folder: Path) -> Iterator[list[int]]:
    """Start a cluster with two workers; give the ids of its processes."""
    command = [sys.executable, str(CLUSTER)]
    done = subprocess.run(
        [*command, "start", str(folder)], check=True, capture_output=True, text=True
    )
    os.environ["SPARK_THRIFT_PORT"] = done.stdout.strip().rpartition("=")[2]
    state = (folder / "cluster.json").read_text("utf-8")
    try:
        yield [int(pid) for pid in re.findall(r'-?\w+": (\d+)', state)][:-1]
    finally:
        subprocess.run([*command, "stop", str(folder)], check=True)


def peak_mebibytes(pids: Sequence[int]) -> int:
    """Return the peaks of processes and their children, added up; Linux only."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(
                re.findall(r"^(\w+):\s+(\d+)", status.read_text(), re.MULTILINE)
            )
        except OSError:
            continue
        if int(status.parent.name) in pids or int(lines["PPid"]) in pids:
            total += int(lines.get("VmHWM", 0)) // 1024
    return total


def dbt(bench: Bench, engine: str, *options: str, empty: bool = False) -> float:
    """Run the models; return seconds."""
    landing = bench.folder / "empty" if empty else bench.landing
    return bench.call("dbt", "-q", "run", *options, landing=landing, target=engine)[0]


def measure_empty(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Time runs that have nothing to do, which is the engines' own time and dbt's."""
    (bench.folder / "empty" / "topics").mkdir(parents=True, exist_ok=True)
    seconds = {}
    for engine in ENGINES:
        bench.call("dbt", "-q", "seed", target=engine)
        dbt(bench, engine, "--full-refresh", empty=True)
        seconds[engine] = [dbt(bench, engine, empty=True) for _ in range(rounds)]
    return seconds


def measure(bench: Bench, results: dict[str, Result], rounds: int) -> None:
    """Time every engine in turn, so that noise falls on all alike."""
    for engine in ENGINES:
        bench.call("dbt", "-q", "parse", target=engine)
    for _ in range(rounds):
        for engine in ENGINES:
            result = results[engine]
            words = ("dbt", "-q", "run", "--full-refresh")
            seconds, peak = bench.call(*words, target=engine)
            result.add("full", seconds)
            if engine == "duckdb":
                result.mebibytes = max(result.mebibytes, peak)
            bench.add()
            result.add("one", dbt(bench, engine))
            result.add("none", dbt(bench, engine))
            bench.take_back()


def notebook(bench: Bench, result: Result) -> None:
    """Time the notebook way in a process of its own."""
    program = Path(__file__).with_name("notebook.py")
    done = subprocess.run(
        [sys.executable, str(program), str(bench.landing)],
        check=True,
        cwd=bench.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    start, work, mebibytes = done.stdout.split()[-3:]
    result.add("empty", float(start))
    result.add("full", float(start) + float(work))
    result.mebibytes = max(result.mebibytes, int(mebibytes))


def report(results: dict[str, Result], events: int) -> None:
    """Print the table and the ratios."""
    table = Table(title=f"{events:,} events, {3 * events:,} records")
    for column in ("engine", "what", "seconds (spread)", "beyond its own", "peak MiB"):
        left = column in {"engine", "what"}
        table.add_column(column, justify="left" if left else "right")
    for name, result in results.items():
        for step in result.seconds:
            table.add_row(
                name,
                label(name, step),
                result.text(step),
                f"{result.median(step) - result.median('empty'):.1f}",
                str(result.mebibytes) if step == "full" else "",
            )
    console = Console()
    console.print(table)
    work = {
        name: result.median("full") - result.median("empty")
        for name, result in results.items()
    }
    for engine, wanted in (("duckdb", "10 or more"), ("spark_cluster", "1 or more")):
        whole = results["notebook"].median("full") / results[engine].median("full")
        console.print(
            f"notebook / full refresh on {engine}: {whole:.1f}, beyond their own time "
            f"{work['notebook'] / work[engine]:.1f} ({wanted} is wanted)"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--notebook-rounds", type=int, default=1)
    options = parser.parse_args(arguments)
    folder = ROOT / "data" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    benches = [Bench(folder, events) for events in options.events]
    for bench in benches:
        bench.prepare()
    with cluster(folder / "cluster") as pids:
        empty = measure_empty(benches[0], options.rounds)
        for bench in benches:
            results = {name: Result(name, {"empty": empty[name]}) for name in ENGINES}
            measure(bench, results, options.rounds)
            results["spark_cluster"].mebibytes = peak_mebibytes(pids)
            results["notebook"] = Result("notebook")
            for _ in range(options.notebook_rounds):
                notebook(bench, results["notebook"])
            report(results, bench.events)


if __name__ == "__main__":
    main()
