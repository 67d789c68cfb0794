"""Kafka REST through a proxy process into a real broker: kills, faults, errors."""

import contextlib
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka_broker
import mariadb_server
import pytest
from dialects import Fault
from kafka_broker import Broker
from mariadb_server import MariaDb
from outputs import Watched
from processes import require
from rest_front import RestFront

from ingestion.delivery import Again, Courier, Message, Outcome
from ingestion.dispatch import MonotonicPace
from ingestion.endpoints import Endpoint, Place
from ingestion.kafka_rest import KafkaRestTransport
from ingestion.records import FIELDS
from ingestion.sql_source import TABLES

REAL = Path(__file__).parents[3] / "shared/data/first_500"
INGEST = [sys.executable, "-c", "from ingestion.cli import main; main()"]
TYPES = {"pin": "index", "geo": "ind", "user": "ind"}
TOO_SLOW = Fault("504", over=200, lasting=True)
SOAK_KILLS = 5
CLOCK_SECONDS = 0.05
"""A file system may tell the time in coarser steps than a process."""

SECRET = "made-up-secret-for-tests"  # noqa: S105


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require(kafka_broker.missing())
    with Broker(tmp_path_factory.mktemp("kafka")) as started:
        yield started


@pytest.fixture
def user_id(broker: Broker, request: pytest.FixtureRequest) -> Iterator[str]:
    """Topics of a user of the test's own."""
    name = f"user{abs(hash(request.node.name)):x}"
    topics = [f"{name}.{record_type}" for record_type in TYPES]
    broker.create_topics(*topics, partitions=2)
    yield name
    broker.delete_topics(*topics)


@pytest.fixture
def front(broker: Broker, tmp_path: Path) -> Iterator[RestFront]:
    with RestFront(tmp_path, broker.bootstrap) as started:
        yield started


class Emitter:
    """Runs `ingest emit kafka-rest` as a process."""

    def __init__(self, source: Path, url: str, user_id: str, state: Path) -> None:
        self.state = state
        self.environment = {**os.environ, "GATEWAY_TOKEN": SECRET}
        self.command = [
            *(*INGEST, "emit", "kafka-rest", "--source", str(source), "--json"),
            *("--url", url, "--user-id", user_id, "--state", str(state)),
        ]

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self.command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def run(self, *options: str) -> "Done":
        return Done(self.start(*options))

    def positions(self) -> dict[str, int]:
        found = {}
        for path in self.state.glob("cursors/*.json"):
            cursor = json.loads(path.read_bytes())
            found[cursor["topic"]] = cursor["position"]
        return found

    def saved_at(self) -> dict[str, float]:
        """Return when each topic's position was written last."""
        paths = self.state.glob("cursors/*.json")
        return {json.loads(p.read_bytes())["topic"]: p.stat().st_mtime for p in paths}

    def rejected(self) -> list[dict[str, Any]]:
        path = self.state / "rejected.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()]


class Done:
    """A process that has ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.stdout, self.stderr = process.communicate(timeout=300)
        self.exit_code = process.returncode
        self.lines = [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def topics(self) -> dict[str, dict[str, Any]]:
        (summary,) = [line for line in self.lines if line["event"] == "summary"]
        return {topic["topic"].split(".")[1]: topic for topic in summary["topics"]}


def write_source(folder: Path, events: int) -> Path:
    folder.mkdir()
    for record_type, key in TYPES.items():
        lines = (
            json.dumps({key: n % (events * 9 // 10), "n": n}) for n in range(events)
        )
        (folder / f"{record_type}.jsonl").write_text("\n".join(lines))
    return folder


def emitted(source: Path, record_type: str) -> list[str]:
    return (source / f"{record_type}.jsonl").read_text().splitlines()


def check_stored(broker: Broker, user_id: str, source: Path) -> int:
    """Everything is there, newest last for each key; return what is there twice."""
    return sum(doubled_in(broker, user_id, source).values())


def doubled_in(broker: Broker, user_id: str, source: Path) -> dict[str, int]:
    """Do what `check_stored` does, and count for each topic what is there twice."""
    doubled = {}
    for record_type, field in TYPES.items():
        expected = [json.loads(line) for line in emitted(source, record_type)]
        stored = broker.read(f"{user_id}.{record_type}")
        values = [json.loads(record.value or b"") for record in stored]
        counts = Counter(value["n"] for value in values)
        assert set(counts) == {row["n"] for row in expected}
        assert all(r.key == b"%d" % json.loads(r.value or b"")[field] for r in stored)
        newest = {row[field]: row["n"] for row in expected}
        assert {value[field]: value["n"] for value in values} == newest
        doubled[f"{user_id}.{record_type}"] = len(values) - len(expected)
    return doubled


def test_the_real_records_arrive_with_their_keys(
    broker: Broker, front: RestFront, user_id: str, tmp_path: Path
) -> None:
    if not REAL.exists():
        pytest.skip("the real first 500 emissions are not beside this repository")
    emitter = Emitter(REAL, front.url, user_id, tmp_path / "state")
    assert emitter.run().exit_code == 0
    for record_type, field in TYPES.items():
        lines = (REAL / f"{record_type}.jsonl").read_text("utf-8").splitlines()
        stored = broker.read(f"{user_id}.{record_type}")
        values = [json.loads(record.value or b"") for record in stored]
        expected = [json.loads(line) for line in lines]
        order = {row[field]: n for n, row in enumerate(expected)}
        assert sorted(values, key=lambda row: order[row[field]]) == expected
        assert [r.key for r in stored] == [b"%d" % row[field] for row in values]
    again = emitter.run()
    assert again.exit_code == 0
    assert all(topic["acknowledged"] == 0 for topic in again.topics.values())


@pytest.mark.parametrize("dialect", ["strimzi", "confluent", "karapace"])
def test_each_fault_once_in_each_dialect_loses_nothing(
    broker: Broker, user_id: str, tmp_path: Path, dialect: str
) -> None:
    source = write_source(tmp_path / "source", 4_000)
    names = ["drop", "reset", "429", "503", "html", "504", "500", "502", "partial"]
    names += ["unclear", "short", "minus", "413", "422"]
    faults = [Fault(name, over=1) for name in names]
    faults += [Fault("slow", seconds=2)]
    with RestFront(tmp_path, broker.bootstrap, dialect) as front:
        front.plan(*faults, TOO_SLOW)
        emitter = Emitter(source, front.url, user_id, tmp_path / "state")
        done = emitter.run()
        assert front.faults_left() == [list(TOO_SLOW)]
        sizes = [post["records"] for post in acknowledged_by(front)]
        assert sum(size for size in sizes if size <= TOO_SLOW.over) > 10_000
    assert done.exit_code == 0, done.stderr
    assert sum(topic["acknowledged"] for topic in done.topics.values()) == 12_000
    assert sum(topic["resent"] for topic in done.topics.values()) > 0
    check_stored(broker, user_id, source)


class Settled:
    """Keeps nothing."""

    def set_aside(self, message: Message, reason: str) -> None:
        raise AssertionError((message.position, reason))

    def save(self, position: int, *, now: bool = False) -> None:
        pass


def test_a_request_that_is_not_answered_in_time_is_sent_again(
    broker: Broker, front: RestFront, user_id: str
) -> None:
    """Over a socket; the time is shorter than that of a user."""
    front.plan(Fault("slow", seconds=3))
    topic, keys = f"{user_id}.pin", range(1_000)
    endpoint = Endpoint(Place.parse(front.url), read_seconds=1)
    pace = MonotonicPace()
    heard: list[str] = []

    class Heard(KafkaRestTransport):
        def send(self, batch: Sequence[Message]) -> Sequence[Outcome]:
            outcomes = super().send(batch)
            heard.extend(o.reason for o in outcomes[:1] if isinstance(o, Again))
            return outcomes

    transport = Heard(topic, endpoint)
    courier = Courier(topic, transport, Settled(), pace)
    courier.deliver(Message(n, n, b'{"index":%d}' % n) for n in keys)
    transport.close()
    assert heard == [f"{front.url} did not answer within 1 s"]
    assert (courier.tally.acknowledged, courier.tally.resent) == (1_000, 500)
    stored = Counter(int(record.key or b"") for record in broker.read(topic))
    assert stored == {key: 2 if key < 500 else 1 for key in keys}


class Kills:
    """Kills front, broker and emitter at random moments and starts them again.

    `unsaved` counts what the front had acknowledged when an emitter was killed, and no
    position had been saved since: by topic, summed over the kills.
    """

    def __init__(self, broker: Broker, front: RestFront, emitter: Emitter) -> None:
        self._broker, self._front, self._emitter = broker, front, emitter
        self.unsaved: Counter[str] = Counter()
        self._random = random.Random(5)  # noqa: S311

    def run(self, each: int, rate: int) -> None:
        """Emit to the end, with so many kills of each of the three."""
        plan = ["front", "broker", "emitter"] * each
        self._random.shuffle(plan)
        options = ("--rate", str(rate))
        process = self._emitter.start(*options)
        for what in plan:
            self._wait(process)
            if what == "emitter":
                process.kill()
                process.communicate()
                self._count_unsaved()
                process = self._emitter.start(*options)
            else:
                server = self._front if what == "front" else self._broker
                server.kill()
                server.start()
        done = Done(process)
        assert done.exit_code == 0, done.stderr

    def _count_unsaved(self) -> None:
        saved = self._emitter.saved_at()
        for post in acknowledged_by(self._front):
            if post["at"] > saved[post["topic"]] - CLOCK_SECONDS:
                self.unsaved[post["topic"]] += post["records"]

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        """Wait until something new is acknowledged, and a random moment longer."""
        before = self._posts()
        while self._posts() == before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        time.sleep(self._random.uniform(0, 0.5))

    def _posts(self) -> int:
        return self._front.posts.stat().st_size if self._front.posts.exists() else 0


def acknowledged_by(front: RestFront) -> list[dict[str, Any]]:
    return [json.loads(line) for line in front.posts.read_text().splitlines()]


def kill_all(
    broker: Broker, user_id: str, folder: Path, events: int, each: int
) -> dict[str, tuple[int, int]]:
    """Emit events under kills; return what is there twice and its bound, by topic.

    The rate makes the run long enough for all kills to hit it. A killed emitter sends
    again what was acknowledged since it saved its position, and the open request; after
    a killed front or broker it is the open request.
    """
    source = write_source(folder / "source", events)
    with RestFront(folder, broker.bootstrap) as front:
        emitter = Emitter(source, front.url, user_id, folder / "state")
        kills = Kills(broker, front, emitter)
        kills.run(each, rate=events // 15)
        doubled = doubled_in(broker, user_id, source)
    opened = 3 * each * 500
    return {t: (twice, kills.unsaved[t] + opened) for t, twice in doubled.items()}


def test_nothing_is_lost_when_everything_is_killed_twice(
    broker: Broker, user_id: str, tmp_path: Path
) -> None:
    twice = kill_all(broker, user_id, tmp_path, 30_000, 2)
    assert all(count <= bound for count, bound in twice.values()), twice


@pytest.mark.skipif("SOAK" not in os.environ, reason="ten minutes: make soak")
def test_soak(
    broker: Broker,
    user_id: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    twice = kill_all(broker, user_id, tmp_path, 100_000, SOAK_KILLS)
    doubled, bound = (sum(counts) for counts in zip(*twice.values(), strict=True))
    with capsys.disabled():
        sys.stdout.write(
            f"\n300,000 records, {3 * SOAK_KILLS} kills: none lost, "
            f"{doubled:,} twice, at most {bound:,} allowed\n"
        )
    assert all(count <= most for count, most in twice.values()), twice


@contextmanager
def database(folder: Path, rows: int) -> Iterator[MariaDb]:
    """Yield a MariaDB whose three tables hold so many rows each, all keys twice."""
    require(mariadb_server.missing())
    with MariaDb(folder) as server:
        server.recreate_tables()
        for record_type, column in (("pin", "title"), ("geo", "country")):
            table, key = TABLES[record_type], TYPES[record_type]
            server.run(
                f"insert into {table} (`{key}`, {column})"
                f" select seq div 2, seq from seq_1_to_{rows}"
            )
        server.run(
            "insert into user_data (ind, age) "
            f"select seq div 2, seq from seq_1_to_{rows}"
        )
        yield server


def test_a_database_arrives_though_its_emitter_is_killed(
    broker: Broker, front: RestFront, user_id: str, tmp_path: Path
) -> None:
    rows = 4_000
    with database(tmp_path, rows) as server:
        emitter = Emitter(Path("sql"), front.url, user_id, tmp_path / "state")
        emitter.environment["SOURCE_URL"] = server.url()
        process = emitter.start("--rate", "1000")
        while not (front.posts.exists() and front.posts.stat().st_size > 500):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.communicate()
        assert max(emitter.positions().values()) < rows
        done = emitter.run()
        assert done.exit_code == 0, done.stderr
    for record_type, column in (("pin", "title"), ("geo", "country"), ("user", "age")):
        stored = broker.read(f"{user_id}.{record_type}")
        values = [json.loads(record.value or b"") for record in stored]
        key = TYPES[record_type]
        assert {int(value[column]) for value in values} == set(range(1, rows + 1))
        assert all(int(v[column]) // 2 == v[key] for v in values)
        assert [r.key for r in stored] == [b"%d" % value[key] for value in values]
        assert set(values[0]) == set(FIELDS[record_type])
    assert emitter.positions() == {f"{user_id}.{t}": rows for t in TYPES}


@pytest.mark.parametrize(
    ("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupt_saves_the_position_and_the_next_run_doubles_nothing(  # noqa: PLR0917
    broker: Broker,
    front: RestFront,
    user_id: str,
    tmp_path: Path,
    signum: signal.Signals,
    exit_code: int,
) -> None:
    source = write_source(tmp_path / "source", 5_000)
    front.plan(Fault("slow", seconds=1), Fault("slow", seconds=1))
    emitter = Emitter(source, front.url, user_id, tmp_path / "state")
    process = emitter.start("--rate", "2000")
    while not (front.posts.exists() and front.posts.stat().st_size > 300):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signum)
    done = Done(process)
    assert done.exit_code == exit_code
    assert "Interrupted" in done.stderr
    assert done.lines[-1]["event"] == "error"
    for topic in done.topics.values():
        assert topic["stands_at_row"] == topic["acknowledged"] < 5_000
    assert emitter.run().exit_code == 0
    assert check_stored(broker, user_id, source) == 0


def test_a_terminal_gets_a_live_table_of_all_topics_and_then_the_summary(
    front: RestFront, user_id: str, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source", 1_000)
    front.plan(*(Fault("503") for _ in TYPES), *(Fault("slow", seconds=1),) * 3)
    command = Emitter(source, front.url, user_id, tmp_path / "state").command
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [word for word in command if word != "--json"] + ["--auth", "bearer"],
        stdout=theirs,
        stderr=theirs,
        env={
            **os.environ,
            "TERM": "xterm-256color",
            "COLUMNS": "150",
            "GATEWAY_TOKEN": SECRET,
        },
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # all is read
            while more := os.read(ours, 1 << 16):
                shown += more
        assert isinstance(process, Watched)
        process.judge(shown)
    os.close(ours)
    assert process.returncode == 0
    table, _, summary = shown.decode().rpartition("stands at row")
    for record_type in TYPES:
        assert re.search(rf"{user_id}\.{record_type} .*│ +1,000 │", table)
    for column in ("acknowledged", "per second", "resent", "waiting for"):
        assert column in table
    assert re.search(r"127\.0\.0\.1:\d+ says HTTP 503", table)
    assert "3,000 records acknowledged by kafka-rest http://127.0.0.1" in summary


def test_two_emitters_of_the_same_rows_are_not_let_in(
    front: RestFront, user_id: str, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source", 5_000)
    emitter = Emitter(source, front.url, user_id, tmp_path / "state")
    process = emitter.start("--rate", "1000")
    while len(emitter.positions()) < len(TYPES):
        assert process.poll() is None
        time.sleep(0.02)
    second = emitter.run()
    assert second.exit_code == 4
    assert "Another run is emitting the same rows" in second.stderr
    process.terminate()
    assert Done(process).exit_code == 143


def test_a_changed_source_is_refused_until_restart(
    front: RestFront, user_id: str, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source", 10)
    emitter = Emitter(source, front.url, user_id, tmp_path / "state")
    assert emitter.run().exit_code == 0
    with (source / "geo.jsonl").open("a") as file:
        file.write('\n{"ind": 10, "n": 10}')
    refused = emitter.run()
    assert refused.exit_code == 1
    assert "has changed since it was emitted: say --restart" in refused.stderr
    again = emitter.run("--restart")
    assert again.exit_code == 0
    assert again.topics["geo"]["acknowledged"] == 11


# --- what stops, in one sentence ---------------------------------------------------


def test_an_unknown_topic_stops_with_one_sentence(
    front: RestFront, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source", 5)
    done = Emitter(source, front.url, "nobody", tmp_path / "state").run()
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "knows no topic nobody." in done.stderr


def test_a_proxy_that_refuses_everything_keeps_the_position_and_all_records(
    broker: Broker, front: RestFront, user_id: str, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source", 10)
    emitter = Emitter(source, front.url, user_id, tmp_path / "state")
    front.plan(Fault("422", lasting=True))
    refused = emitter.run()
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "10 records failed alone, all that this run had to send" in refused.stderr
    assert set(emitter.positions().values()) == {0}
    assert not (emitter.state / "rejected.jsonl").exists()
    front.plan()
    assert emitter.run().exit_code == 0
    assert check_stored(broker, user_id, source) == 0


def test_an_unknown_host_gives_up_with_its_position_kept(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 5)
    for url in ("http://127.0.0.1:1", "http://nobody.invalid"):
        emitter = Emitter(source, url, "u", tmp_path / "state")
        done = emitter.run("--give-up-after", "0.5")
        assert done.exit_code == 4
        assert done.stderr.count("\n") == 1
        assert f"cannot connect to {url}" in done.stderr
        assert set(emitter.positions().values()) == {0}


def test_a_wrong_key_stops_before_anything_is_sent(
    broker: Broker, front: RestFront, user_id: str, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source", 5)
    (source / "geo.jsonl").write_text('{"index": 1}')
    emitter = Emitter(source, front.url, user_id, tmp_path / "state")
    done = emitter.run()
    assert done.exit_code == 1
    assert "geo.jsonl line 1 has no event number" in done.stderr
    assert broker.read(f"{user_id}.pin") == []
    done = emitter.run("--bad-lines", "land")
    assert done.exit_code == 0
    (record,) = broker.read(f"{user_id}.geo")
    assert (record.key, record.value) == (None, b'{"index":1}')


def test_records_over_a_limit_are_set_aside_and_the_rest_arrives(
    broker: Broker, front: RestFront, tmp_path: Path
) -> None:
    topics = [f"limits.{record_type}" for record_type in TYPES]
    broker.create_topics(*topics, max_message_bytes=50_000)
    source = write_source(tmp_path / "source", 5)
    rows = [{"index": n, "n": n} for n in range(20)]
    rows[3]["text"] = "x" * 60_000  # type: ignore[assignment] # over the topic's limit
    rows[7]["text"] = "y" * ((1 << 20) - 40)  # type: ignore[assignment] # over all
    (source / "pin.jsonl").write_text("\n".join(map(json.dumps, rows)))
    emitter = Emitter(source, front.url, "limits", tmp_path / "state")
    done = emitter.run()
    assert done.exit_code == 3, done.stderr
    reasons = {r["position"]: r["reason"] for r in emitter.rejected()}
    assert sorted(reasons) == [3, 7]
    assert "message larger than the max message size" in reasons[3]
    assert "over 1 MiB" in reasons[7]
    assert (emitter.state / "rejected.jsonl").stat().st_mode & 0o777 == 0o600
    stored = [json.loads(r.value or b"")["n"] for r in broker.read("limits.pin")]
    assert sorted(stored) == [n for n in range(20) if n not in {3, 7}]
    assert emitter.positions()["limits.pin"] == 20
    assert emitter.run().exit_code == 0


def test_neither_secrets_nor_records_are_in_any_output(
    front: RestFront, user_id: str, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source", 50)
    row = json.dumps({"index": 1, "n": 1, "text": "private " * 100})
    (source / "pin.jsonl").write_text(row)
    state = tmp_path / "state"
    names = ["422", "400", "500", "html", "unclear", "drop"]
    front.plan(*(Fault(name) for name in names if name != "400"))
    options = ("--auth", "bearer", "--give-up-after", "20")
    said = []
    for url in (front.url, "http://127.0.0.1:1"):
        emitter = Emitter(source, url, user_id, state)
        patience = options if url == front.url else (*options[:3], "0.3")
        done = emitter.run(*patience)
        said.append(done.stdout + done.stderr)
    assert done.exit_code == 4
    secret_url = front.url.replace("//", f"//user:{SECRET}@")
    done = Emitter(source, secret_url, user_id, state).run()
    assert done.exit_code == 1
    said.append(done.stdout + done.stderr)
    for text in said:
        assert text
        assert SECRET not in text
        assert "private" not in text
    kept = [p.read_text() for p in state.rglob("*") if p.suffix == ".json"]
    assert SECRET not in "".join(kept)


def test_a_kept_connection_that_hangs_after_an_error_is_not_used_again(
    broker: Broker, front: RestFront, user_id: str, tmp_path: Path
) -> None:
    """The front never answers on a connection on which it has said an error."""
    source = write_source(tmp_path / "source", 2_000)
    front.plan(*(Fault("503") for _ in range(6)))
    emitter = Emitter(source, front.url, user_id, tmp_path / "state")
    done = emitter.run("--give-up-after", "30")
    assert done.exit_code == 0, done.stderr
    assert check_stored(broker, user_id, source) == 0
