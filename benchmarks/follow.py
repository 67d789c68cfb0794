"""How long a record takes from Kafka to the reports while `ingest follow` runs.

    python benchmarks/follow.py [--rate 100] [--seconds 180]

Starts a broker, emits so many events a second to it, lands and builds them beside that
with the default flush of 10 s, and passes on what each build says, p50 and p95 too.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))

from kafka_broker import Broker

from ingestion.sample import write_sample

ROOT = Path(__file__).parents[1]
TYPES = ("pin", "geo", "user")


def emit(broker: Broker, sample: Path, rate: int) -> None:
    """Produce the three records of each event, `rate` events a second."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    files = [(sample / f"{name}.jsonl").read_bytes().splitlines() for name in TYPES]
    begin = time.monotonic()
    for number, lines in enumerate(zip(*files, strict=True)):
        for name, line in zip(TYPES, lines, strict=True):
            producer.produce(f"f.{name}", line)
        producer.poll(0)
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
    producer.flush()


def follow(broker: Broker, folder: Path) -> subprocess.Popen[bytes]:
    """Start what `make follow` runs, on files of its own."""
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
    command += ["--landing", str(folder / "landing")]
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def main() -> None:
    """Emit and follow for a while."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=180)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "sample", asked.rate * asked.seconds, seed=1)
        (folder / "kafka").mkdir()
        with Broker(folder / "kafka") as broker:
            broker.create_topics(*(f"f.{record_type}" for record_type in TYPES))
            with follow(broker, folder) as process:
                emit(broker, folder / "sample", asked.rate)
                process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
