"""`ingest follow` on a real broker: records reach the reports while it runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import kafka_broker
import pytest
from confluent_kafka import Producer
from kafka_broker import Broker
from processes import require

from ingestion.landing import Landing
from ingestion.sample import write_sample
from ingestion.stores import DirectoryStore
from ingestion.verify import verify

ROOT = Path(__file__).parents[2]
TYPES = ("pin", "geo", "user")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require(kafka_broker.missing())
    with Broker(tmp_path_factory.mktemp("kafka")) as started:
        yield started


def produce(broker: Broker, sample: Path, events: slice) -> None:
    """Produce events, and return when the broker has acknowledged them all."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for name in TYPES:
        lines = (sample / f"{name}.jsonl").read_bytes().splitlines()
        for line in lines[events]:
            producer.produce(f"f.{name}", line)
    assert producer.flush(30) == 0


@contextmanager
def following(broker: Broker, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "DUCKDB_PATH": str(folder / "pinterest.duckdb"),
        "ANSWERS_PATH": str(folder / "answers.duckdb"),
        "DASHBOARD_PATH": str(folder / "dashboard.html"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_TARGET": "duckdb",
    }
    command = [str(Path(sys.executable).with_name("ingest")), "follow", "kafka"]
    command += ["--bootstrap", broker.bootstrap, "--user-id", "f"]
    command += ["--landing", str(folder / "landing"), "--flush-seconds", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def posts(published: Path) -> int:
    if not published.exists():
        return 0
    with duckdb.connect(published, read_only=True) as answers:
        found = answers.execute("select count(*) from fct_posts").fetchone()
    return int(found[0]) if found else 0


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_records_reach_the_reports_while_landing_goes_on(
    broker: Broker, tmp_path: Path
) -> None:
    write_sample(tmp_path / "sample", 300, seed=1)
    broker.create_topics(*(f"f.{name}" for name in TYPES))
    answers = tmp_path / "answers.duckdb"
    with following(broker, tmp_path) as process:
        produce(broker, tmp_path / "sample", slice(200))
        wait_until(lambda: posts(answers) == 200)
        produce(broker, tmp_path / "sample", slice(200, 300))
        wait_until(lambda: posts(answers) == 300)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    sys.stderr.write(said)  # pytest -s shows p50 and p95
    assert process.returncode == 0
    told = [line for line in said.splitlines() if " records " in line]
    builds = [line for line in told if "published" in line]
    assert len(builds) >= 2
    # The last part of an event may be landed when a build has begun: it is not counted
    # as built, and said at the end.
    assert sum(int(line.split()[0].replace(",", "")) for line in told) == 900
    assert "p50" in builds[-1]
    assert "p95" in builds[-1]
    landing = Landing.read(DirectoryStore(tmp_path / "landing"))
    assert all(ledger.clean for ledger in verify(landing))
