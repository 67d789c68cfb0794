"""`ingest land kafka` on a real broker: what is landed is what was produced, once."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import kafka_broker
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from kafka_broker import Broker
from processes import require

from ingestion.cli import main
from ingestion.landing import Chain, Landing, Link
from ingestion.stores import DirectoryStore, Partition
from ingestion.verify import verify

INGEST = Path(sys.executable).with_name("ingest")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require(kafka_broker.missing())
    with Broker(tmp_path_factory.mktemp("kafka")) as started:
        yield started


def produce(
    broker: Broker, topic: str, values: Sequence[bytes | None], partition: int = 0
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5})
    for value in values:
        producer.produce(topic, value, partition=partition)
        producer.poll(0)
    assert producer.flush(30) == 0


def values(start: int, count: int) -> list[bytes]:
    return [b'{"index": %d, "t": "\xc3\xa9"}' % n for n in range(start, start + count)]


def words(broker: Broker, topic: str, landing: Path, *more: object) -> list[str]:
    options = ("--bootstrap", broker.bootstrap, "--topics", topic)
    return [str(w) for w in ("land", "kafka", *options, "--landing", landing, *more)]


def land(broker: Broker, topic: str, landing: Path, *more: object) -> Result:
    return CliRunner().invoke(main, words(broker, topic, landing, *more))


def links(landing: Path, topic: str, partition: int = 0) -> list[Link]:
    """Return a chain, after `ingest verify` found it whole."""
    opened = Landing.read(DirectoryStore(landing))
    assert [p for ledger in verify(opened) for p in ledger.problems] == []
    place = Partition(topic, partition)
    chain = Chain(opened, place)
    return [chain.link(start) for start in opened.store.listing(place).starts]


def landed(landing: Path, topic: str, partition: int = 0) -> list[bytes]:
    folder = landing / Partition(topic, partition).folder
    bodies = [path.read_bytes() for path in sorted(folder.iterdir())]
    return b"".join(bodies).split(b"\n")[:-1]


def test_what_is_produced_is_landed_once_in_order(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("a.pin", partitions=2)
    first, second = values(0, 2_500), values(5_000, 30)
    produce(broker, "a.pin", first)
    produce(broker, "a.pin", second, partition=1)
    result = land(broker, "a.pin", tmp_path, "--flush-records", 1000)
    assert result.exit_code == 0, result.output
    assert landed(tmp_path, "a.pin") == first
    assert landed(tmp_path, "a.pin", 1) == second
    told = [json.loads(line) for line in result.stdout.splitlines()]
    lengths = [x["records"] for x in told if x["event"] == "link"]
    assert sorted(lengths) == [30, 500, 1000, 1000]
    assert told[-1]["partitions"]["a.pin/0"] == {"links": 3, "records": 2500, "dead": 0}
