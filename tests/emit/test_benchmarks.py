"""That the benchmarks run: a tiny size of each, and what it prints; never a timing."""

import re
import subprocess
import sys
from pathlib import Path

import kafka_broker
import kinesalite_server
import pytest
from processes import require

ROOT = Path(__file__).parents[2]
RATIO = r": \d+\.\d\d \(\d+\.\d\d to \d+\.\d\d; [\d.]+ or more is wanted\)"


def run(script: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_benchmark_of_kafka_rest_tells_its_ratios() -> None:
    require(kafka_broker.missing())
    told = run("kafka_rest", "--events", "20", "--rounds", "1")
    assert "One topic, 60 records, 500 a request" in told
    assert "Three topics, 60 records, 500 a request" in told
    for what in ("bare loop", "one record a request"):
        assert len(re.findall(f"ingest emit / {what}{RATIO}", told)) == 2


def test_the_benchmark_of_kinesis_tells_its_ratios() -> None:
    require(kinesalite_server.missing())
    told = run("kinesis", "--events", "20", "--rounds", "1")
    assert "kinesalite, 60 records, 500 a request" in told
    assert "Nothing stored, 60 records, 500 a request" in told
    for what in ("prepared bodies", "boto3"):
        assert len(re.findall(f"ingest emit / bare loop, {what}{RATIO}", told)) == 2


def test_the_benchmark_of_the_models_tells_its_ratios(tmp_path: Path) -> None:
    if not (ROOT / "profiles.yml").exists():
        pytest.fail("there is no profiles.yml: make setup")
    options = ("--steps", "one", "--rivals", "bare DuckDB", "--folder", str(tmp_path))
    told = run("models", "--events", "200", "--rounds", "1", *options)
    assert "200 events, 600 records" in told
    assert re.search(r"full refresh / bare DuckDB pass: -?\d+\.\d\d", told)
    assert re.search(r"\+1 % / full refresh: -?\d+\.\d\d", told)


def test_the_benchmark_of_flush_sizes_counts_files(tmp_path: Path) -> None:
    options = ("--events", "60", "--records", "10", "--rounds", "1")
    told = run("flush", *options, "--folder", str(tmp_path))
    assert "60 events, 180 records" in told
    rows = [re.findall(r"-?[\d.]+", line) for line in told.splitlines()]
    assert [row[:2] for row in rows if len(row) == 4] == [["10", "18"]]
