"""`ingest topics create` on a real broker, `ingest streams create` on kinesalite."""

import json
from collections.abc import Iterator
from pathlib import Path

import kafka_broker
import kinesalite_server
import pytest
from click.testing import CliRunner, Result
from kafka_broker import Broker
from kinesalite_server import Kinesalite
from processes import free_port, require

from ingestion.cli import main


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require(kafka_broker.missing())
    with Broker(tmp_path_factory.mktemp("kafka")) as started:
        yield started


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kinesalite]:
    require(kinesalite_server.missing())
    with Kinesalite(tmp_path) as started:
        yield started


def topics(bootstrap: str, user_id: str, *more: object) -> Result:
    options = ("--bootstrap", bootstrap, "--user-id", user_id, *more)
    words = [str(word) for word in ("topics", "create", *options)]
    return CliRunner().invoke(main, words)


def made(result: Result) -> list[tuple[str, bool, list[str]]]:
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return [(line["name"], line["created"], line["differences"]) for line in lines]


ALONE = ("--replication", 1, "--min-isr", 1, "--json")


def test_topics_are_made_once_and_differences_are_named_not_changed(
    broker: Broker,
) -> None:
    asked = ("--partitions", 2, *ALONE)
    first = topics(broker.bootstrap, "u", *asked)
    assert first.exit_code == 0, first.output
    assert made(first) == [(f"u.{t}", True, []) for t in ("pin", "geo", "user")]
    again = topics(broker.bootstrap, "u", *asked)
    assert again.exit_code == 0
    assert made(again) == [(f"u.{t}", False, []) for t in ("pin", "geo", "user")]
    other = topics(broker.bootstrap, "u", "--partitions", 5, *ALONE)
    assert other.exit_code == 1
    assert made(other)[0] == ("u.pin", False, ["partitions 2 instead of 5"])
    assert made(topics(broker.bootstrap, "u", *asked))[0] == ("u.pin", False, [])


def test_only_what_is_missing_is_made(broker: Broker) -> None:
    broker.create_topics("v.geo", min_insync_replicas=1)
    result = topics(broker.bootstrap, "v", "--partitions", 1, *ALONE)
    assert [created for _, created, _ in made(result)] == [True, False, True]


def test_more_copies_than_brokers_is_one_sentence(broker: Broker) -> None:
    result = topics(broker.bootstrap, "w")
    assert result.exit_code == 1
    assert "Error: Cannot create the topic w." in result.stderr
    assert "eplication" in result.stderr


def test_copies_that_lock_writers_out_are_refused(broker: Broker) -> None:
    result = topics(broker.bootstrap, "w", "--replication", 1, "--min-isr", 2)
    assert result.exit_code == 1
    assert "lets nobody write" in result.stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [("no pair\n", "not name=value"), ("no.such=1\n", "does not take these settings")],
)
def test_settings_that_are_wrong_are_one_sentence(
    tmp_path: Path, lines: str, said: str
) -> None:
    path = tmp_path / "settings"
    path.write_text("# comment\n\n" + lines)
    result = topics("127.0.0.1:1", "w", "--kafka-config", path)
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_broker_that_is_not_there_may_pass() -> None:
    result = topics(f"127.0.0.1:{free_port()}", "w", "--timeout", 1)
    assert result.exit_code == 4
    assert "See that the brokers run and --bootstrap is right" in result.stderr


def test_streams_are_made_once_and_differences_are_named_not_changed(
    server: Kinesalite,
) -> None:
    def create(shards: int) -> Result:
        words = ["streams", "create", "--user-id", "u", "--shards", str(shards)]
        runner = CliRunner(env=server.environment)
        return runner.invoke(main, [*words, "--json"])

    names = [f"streaming-u-{t}" for t in ("pin", "geo", "user")]
    first = create(2)
    assert first.exit_code == 0, first.output
    assert made(first) == [(name, True, []) for name in names]
    assert made(create(2)) == [(name, False, []) for name in names]
    other = create(3)
    assert other.exit_code == 1
    assert made(other)[0] == (names[0], False, ["shards 2 instead of 3"])
    assert made(create(2))[0] == (names[0], False, [])
