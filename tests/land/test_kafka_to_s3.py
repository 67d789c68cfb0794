"""`ingest land kafka` from a real broker into MiniStack's S3, which may go away."""

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import kafka_broker
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from kafka_broker import Broker
from processes import require
from tcp_proxy import TcpProxy

from ingestion.cli import main
from ingestion.landing import Landing
from ingestion.stores import Partition
from ingestion.verify import verify

if TYPE_CHECKING:
    from landing_sites import Prefix

pytest_plugins = ["landing_sites"]

INGEST = Path(sys.executable).with_name("ingest")
POLL_SECONDS = 5
"""A member that has not polled for so long loses its partitions."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require(kafka_broker.missing())
    settings = {"group.min.session.timeout.ms": "1000"}
    with Broker(tmp_path_factory.mktemp("kafka"), settings) as started:
        yield started


def produce(broker: Broker, topic: str, values: list[bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def numbered(start: int, count: int) -> list[bytes | None]:
    return [b'{"n": %d}' % n for n in range(start, start + count)]


def words(broker: Broker, topic: str, prefix: "Prefix", *more: object) -> list[str]:
    options = ("--bootstrap", broker.bootstrap, "--topics", topic)
    return [
        str(each)
        for each in ("land", "kafka", *options, "--landing", prefix.place, *more)
    ]


def landed(prefix: "Prefix", topic: str) -> list[bytes | None]:
    """Return what is landed, after `ingest verify` found it whole."""
    landing = Landing.read(prefix.store())
    assert [p for ledger in verify(landing) for p in ledger.problems] == []
    objects = landing.store.listing(Partition(topic, 0)).objects
    bodies = [prefix.body(name) for _, name in objects]
    return [*b"".join(bodies).split(b"\n")[:-1]]


def wait_until(done: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_is_produced_lands_in_s3_with_its_dead_letters(
    broker: Broker, prefix: "Prefix"
) -> None:
    broker.create_topics("a.pin")
    produce(broker, "a.pin", [*numbered(0, 20), b"\xff", *numbered(20, 5), None])
    runs = [
        CliRunner().invoke(main, words(broker, "a.pin", prefix, "--flush-records", 8))
        for _ in range(2)
    ]
    assert [run.exit_code for run in runs] == [3, 0]
    assert landed(prefix, "a.pin") == numbered(0, 25)
    place = Partition("a.pin", 0)
    assert prefix.store().listing(place).dead_letters == [20, 26]
    name = f"{place.dead_letters}/a.pin+0+0000000020.json"
    letter = json.loads(prefix.body(name))
    assert (letter["reason"], base64.b64decode(letter["value"])) == (
        "not_utf8",
        b"\xff",
    )


# --- outages -----------------------------------------------------------------------


class Following:
    """A lander that goes on until it is stopped, by a way to S3 that can be closed."""

    def __init__(
        self, broker: Broker, prefix: "Prefix", proxy: TcpProxy, folder: Path
    ) -> None:
        config = folder / "kafka.properties"
        limit = POLL_SECONDS * 1000
        config.write_text(
            f"max.poll.interval.ms={limit}\nsession.timeout.ms={limit}\n"
            "heartbeat.interval.ms=500\n"
        )
        options = ("--follow", "--flush-seconds", 0.2, "--kafka-config", config)
        more = ("--s3-endpoint", proxy.url, "--group", "outage")
        command = words(broker, "b.pin", prefix, *options, *more)
        self._told = folder / "told"
        with self._told.open("wb") as out:
            self.process = subprocess.Popen([INGEST, *command], stdout=out, stderr=out)

    def waits(self) -> list[float]:
        """Return how long it said that it waits, each time."""
        lines = self._told.read_bytes().splitlines()
        told = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [each["seconds"] for each in told if each["event"] == "waiting"]


@contextmanager
def following(
    broker: Broker, prefix: "Prefix", folder: Path
) -> Iterator[tuple[Following, TcpProxy]]:
    port = urlsplit(prefix.server.environment["AWS_ENDPOINT_URL"]).port
    assert port
    with TcpProxy(port) as proxy:
        lander = Following(broker, prefix, proxy, folder)
        try:
            yield lander, proxy
        finally:
            lander.process.kill()
            lander.process.wait()


def members(broker: Broker) -> set[str]:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    (found,) = admin.describe_consumer_groups(["outage"]).values()
    return {member.member_id for member in found.result(30).members}


def test_an_outage_is_waited_out_by_a_member_of_the_group_and_sigterm_ends_it(
    broker: Broker, prefix: "Prefix", tmp_path: Path
) -> None:
    broker.create_topics("b.pin")
    produce(broker, "b.pin", numbered(0, 10))
    with following(broker, prefix, tmp_path) as (lander, proxy):
        wait_until(lambda: prefix.store().last_start(Partition("b.pin", 0)) == 0)
        before = members(broker)
        proxy.close()
        produce(broker, "b.pin", numbered(10, 10))
        wait_until(lambda: 8 in lander.waits())
        assert sum(lander.waits()) > POLL_SECONDS
        assert len(before) == 1
        assert members(broker) == before
        proxy.open = True
        wait_until(lambda: prefix.store().last_start(Partition("b.pin", 0)) == 10)
        proxy.silent = True
        produce(broker, "b.pin", numbered(20, 10))
        time.sleep(2)  # nothing shows that it waits for an answer
        lander.process.send_signal(signal.SIGTERM)
        assert lander.process.wait(25) == 128 + signal.SIGTERM
    assert landed(prefix, "b.pin") == numbered(0, 20)
    rerun = CliRunner().invoke(main, words(broker, "b.pin", prefix))
    assert rerun.exit_code == 0, rerun.output
    assert landed(prefix, "b.pin") == numbered(0, 30)
