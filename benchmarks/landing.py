"""Land a topic of Kafka in a folder and in S3: ours, a bare loop, and Quix Streams.

Broker and MiniStack are real and run on this machine, so ratios within one run say
something, and records a second do not say what other machines do. Rounds alternate the
ways. Every way runs in a process of its own, which tells its own peak memory.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import boto3
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))

import kafka_broker
import ministack_server
from kafka_broker import Broker
from ministack_server import BUCKET, MiniStack
from processes import SERVERS

from ingestion.cli import main as ingest
from ingestion.sample import write_sample

PER_OBJECT: Final = 10_000
DIFFERENT: Final = 20_000
QUIX: Final = SERVERS / "quixstreams" / "bin" / "python"
QUIX_SHARE: Final = 10
"""Quix Streams lands one record of so many: its rate does not depend on the number."""


class Run(NamedTuple):
    """What one way took for so many records."""

    records: int
    seconds: float
    peak_mib: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Return records a second."""
        return self.records / self.seconds


class Task(NamedTuple):
    """What is landed, and where: `place` is a folder or `s3://…`."""

    bootstrap: str
    topic: str
    records: int
    place: str


# --- the ways, each in a process of its own ----------------------------------------


def measured(task: Task, work: Callable[[Task], None]) -> Run:
    """Do the work; the peak is that of this process since it began."""
    begin, cpu = time.perf_counter(), time.process_time()
    work(task)
    seconds, spent = time.perf_counter() - begin, time.process_time() - cpu
    status = Path("/proc/self/status").read_text("ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0])
    return Run(task.records, seconds, peak / 1024, spent)


def bare(task: Task) -> Run:
    """Consume, join 10,000 values, write them durably, commit; and check nothing."""
    return measured(task, _bare)


def _bare(task: Task) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": task.bootstrap,
            "group.id": f"bare-{time.time_ns()}",
            "enable.auto.commit": False,
        }
    )
    write = _to_s3() if "://" in task.place else _to_folder(Path(task.place))
    consumer.assign([TopicPartition(task.topic, 0, 0)])
    start, values = 0, list[bytes | None]()
    while start < task.records:
        wanted = min(PER_OBJECT, task.records - start) - len(values)
        values += [message.value() for message in consumer.consume(wanted, 1.0)]
        if len(values) == min(PER_OBJECT, task.records - start):
            write(f"{start:010d}.json", b"\n".join(values) + b"\n")  # type: ignore[arg-type]
            start, values = start + len(values), []
            place = TopicPartition(task.topic, 0, start)
            consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()


def _to_folder(folder: Path) -> Callable[[str, bytes], None]:
    def write(name: str, body: bytes) -> None:
        with (folder / name).open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())

    folder.mkdir()
    return write


def _to_s3() -> Callable[[str, bytes], None]:
    s3 = boto3.client("s3")

    def write(name: str, body: bytes) -> None:
        s3.put_object(Bucket=BUCKET, Key=f"bare/{name}", Body=body)

    return write


def ours(task: Task) -> Run:
    """Run `ingest land kafka` as it is."""
    return measured(task, _ours)


def _ours(task: Task) -> None:
    words = ["--bootstrap", task.bootstrap, "--topics", task.topic]
    words = ["land", "kafka", *words, "--landing", task.place]
    said = CliRunner().invoke(ingest, words)
    if said.exit_code:
        sys.exit(said.output)
    landed = json.loads(said.stdout.splitlines()[-1])["partitions"].values()
    if sum(each["records"] for each in landed) != task.records:
        sys.exit(f"ingest landed {landed} of {task.records} records")


def quix(task: Task) -> Run:
    """Let Quix Streams land a share of the records in S3."""
    records = max(task.records // QUIX_SHARE, 1)
    script = Path(__file__).with_name("quix_landing.py")
    words = [task.bootstrap, task.topic, str(records), str(PER_OBJECT), BUCKET]
    said = subprocess.run(
        [QUIX, script, *words], check=True, capture_output=True, text=True
    )
    found = json.loads(said.stdout.splitlines()[-1])
    peak = found["peak_kib"] / 1024
    return Run(records, found["seconds"], peak, found["cpu_seconds"])


# --- the bench ---------------------------------------------------------------------


def alone(way: Callable[[Task], Run], task: Task) -> Run:
    """Run one way in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(way, task).result()


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Yield a new folder for one run."""
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def run_round(folder: Path, task: Task) -> dict[str, Run]:
    """Run every way once, each in a place of its own."""
    found = {}
    for name, way in (("bare", bare), ("ours", ours)):
        with emptied(folder / "run") as place:
            found[f"{name}, folder"] = alone(
                way, task._replace(place=f"{place}/landing")
            )
    rivals = [("quix", quix)] if task.records else []
    for name, way in (("bare", bare), ("ours", ours), *rivals):
        with emptied(folder / "run") as place:
            server = MiniStack(place)
            os.environ.update(server.environment)
            os.environ["AWS_ENDPOINT_URL_S3"] = server.environment["AWS_ENDPOINT_URL"]
            os.environ["AWS_DEFAULT_REGION"] = server.environment["AWS_REGION"]
            found[f"{name}, S3"] = alone(
                way, task._replace(place=f"s3://{BUCKET}/bench")
            )
            server.stop()
    return found


def produce(broker: Broker, topic: str, folder: Path, records: int) -> float:
    """Fill a topic with pins of the sample; return their mean size."""
    broker.create_topics(topic)
    if not records:
        return 0.0
    write_sample(folder / "sample", min(records, DIFFERENT), 1)
    lines = (folder / "sample" / "pin.jsonl").read_bytes().splitlines()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 50})
    total = 0
    for line in islice(cycle(lines), records):
        total += len(line)
        while True:
            try:
                producer.produce(topic, line)
            except BufferError:
                producer.poll(0.1)
            else:
                break
    if producer.flush(60):
        sys.exit("The broker did not take all records.")
    return total / records


def report(rounds: list[dict[str, Run]], baseline: dict[str, Run]) -> None:
    """Print medians with their spread, and the ratios within rounds."""
    write = sys.stdout.write
    for name in rounds[0]:
        rates = sorted(each[name].rate for each in rounds)
        peak = max(each[name].peak_mib for each in rounds)
        cpu = median(each[name].cpu_seconds / each[name].records for each in rounds)
        empty = baseline.get(name)
        beside = f", with an empty topic {empty.peak_mib:.0f}" if empty else ""
        write(
            f"{name:14} {median(rates):9,.0f} records/s ({rates[0]:,.0f} to "
            f"{rates[-1]:,.0f}), {cpu * 1e6:.1f} µs of CPU a record, "
            f"peak {peak:.0f} MiB{beside}\n"
        )
    for place in ("folder", "S3"):
        write(f"of the bare loop, {place}: {_ratio(rounds, place, 'bare'):.0%}\n")
    write(f"times Quix Streams, S3: {_ratio(rounds, 'S3', 'quix'):.1f}\n")


def _ratio(rounds: list[dict[str, Run]], place: str, other: str) -> float:
    pairs = [(each[f"ours, {place}"], each[f"{other}, {place}"]) for each in rounds]
    return median(mine.rate / others.rate for mine, others in pairs)


def main() -> None:
    """Fill a topic, land it every way, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if (reason := kafka_broker.missing() or ministack_server.missing()) is not None:
        sys.exit(reason)
    if not QUIX.exists():
        sys.exit("Quix Streams is not installed: make .servers/quixstreams.done")
    with tempfile.TemporaryDirectory() as name, Broker(Path(name)) as broker:
        folder = Path(name)
        size = produce(broker, "bench.pin", folder, asked.records)
        produce(broker, "empty.pin", folder, 0)
        sys.stdout.write(f"{asked.records:,} records of {size:.0f} bytes\n")
        sys.stdout.flush()
        task = Task(broker.bootstrap, "bench.pin", asked.records, "")
        empty = run_round(folder, task._replace(topic="empty.pin", records=0))
        rounds = [run_round(folder, task) for _ in range(asked.rounds)]
        report(rounds, empty)


if __name__ == "__main__":
    main()
