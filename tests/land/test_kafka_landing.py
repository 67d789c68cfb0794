"""`ingest land kafka` on a real broker: what is landed is what was produced, once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kafka_broker
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_broker import Broker
from processes import require

from ingestion.cli import main
from ingestion.errors import StopError
from ingestion.kafka_source import KafkaReader, kafka_consumer
from ingestion.lander import Lander, Log, Point
from ingestion.landing import Chain, Landing, Link
from ingestion.stores import DirectoryStore, Partition
from ingestion.topics import kafka_admin
from ingestion.verify import verify

INGEST = Path(sys.executable).with_name("ingest")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require(kafka_broker.missing())
    settings = {"auto.create.topics.enable": "true"}  # as brokers are by default
    with Broker(tmp_path_factory.mktemp("kafka"), settings) as started:
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
    links_of_0 = [x for x in told if x["event"] == "link" and x["partition"] == 0]
    assert [x["lag_records"] for x in links_of_0] == [1500, 500, 0]
    assert 0 <= links_of_0[0]["lag_seconds"] < 600
    assert told[-1]["partitions"]["a.pin/0"] == {"links": 3, "records": 2500, "dead": 0}


def test_a_run_goes_on_where_the_last_one_ended(broker: Broker, tmp_path: Path) -> None:
    broker.create_topics("b.pin")
    all_values = values(0, 60)
    for start in (0, 20, 40):
        produce(broker, "b.pin", all_values[start : start + 20])
        assert land(broker, "b.pin", tmp_path).exit_code == 0
    assert land(broker, "b.pin", tmp_path).exit_code == 0
    assert landed(tmp_path, "b.pin") == all_values
    assert [link.start for link in links(tmp_path, "b.pin")] == [0, 20, 40]


def test_aborted_transactions_and_markers_are_gaps(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("c.pin")
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": "landing-test"}
    )
    producer.init_transactions(30)
    committed = []
    for n in range(6):
        producer.begin_transaction()
        for value in values(n * 10, 10):
            producer.produce("c.pin", value)
        assert producer.flush(30) == 0
        if n % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
            committed += values(n * 10, 10)
        assert land(broker, "c.pin", tmp_path, "--flush-records", 7).exit_code == 0
    assert landed(tmp_path, "c.pin") == committed
    chain = links(tmp_path, "c.pin")
    assert sum(link.gaps for link in chain) == 24
    assert chain[-1].next == 54


def test_what_cannot_be_a_line_is_set_aside(broker: Broker, tmp_path: Path) -> None:
    broker.create_topics("d.pin")
    produce(broker, "d.pin", [b"1", None, b"\xff", b'{"a":\n1}', b"a\nb", b"2"])
    assert land(broker, "d.pin", tmp_path).exit_code == 3
    assert landed(tmp_path, "d.pin") == [b"1", b'{"a": 1}', b"2"]
    folder = tmp_path / "_dead_letter/d.pin/partition=0"
    letters = [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]
    assert [(x["offset"], x["reason"]) for x in letters] == [
        (1, "null_value"),
        (2, "not_utf8"),
        (4, "newline"),
    ]
    assert links(tmp_path, "d.pin")[0].dead == 3


def test_a_topic_made_anew_is_not_mixed_with_the_old_one(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("e.pin")
    produce(broker, "e.pin", values(0, 3))
    assert land(broker, "e.pin", tmp_path).exit_code == 0
    broker.delete_topics("e.pin")
    wait_until(lambda: land(broker, "e.pin", tmp_path / "none").exit_code == 1)
    broker.create_topics("e.pin")
    produce(broker, "e.pin", values(10, 5))
    stopped = land(broker, "e.pin", tmp_path)
    assert stopped.exit_code == 1
    assert "its offsets count something else" in stopped.stderr
    assert land(broker, "e.pin", tmp_path, "--continue-chain").exit_code == 0
    assert land(broker, "e.pin", tmp_path).exit_code == 0
    assert landed(tmp_path, "e.pin") == values(0, 3) + values(10, 5)


def test_expired_records_stop_a_run_and_are_counted_when_accepted(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("f.pin")
    produce(broker, "f.pin", values(0, 10))
    delete_before(broker, "f.pin", 4)
    assert land(broker, "f.pin", tmp_path).exit_code == 0
    produce(broker, "f.pin", values(10, 10))
    delete_before(broker, "f.pin", 13)
    stopped = land(broker, "f.pin", tmp_path)
    assert stopped.exit_code == 1
    sentence = "3 records of f.pin partition 0 from offset 10"
    assert sentence in stopped.stderr
    with following(broker, "f.pin", tmp_path) as member:
        _, said = member.communicate(timeout=60)
    assert member.returncode == 1, said
    assert sentence.encode() in said
    assert land(broker, "f.pin", tmp_path, "--accept-expired").exit_code == 0
    assert landed(tmp_path, "f.pin") == values(4, 6) + values(13, 7)
    counts = [(link.before_start, link.expired) for link in links(tmp_path, "f.pin")]
    assert counts == [(4, 0), (0, 3)]


def test_a_new_chain_begins_at_an_offset_or_a_time(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("m.pin")
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for n, value in enumerate(values(0, 10)):
        at = noon + timedelta(minutes=n)
        producer.produce("m.pin", value, timestamp=int(at.timestamp() * 1000))
    assert producer.flush(30) == 0
    starts = ("earliest", "6", "2026-11-22T13:03:30+01:00", "2026-11-23T00:00Z")
    for start, first in zip(starts, (0, 6, 4, 10), strict=True):
        folder = tmp_path / str(first)
        result = land(broker, "m.pin", folder, "--start", start)
        assert result.exit_code == 0, result.output
        found = landed(folder, "m.pin") if first < 10 else []
        assert found == values(first, 10 - first)
        assert not found or links(folder, "m.pin")[0].before_start == first
    for start in ("2026-11-22T12:00", "soon", "-1"):
        assert land(broker, "m.pin", tmp_path, "--start", start).exit_code == 2


def test_records_that_expire_between_a_look_and_the_read_stop_a_run(
    broker: Broker, tmp_path: Path
) -> None:
    """A position that is gone must not become another one."""
    broker.create_topics("l.pin")
    produce(broker, "l.pin", values(0, 3))
    assert land(broker, "l.pin", tmp_path).exit_code == 0
    produce(broker, "l.pin", values(3, 7))

    class Late(KafkaReader):
        def start(
            self,
            opened: Callable[[Partition, Log], Point],
            dropped: Callable[[Partition], None],
        ) -> None:
            def look(partition: Partition, log: Log) -> Point:
                point = opened(partition, log)
                delete_before(broker, "l.pin", 6)
                return point

            super().start(look, dropped)

    consumer = kafka_consumer(broker.bootstrap, "late")
    landing = Landing.open(DirectoryStore(tmp_path))
    late = Late(consumer, kafka_admin(broker.bootstrap), ["l.pin"])
    expired = pytest.raises(StopError, match=r"3 records .* from offset 3 on have")
    with closing(late) as reader, expired:
        Lander(landing, reader).run()
    assert landed(tmp_path, "l.pin") == values(0, 3)


def delete_before(broker: Broker, topic: str, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        future.result(30)


def test_what_is_not_there_is_one_sentence(broker: Broker, tmp_path: Path) -> None:
    unknown = land(broker, "nobody.pin", tmp_path)
    assert unknown.exit_code == 1
    assert "Cannot look at the topic nobody.pin" in unknown.stderr
    broker.create_topics("nobody.pin")  # fails if the look has made it
    broker.create_topics("_hidden")
    produce(broker, "_hidden", values(0, 1))
    hidden = land(broker, "_hidden", tmp_path)
    assert hidden.exit_code == 1
    assert "_hidden cannot be landed" in hidden.stderr
    (tmp_path / "other/topics/u.pin/partition=0").mkdir(parents=True)
    wrong = land(broker, "a.pin", tmp_path / "other")
    assert wrong.exit_code == 1
    assert "was written by something else" in wrong.stderr


# --- processes ---------------------------------------------------------------------


@contextmanager
def following(
    broker: Broker, topic: str, landing: Path, *more: object
) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(INGEST), *words(broker, topic, landing, "--follow", *more)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def read_by(broker: Broker, group: str, topic: str) -> int:
    """Return the offset that a lander committed for whoever watches its lag."""
    with broker.consumer(**{"group.id": group}) as consumer:
        (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=30)
    return place.offset


def test_sigterm_lands_what_waits_and_exits_0(broker: Broker, tmp_path: Path) -> None:
    broker.create_topics("g.pin")
    produce(broker, "g.pin", values(0, 5))
    options = ("--group", "watched", "--flush-records", 5)
    with following(broker, "g.pin", tmp_path, *options) as process:
        wait_until(lambda: read_by(broker, "watched", "g.pin") == 5)
        produce(broker, "g.pin", values(5, 3))
        time.sleep(2)  # nothing shows that they are buffered
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0, process.stderr and process.stderr.read()
    assert landed(tmp_path, "g.pin") == values(0, 8)


def test_a_broker_that_was_wiped_is_not_mixed_with_the_old_one(tmp_path: Path) -> None:
    """Also by a lander that runs all the time, when offsets alone would not tell."""
    require(kafka_broker.missing())
    (tmp_path / "kafka").mkdir()
    landing = tmp_path / "landing"
    with Broker(tmp_path / "kafka") as broker:
        broker.create_topics("w.pin")
        produce(broker, "w.pin", values(0, 3))
        with following(broker, "w.pin", landing, "--flush-seconds", 1) as lander:
            wait_until(lambda: lines_in(landing, "w.pin") == 3)
            broker.wipe()
            broker.create_topics("w.pin")
            produce(broker, "w.pin", values(10, 5))
            wait_until(lambda: lander.poll() is not None)
            assert lander.stderr is not None
            said = lander.stderr.read().decode()
        assert lander.returncode == 1, said
        assert "Traceback" not in said
        stopped = land(broker, "w.pin", landing)
        assert stopped.exit_code == 1
        assert "its offsets count something else" in stopped.stderr
        assert landed(landing, "w.pin") == values(0, 3)
        assert land(broker, "w.pin", landing, "--continue-chain").exit_code == 0
        assert landed(landing, "w.pin") == values(0, 3) + values(10, 5)
    assert len({link.source for link in links(landing, "w.pin")}) == 2


def test_landers_share_partitions_out_and_take_over(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("h.pin", partitions=2)
    options = ("--flush-seconds", 0.1)
    with following(broker, "h.pin", tmp_path, *options) as first:
        produce(broker, "h.pin", values(0, 50))
        wait_until((tmp_path / "topics").exists)
        with following(broker, "h.pin", tmp_path, *options) as second:
            for n in range(1, 10):
                produce(broker, "h.pin", values(n * 50, 50), partition=n % 2)
                time.sleep(0.3)
            first.send_signal(signal.SIGTERM)
            assert first.wait(25) == 0
            produce(broker, "h.pin", values(500, 50))
            wait_until(lambda: lines_in(tmp_path, "h.pin") == 550)
            second.send_signal(signal.SIGTERM)
            assert second.wait(25) == 0
    even = [v for n in (0, 2, 4, 6, 8, 10) for v in values(n * 50, 50)]
    assert landed(tmp_path, "h.pin") == even
    assert links(tmp_path, "h.pin")[0].start == 0


def lines_in(landing: Path, topic: str) -> int:
    files = (landing / "topics" / topic).glob("*/*.json")
    return sum(path.read_bytes().count(b"\n") for path in files)


ROUNDS = int(os.environ.get("ROUNDS", "60"))
KILL_EVERY = 6


def test_three_landers_on_one_partition_that_sleep_and_die_land_each_record_once(
    broker: Broker, tmp_path: Path
) -> None:
    """Each has a group of its own, so all three are given the partition.

    In each round a random one is stopped for a random time and woken; in every sixth
    another one is killed meanwhile, and a new one begins.
    """
    dice = random.Random()  # noqa: S311 - what is killed is no secret
    broker.create_topics("k.pin")
    running: list[subprocess.Popen[bytes]] = []

    def start(number: int) -> subprocess.Popen[bytes]:
        options = ("--flush-records", 20, "--flush-seconds", 0.1)
        more = words(broker, "k.pin", tmp_path, "--follow", *options)
        command = [str(INGEST), *more, "--group", f"k{number}"]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    produced: list[bytes] = []
    try:
        running = [start(n) for n in range(3)]
        produce_more(broker, produced)
        wait_until(lambda: lines_in(tmp_path, "k.pin") > 0)
        for n in range(ROUNDS):
            killed, sleeper = dice.sample(range(3), 2)
            running[sleeper].send_signal(signal.SIGSTOP)
            end = time.monotonic() + dice.uniform(0.05, 0.5)
            while time.monotonic() < end:
                produce_more(broker, produced)
            if n % KILL_EVERY == KILL_EVERY - 1:
                running[killed].kill()
                running[killed].wait()
                running[killed] = start(3 + n)
            running[sleeper].send_signal(signal.SIGCONT)
            produce_more(broker, produced)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert land(broker, "k.pin", tmp_path).exit_code == 0
    assert landed(tmp_path, "k.pin") == produced
    writers = Counter(link.writer for link in links(tmp_path, "k.pin"))
    assert len(writers) > 3
    if "ROUNDS" in os.environ:
        sys.stderr.write(
            f"\n{ROUNDS} rounds: {len(produced):,} records once and in order, in "
            f"{writers.total():,} links of {len(writers)} landers\n"
        )


def produce_more(broker: Broker, produced: list[bytes]) -> None:
    some = values(len(produced), 37)
    produce(broker, "k.pin", some)
    produced += some
    time.sleep(0.02)
