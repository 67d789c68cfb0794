"""What is done to a landing of a real broker: replayed, held against its source."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import kafka_broker
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from kafka_broker import Broker
from processes import require
from prometheus_client.parser import text_string_to_metric_families

from ingestion.cli import main


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require(kafka_broker.missing())
    with Broker(tmp_path_factory.mktemp("kafka")) as started:
        yield started


def produce(
    broker: Broker, topic: str, *values: bytes | None, partition: int = 0
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for value in values:
        producer.produce(topic, value, key=b"k\xff", partition=partition)
    assert producer.flush(30) == 0


def ingest(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def land(broker: Broker, topic: str, landing: Path, *more: object) -> Result:
    options = ("--topics", topic, "--landing", landing, *more)
    return ingest("land", "kafka", "--bootstrap", broker.bootstrap, *options)


def lines(landing: Path, topic: str) -> list[bytes]:
    files = sorted((landing / "topics" / topic).glob("*/*.json"))
    return b"".join(path.read_bytes() for path in files).split(b"\n")[:-1]


def events(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# --- dead letters ------------------------------------------------------------------


def test_a_record_that_was_too_large_comes_back_when_the_limit_is_raised(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("a.pin", partitions=2)
    large = b'{"index": 7, "title": "%s"}' % (b"x" * 200)
    produce(broker, "a.pin", b'{"index": 1}', large, None, partition=1)
    landing = tmp_path / "landing"
    assert land(broker, "a.pin", landing, "--max-record-bytes", 100).exit_code == 3
    listed = events(ingest("dead-letters", landing, "--json"))
    assert [(x["offset"], x["reason"], x["size"]) for x in listed] == [
        (1, "too_large", len(large)),
        (2, "null_value", 0),
    ]
    shown = ingest("dead-letters", landing, "--reason", "too_large").stdout
    assert "too_large" in shown
    assert "null_value" not in shown

    back = ("--bootstrap", broker.bootstrap)
    refused = ingest("replay", landing, *back, "--max-record-bytes", 100)
    assert refused.stdout.startswith("0 dead letters sent back, 2 left")
    sent = ingest("replay", landing, *back, "--json")
    assert sent.exit_code == 0, sent.output
    assert events(sent)[-1]["sent"] == 1
    assert events(ingest("replay", landing, *back, "--json"))[-1]["sent"] == 0
    last = broker.read("a.pin")[-1]
    assert (last.partition, last.offset, last.key, last.value) == (
        1,
        3,
        b"k\xff",
        large,
    )
    marker = landing / "_dead_letter/a.pin/partition=1/a.pin+1+0000000001.replayed.json"
    assert json.loads(marker.read_bytes())["offset"] == "3"

    assert land(broker, "a.pin", landing).exit_code == 0
    assert lines(landing, "a.pin") == [b'{"index": 1}', large]
    left = events(ingest("dead-letters", landing, "--json"))
    assert [x["reason"] for x in left] == ["null_value"]
    assert ingest("verify", landing).exit_code == 0


def test_nothing_goes_back_to_a_topic_made_anew(broker: Broker, tmp_path: Path) -> None:
    broker.create_topics("b.pin")
    produce(broker, "b.pin", b"x" * 50)
    assert land(broker, "b.pin", tmp_path, "--max-record-bytes", 10).exit_code == 3
    broker.delete_topics("b.pin")
    broker.create_topics("b.pin")
    replay = ("replay", tmp_path, "--bootstrap", broker.bootstrap)
    wait_until(lambda: "UNKNOWN" not in ingest(*replay).stderr)
    stopped = ingest(*replay)
    assert stopped.exit_code == 1
    assert "came from kafka:" in stopped.stderr
    assert broker.read("b.pin") == []
    assert "50" in ingest("dead-letters", tmp_path).stdout
    unsaid = ingest("replay", tmp_path)
    assert (unsaid.exit_code, "say --bootstrap" in unsaid.stderr) == (1, True)


# --- held against the source -------------------------------------------------------


def test_a_landing_is_held_against_its_topics(broker: Broker, tmp_path: Path) -> None:
    broker.create_topics("c.pin", partitions=2)
    produce(broker, "c.pin", b"1", None, b"2", b'{"a":\n3}')
    transaction(broker, "c.pin", b"aborted", commit=False)
    landing, against = tmp_path / "landing", ("--against", "kafka", "--json")
    assert land(broker, "c.pin", landing).exit_code == 3
    verify = ("verify", landing, *against, "--bootstrap", broker.bootstrap)

    clean = ingest(*verify, "--records")
    assert clean.exit_code == 0, clean.output
    held = [x for x in events(clean) if x["event"] == "against_kafka"]
    assert [(x["compared"], x["missing"]) for x in held] == [(4, 0), (0, 0)]

    transaction(broker, "c.pin", b"committed", commit=True)
    produce(broker, "c.pin", b"4", b"5", partition=1)
    behind = ingest(*verify)
    assert behind.exit_code == 1
    held = [x for x in events(behind) if x["event"] == "against_kafka"]
    assert [x["missing"] for x in held] == [1, 2]
    assert events(behind)[-1] == {
        "event": "verified",
        "landing": str(landing),
        "partitions": 1,
        "clean": False,
    }
    assert land(broker, "c.pin", landing).exit_code == 0
    assert ingest(*verify, "--records").exit_code == 0


def transaction(broker: Broker, topic: str, value: bytes, *, commit: bool) -> None:
    settings = {"bootstrap.servers": broker.bootstrap, "transactional.id": "operations"}
    producer = Producer(settings)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def test_another_topic_of_that_name_does_not_prove_a_landing(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("d.pin")
    produce(broker, "d.pin", b"1")
    assert land(broker, "d.pin", tmp_path).exit_code == 0
    broker.delete_topics("d.pin")
    broker.create_topics("d.pin")
    verify = ("verify", tmp_path, "--against", "kafka", "--bootstrap", broker.bootstrap)
    wait_until(lambda: "UNKNOWN" not in ingest(*verify).stderr)
    other = ingest(*verify)
    assert other.exit_code == 1
    assert "it was landed from kafka:" in other.stderr
    assert other.stdout.endswith("NOT CLEAN.\n")
    assert ingest(*verify[:-2]).exit_code == 2


# --- metrics -----------------------------------------------------------------------


class Following:
    """`ingest land kafka --follow` with its own port for whoever watches."""

    def __init__(self, broker: Broker, topic: str, landing: Path, *more: str) -> None:
        command = [str(Path(sys.executable).with_name("ingest")), "land", "kafka"]
        command += ["--bootstrap", broker.bootstrap, "--topics", topic, "--follow"]
        command += ["--landing", str(landing), "--metrics-port", "0", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline())["port"]

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            body: bytes = answer.read()
        return body.decode()

    def values(self, partition: int = 0) -> dict[str, float]:
        """Return every metric of a partition, and those of none."""
        return {
            " ".join([sample.name, *filter(None, [sample.labels.get("reason")])]): (
                sample.value
            )
            for family in text_string_to_metric_families(self.get("/metrics"))
            for sample in family.samples
            if sample.labels.get("partition", str(partition)) == str(partition)
        }

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def test_a_landing_is_watched_while_it_goes_on(broker: Broker, tmp_path: Path) -> None:
    broker.create_topics("m.pin", partitions=2, retention_ms=3_600_000)
    produce(broker, "m.pin", *[b"1"] * 20, None, b"\xff", None)
    waits = ("--flush-records", "10", "--flush-seconds", "3600")
    following = Following(broker, "m.pin", tmp_path, *waits)
    try:
        wait_until(lambda: following.values().get("ingest_records_total") == 20)
        assert json.loads(following.get("/healthz"))["well"] is True
        wait_until(lambda: following.values().get("ingest_lag_seconds", 0) > 0)
        found = following.values()
        assert found["ingest_links_total"] == 2
        assert found["ingest_bytes_total"] == 40
        assert found["ingest_lag_records"] == 3
        assert found["ingest_retention_headroom_records"] == 20
        headroom = found["ingest_retention_headroom_seconds"]
        assert 3_000 < headroom < 3_600
        assert found["ingest_source_up"] == 1
        other = following.values(partition=1)
        assert (other["ingest_lag_records"], other["ingest_lag_seconds"]) == (0, 0)
        produce(broker, "m.pin", *[b"2"] * 10)
        wait_until(lambda: following.values()["ingest_links_total"] == 3)
        found = following.values()
        assert found["ingest_dead_letters_total null_value"] == 2
        assert found["ingest_dead_letters_total not_utf8"] == 1
        assert found["ingest_lag_records"] == 0
        assert found["ingest_conflicts_total"] == 0
        assert land(broker, "m.pin", tmp_path).exit_code == 0
        produce(broker, "m.pin", *[b"3"] * 3)
        assert land(broker, "m.pin", tmp_path).exit_code == 0
        produce(broker, "m.pin", *[b"4"] * 7)
        wait_until(lambda: following.values().get("ingest_conflicts_total") == 1)
    finally:
        code = following.stop()
    assert code == 0


def test_brokers_that_hang_are_waited_out_and_sigterm_ends_it_within_25_seconds(
    broker: Broker, tmp_path: Path
) -> None:
    broker.create_topics("f.pin")
    following = Following(broker, "f.pin", tmp_path, "--flush-seconds", "8")
    told = following.process.stdout
    assert told is not None
    try:
        wait_until(lambda: following.values().get("ingest_lag_records") == 0)
        produce(broker, "f.pin", *[b"1"] * 3)
        wait_until(lambda: following.values().get("ingest_lag_seconds", 0) > 0)
        with broker.frozen():
            said = json.loads(told.readline())
            assert said["event"] == "waiting"
            assert "Cannot look at the topic f.pin: " in said["message"]
            assert re.search(r"Timed out|no answer in 10 s", said["message"])
            following.process.send_signal(signal.SIGTERM)
            assert following.process.wait(25) == 128 + signal.SIGTERM
    finally:
        following.process.kill()
        told.close()
    assert land(broker, "f.pin", tmp_path).exit_code == 0
    (file,) = (tmp_path / "topics/f.pin/partition=0").iterdir()
    assert file.read_bytes() == b"1\n" * 3


def test_the_doctor_asks_brokers_for_topics(broker: Broker) -> None:
    broker.create_topics("asked.pin")
    options = ("--user-id", "asked", "--bootstrap", broker.bootstrap, "--json")
    told = ingest("doctor", *options)
    found = {
        line["checked"]: line for line in map(json.loads, told.stdout.splitlines())
    }
    assert told.exit_code == 1
    assert found["brokers, pin"]["says"] == "asked.pin is there"
    assert found["brokers, pin, retention"]["says"] == "168 hours"
    assert not found["brokers, geo"]["ok"]
    assert "Cannot look at the topic asked.geo" in found["brokers, geo"]["says"]
