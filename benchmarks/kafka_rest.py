"""Emit to Kafka REST, beside a bare loop that posts the same prepared bodies.

The broker is real, the proxy is the one of the tests, all on this machine: the ratios
within one run say something, the records a second do not say what a real proxy does.
Ways take turns; figures are medians with their spread. `--events` sets a third of the
records, `--rounds` the repetitions.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

import requests

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))

from kafka_broker import Broker, missing
from rest_front import RestFront
from rounds import Timing, emitted, in_turn, tell, tell_ratio, timed

from ingestion.endpoints import Place
from ingestion.kafka_rest import KafkaRest
from ingestion.records import event_number
from ingestion.sample import write_sample

BATCH: Final = 500
SINGLES: Final = 200
HEADERS: Final = {"Content-Type": "application/vnd.kafka.json.v2+json"}


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
        destination = KafkaRest(Place.parse(self._url))
        return emitted(self._source, destination, self._state, self._user())

    def original(self) -> Timing:
        """Post one record a request, a connection each, as the emulator did."""
        url = f"{self._url}/topics/{self._user()}.pin"

        def work() -> int:
            records = self._records["pin"][:SINGLES]
            for record in records:
                body = b'{"records":[' + record + b"]}"
                requests.request("POST", url, headers=HEADERS, data=body, timeout=60)
            return len(records)

        return timed(work)


def compare(bench: Bench, title: str, rounds: int) -> None:
    """Run all ways in turn, and tell."""
    ways = (bench.bare, bench.emitter, bench.original)
    bare, ours, original = in_turn(ways, rounds)
    sys.stdout.write(f"{title}, {ours[0].records:,} records, {BATCH} a request\n")
    tell("bare loop, prepared bodies", bare)
    tell("ingest emit kafka-rest", ours)
    tell("one record a request", original)
    tell_ratio("ingest emit / bare loop", ours, bare, "0.8")
    tell_ratio("ingest emit / one record a request", ours, original, "20")
    sys.stdout.write("\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare with one topic, and with three that ingest serves side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=15_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    if (reason := missing()) is not None:
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "three", options.events, 1)
        write_sample(folder / "one", 3 * options.events, 1)
        for kind in ("geo", "user"):
            (folder / "one" / f"{kind}.jsonl").unlink()
        with (
            Broker(folder) as broker,
            RestFront(folder, broker.bootstrap) as front,
        ):
            for source, title in (("one", "One topic"), ("three", "Three topics")):
                state = folder / "state" / source
                bench = Bench(broker, front.url, folder / source, state)
                compare(bench, title, options.rounds)


if __name__ == "__main__":
    main()
