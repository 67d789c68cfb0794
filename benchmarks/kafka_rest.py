"""Emit to Kafka REST, beside a bare loop that posts the same prepared bodies.

The broker is real, the proxy is the one of the tests, all on this machine: the ratios
within one run say something, the records a second do not say what a real proxy does.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import requests

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))

from kafka_broker import Broker, missing
from rest_front import RestFront

from ingestion.cursors import State
from ingestion.dispatch import Dispatch
from ingestion.endpoints import Place
from ingestion.kafka_rest import KafkaRest
from ingestion.records import event_number
from ingestion.sample import write_sample
from ingestion.sources import JsonLinesFolder

EVENTS: Final = 45_000
ROUNDS: Final = 3
BATCH: Final = 500
SINGLES: Final = 200
HEADERS: Final = {"Content-Type": "application/vnd.kafka.json.v2+json"}


class Timing(NamedTuple):
    """What one pass took."""

    records: int
    seconds: float
    cpu_seconds: float


def timed(work: Callable[[], int]) -> Timing:
    """Run something that returns how many records it sent."""
    begin, cpu = time.perf_counter(), time.process_time()
    records = work()
    return Timing(records, time.perf_counter() - begin, time.process_time() - cpu)


class Bench:
    """Three ways to send the same records to new topics each time."""

    _numbers = count()

    def __init__(self, broker: Broker, url: str, source: Path, state: Path) -> None:
        """Prepare the bodies that the bare loop sends."""
        self._broker, self._url = broker, url
        self._source, self._state = source, state
        self._records = {
            path.stem: [
                b'{"key":%d,"value":%b}' % (event_number(path.stem, line), line)
                for line in path.read_bytes().splitlines()
            ]
            for path in sorted(source.glob("*.jsonl"))
        }

    def _user(self) -> str:
        name = f"bench-{self._source.name}-{next(self._numbers)}"
        self._broker.create_topics(*(f"{name}.{kind}" for kind in self._records))
        return name

    def bare(self) -> Timing:
        """Post the prepared bodies over one session, and look at nothing."""
        user_id = self._user()
        posts = [
            (
                f"{self._url}/topics/{user_id}.{kind}",
                b'{"records":[' + b",".join(records[n : n + BATCH]) + b"]}",
            )
            for kind, records in self._records.items()
            for n in range(0, len(records), BATCH)
        ]

        def work() -> int:
            with requests.Session() as session:
                for url, body in posts:
                    session.post(url, data=body, headers=HEADERS).raise_for_status()
            return sum(map(len, self._records.values()))

        return timed(work)

    def emitter(self) -> Timing:
        """Emit with keys, outcomes, order, and a position on disk."""
        user_id = self._user()
        destination = KafkaRest(Place.parse(self._url))
        with (
            closing(JsonLinesFolder.open(self._source)) as source,
            Dispatch(source, destination, State(self._state), user_id) as dispatch,
        ):
            lanes = dispatch.prepare(lambda _: None)

            def work() -> int:
                dispatch.run(lanes)
                return sum(lane.courier.tally.acknowledged for lane in lanes)

            return timed(work)

    def original(self) -> Timing:
        """Post one record a request, a connection each, as the emulator did."""
        url = f"{self._url}/topics/{self._user()}.pin"

        def work() -> int:
            for record in self._records["pin"][:SINGLES]:
                body = b'{"records":[' + record + b"]}"
                requests.request("POST", url, headers=HEADERS, data=body, timeout=60)
            return SINGLES

        return timed(work)


def tell(name: str, timings: list[Timing]) -> float:
    """Print the median and the spread of one way; return its records a second."""
    rates = sorted(timing.records / timing.seconds for timing in timings)
    cpu = median(t.cpu_seconds / t.records * 1e6 for t in timings)
    sys.stdout.write(
        f"{name:28} {median(rates):9,.0f} records/s ({rates[0]:,.0f} to "
        f"{rates[-1]:,.0f}), {cpu:7.1f} µs of CPU a record\n"
    )
    return median(rates)


def compare(bench: Bench, title: str) -> None:
    """Run all ways in turn, some rounds after one that warms up, and tell."""
    ways = (bench.bare, bench.emitter, bench.original)
    rounds = [[way() for way in ways] for _ in range(ROUNDS + 1)][1:]
    bare, ours, original = (list(timings) for timings in zip(*rounds, strict=True))
    sys.stdout.write(f"{title}, {BATCH} a request\n")
    rate = tell("bare loop, prepared bodies", bare)
    our_rate = tell("ingest emit kafka-rest", ours)
    slow = tell("one record a request", original)
    sys.stdout.write(
        f"{our_rate / rate:.0%} of the bare loop, {our_rate / slow:.0f} times one "
        "record a request\n\n"
    )


def main() -> None:
    """Compare with one topic, and with three that ingest serves side by side."""
    if (reason := missing()) is not None:
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "three", EVENTS // 3, 1)
        write_sample(folder / "one", EVENTS, 1)
        for kind in ("geo", "user"):
            (folder / "one" / f"{kind}.jsonl").unlink()
        with (
            Broker(folder) as broker,
            RestFront(folder, broker.bootstrap) as front,
        ):
            for source, title in (("one", "One topic"), ("three", "Three topics")):
                state = folder / "state"
                bench = Bench(broker, front.url, folder / source, state / source)
                compare(bench, f"{title}, {EVENTS:,} records")


if __name__ == "__main__":
    main()
