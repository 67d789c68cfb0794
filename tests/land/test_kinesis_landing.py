"""`ingest land kinesis` on kinesalite: what is landed is what was put, once."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import kinesalite_server
import pytest
from click.testing import CliRunner, Result
from kinesalite_server import Kinesalite
from processes import require

from ingestion.cli import main
from ingestion.landing import Chain, Landing, Link
from ingestion.stores import DirectoryStore, Partition
from ingestion.verify import verify


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinesalite]:
    require(kinesalite_server.missing())
    with Kinesalite(tmp_path_factory.mktemp("kinesalite")) as started:
        yield started


@pytest.fixture(autouse=True)
def environment(server: Kinesalite, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def put(
    server: Kinesalite, stream: str, values: Sequence[bytes], key: str = ""
) -> None:
    """Put values in order; each is its own partition key if none is given."""
    client = server.client()
    for at in range(0, len(values), 500):
        records = [
            {"Data": value, "PartitionKey": key or value[:99].decode("latin-1")}
            for value in values[at : at + 500]
        ]
        said = client.put_records(StreamName=stream, Records=records)  # type: ignore[arg-type]
        assert said["FailedRecordCount"] == 0


def values(start: int, count: int) -> list[bytes]:
    return [b'{"index": %d, "t": "\xc3\xa9"}' % n for n in range(start, start + count)]


def land(stream: str, landing: Path, *more: object) -> Result:
    words = ("land", "kinesis", "--streams", stream, "--landing", landing, *more)
    return CliRunner().invoke(main, [str(word) for word in words])


def links(landing: Path, stream: str, shard: int = 0) -> list[Link]:
    """Return a chain, after `ingest verify` found it whole."""
    opened = Landing.read(DirectoryStore(landing))
    assert [p for ledger in verify(opened) for p in ledger.problems] == []
    place = Partition(stream, shard)
    chain = Chain(opened, place)
    return [chain.link(start) for start in opened.store.listing(place).starts]


def landed(landing: Path, stream: str, shard: int = 0) -> list[bytes]:
    folder = landing / Partition(stream, shard).folder
    paths = sorted(folder.iterdir()) if folder.exists() else []
    return b"".join(path.read_bytes() for path in paths).split(b"\n")[:-1]


def stored(server: Kinesalite, stream: str) -> dict[int, list[bytes]]:
    """Return what is in the stream, by shard in order."""
    shards = server.stored(stream).items()
    return {int(name[-12:]): [data for _, data in puts] for name, puts in shards}


def require_equal(server: Kinesalite, stream: str, landing: Path) -> None:
    """Each record once, in the order of its shard, in a landing that verifies."""
    for shard, expected in stored(server, stream).items():
        assert landed(landing, stream, shard) == expected
        links(landing, stream, shard)


def test_what_is_put_is_landed_once_in_order(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("a-pin", 3)
    put(server, "a-pin", values(0, 2_500))
    result = land("a-pin", tmp_path, "--flush-records", 500)
    assert result.exit_code == 0, result.output
    require_equal(server, "a-pin", tmp_path)
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert sum(x["records"] for x in told if x["event"] == "link") == 2_500
    assert set(told[-1]["partitions"]) == {"a-pin/0", "a-pin/1", "a-pin/2"}


def test_a_run_goes_on_where_the_last_one_ended(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("b-pin")
    for start in (0, 20, 40):
        put(server, "b-pin", values(start, 20))
        assert land("b-pin", tmp_path).exit_code == 0
    assert land("b-pin", tmp_path).exit_code == 0
    assert landed(tmp_path, "b-pin") == values(0, 60)
    assert [link.start for link in links(tmp_path, "b-pin")] == [0, 20, 40]
    assert all(link.next_sequence for link in links(tmp_path, "b-pin"))


def verified(landing: Path, *more: str) -> tuple[int, list[int], int]:
    """Return the exit code, what is missing of each shard, and what was compared."""
    words = ("verify", str(landing), "--against", "kinesis", "--json", *more)
    result = CliRunner().invoke(main, words)
    told = [json.loads(line) for line in result.stdout.splitlines()]
    held = [x for x in told if x["event"] == "against_kinesis"]
    missing = [x["missing"] for x in held]
    return result.exit_code, missing, sum(x["compared"] for x in held)


def test_a_landing_is_held_against_its_streams(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("held-pin", 2)
    put(server, "held-pin", values(0, 50))
    put(server, "held-pin", [b"\xff"], key="k")
    assert land("held-pin", tmp_path, "--flush-records", 10).exit_code == 3
    assert verified(tmp_path) == (0, [0, 0], 0)
    assert verified(tmp_path, "--records") == (0, [0, 0], 51)
    put(server, "held-pin", values(50, 7))
    code, missing, compared = verified(tmp_path, "--records")
    assert (code, sum(missing), compared) == (1, 7, 51)


def test_a_record_that_was_too_large_goes_back_to_its_stream(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("back-pin")
    large = b'{"index": 7, "title": "%s"}' % (b"x" * 200)
    put(server, "back-pin", [large, b"\xff"], key="7")
    assert land("back-pin", tmp_path, "--max-record-bytes", 100).exit_code == 3
    sent = CliRunner().invoke(main, ["replay", str(tmp_path), "--json"])
    assert sent.exit_code == 0, sent.output
    assert json.loads(sent.stdout.splitlines()[-1])["sent"] == 1
    assert land("back-pin", tmp_path).exit_code == 0
    assert landed(tmp_path, "back-pin") == [large]
    assert stored(server, "back-pin") == {0: [large, b"\xff", large]}


def test_a_split_and_a_merge_are_landed_parents_first(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("c-pin")
    put(server, "c-pin", values(0, 30))
    split(server, "c-pin", 0)
    put(server, "c-pin", values(30, 30))
    merge(server, "c-pin", 1, 2)
    put(server, "c-pin", values(60, 30))
    assert land("c-pin", tmp_path).exit_code == 0
    require_equal(server, "c-pin", tmp_path)
    put(server, "c-pin", values(90, 5))
    assert land("c-pin", tmp_path).exit_code == 0
    require_equal(server, "c-pin", tmp_path)
    assert landed(tmp_path, "c-pin", 3) == values(60, 35)
    require_parents_first(server, "c-pin", tmp_path)


def split(server: Kinesalite, stream: str, shard: int) -> None:
    client = server.client()
    shards = client.list_shards(StreamName=stream)["Shards"]
    (hashes,) = (
        s["HashKeyRange"] for s in shards if s["ShardId"].endswith(f"{shard:012d}")
    )
    middle = (int(hashes["StartingHashKey"]) + int(hashes["EndingHashKey"])) // 2
    client.split_shard(
        StreamName=stream,
        ShardToSplit=f"shardId-{shard:012d}",
        NewStartingHashKey=str(middle),
    )
    server.wait_active(stream)


def merge(server: Kinesalite, stream: str, one: int, other: int) -> None:
    names = {
        "ShardToMerge": f"shardId-{one:012d}",
        "AdjacentShardToMerge": f"shardId-{other:012d}",
    }
    server.client().merge_shards(StreamName=stream, **names)
    server.wait_active(stream)


def test_two_shares_land_all_shards_and_a_child_waits_for_the_other_ones_parent(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("d-pin")
    put(server, "d-pin", values(0, 30))
    split(server, "d-pin", 0)
    put(server, "d-pin", values(30, 30))
    early = land("d-pin", tmp_path, "--shards", "2/2")
    assert early.exit_code == 4
    assert "d-pin partition 1 was not landed" in early.stderr
    assert landed(tmp_path, "d-pin", 1) == []
    assert land("d-pin", tmp_path, "--shards", "1/2").exit_code == 0
    assert landed(tmp_path, "d-pin", 1) == []
    assert land("d-pin", tmp_path, "--shards", "2/2").exit_code == 0
    require_equal(server, "d-pin", tmp_path)


def test_a_stream_made_anew_is_not_mixed_with_the_old_one(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("e-pin")
    put(server, "e-pin", values(0, 3))
    assert land("e-pin", tmp_path).exit_code == 0
    server.delete("e-pin")
    time.sleep(1)  # creation times are in seconds
    server.create("e-pin")
    put(server, "e-pin", values(10, 5))
    stopped = land("e-pin", tmp_path)
    assert stopped.exit_code == 1
    first = links(tmp_path, "e-pin")[0].source
    assert f"landed from {first}, and this is kinesis:arn:" in stopped.stderr
    assert land("e-pin", tmp_path, "--continue-chain").exit_code == 0
    put(server, "e-pin", values(15, 5))
    assert land("e-pin", tmp_path).exit_code == 0
    assert landed(tmp_path, "e-pin") == values(0, 3) + values(10, 10)
    assert [link.base for link in links(tmp_path, "e-pin")] == [0, 3, 3]


def test_what_cannot_be_a_line_is_set_aside_and_an_aggregate_is_named(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("f-pin")
    put(server, "f-pin", [b"1", b"\xf3\x89\x9a\xc2\x0a\x01k", b"\xff", b"2"], "k")
    assert land("f-pin", tmp_path).exit_code == 3
    assert landed(tmp_path, "f-pin") == [b"1", b"2"]
    folder = tmp_path / "_dead_letter/f-pin/partition=0"
    letters = [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]
    assert [(x["offset"], x["reason"]) for x in letters] == [
        (1, "kpl_aggregate"),
        (2, "not_utf8"),
    ]
    assert links(tmp_path, "f-pin")[0].dead == 2


def test_what_is_not_there_is_one_sentence(
    server: Kinesalite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = land("nobody-pin", tmp_path)
    assert unknown.exit_code == 1
    assert "Cannot look at the stream nobody-pin, there is none" in unknown.stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:9")
    nowhere = land("a-pin", tmp_path)
    assert nowhere.exit_code == 4
    assert "Kinesis does not answer. See that it is reachable" in nowhere.stderr
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    without = land("a-pin", tmp_path)
    assert without.exit_code == 1
    assert "There are no AWS credentials" in without.stderr
    assert server.url


# --- processes ---------------------------------------------------------------------

INGEST = Path(sys.executable).with_name("ingest")


def started(stream: str, landing: Path, *more: object) -> subprocess.Popen[bytes]:
    words = ("land", "kinesis", "--streams", stream, "--landing", landing, "--follow")
    command = [str(INGEST), *(str(word) for word in (*words, *more))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@contextmanager
def following(
    stream: str, landing: Path, *more: object
) -> Iterator[subprocess.Popen[bytes]]:
    with started(stream, landing, *more) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_sigterm_lands_what_waits_and_exits_0(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("g-pin")
    put(server, "g-pin", values(0, 5))
    with following("g-pin", tmp_path, "--flush-records", 5) as process:
        wait_until((tmp_path / "topics/g-pin").exists)
        put(server, "g-pin", values(5, 3))
        time.sleep(2)  # nothing shows that they are buffered
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0, process.stderr and process.stderr.read()
    assert landed(tmp_path, "g-pin") == values(0, 8)


def test_sigterm_ends_it_within_25_seconds_while_kinesis_hangs(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.create("hang-pin")
    put(server, "hang-pin", values(0, 5))
    with following("hang-pin", tmp_path, "--flush-records", 5) as process:
        wait_until((tmp_path / "topics/hang-pin").exists)
        put(server, "hang-pin", values(5, 3))
        time.sleep(2)  # nothing shows that they are buffered
        with server.frozen():
            process.send_signal(signal.SIGTERM)
            assert process.wait(25) == 128 + signal.SIGTERM
    assert land("hang-pin", tmp_path).exit_code == 0
    require_equal(server, "hang-pin", tmp_path)


class Load:
    """Puts records with few keys, and splits and merges, on and on, until it ends."""

    def __init__(self, server: Kinesalite, stream: str) -> None:
        self.put: dict[str, list[bytes]] = {}
        self.reshardings = 0
        self._server, self._stream = server, stream
        self._client = server.client()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work) for work in (self._fill, self._reshard)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _fill(self) -> None:
        number = 0
        while not self._ended.wait(0.02):
            for _ in range(7):
                key, value = f"k{number % 11}", b'{"index": %d}' % number
                self._client.put_record(
                    StreamName=self._stream, Data=value, PartitionKey=key
                )
                self.put.setdefault(key, []).append(value)
                number += 1

    def _reshard(self) -> None:
        while not self._ended.wait(1.0):
            shards = self._client.list_shards(StreamName=self._stream)["Shards"]
            numbers = sorted(
                (int(s["HashKeyRange"]["StartingHashKey"]), int(s["ShardId"][-12:]))
                for s in shards
                if "EndingSequenceNumber" not in s["SequenceNumberRange"]
            )
            if len(numbers) < 3:
                split(self._server, self._stream, numbers[0][1])
            else:
                merge(self._server, self._stream, numbers[0][1], numbers[1][1])
            self.reshardings += 1


ROUNDS = 6


def test_three_landers_under_kill_9_land_each_record_once_while_shards_are_resharded(
    server: Kinesalite, tmp_path: Path
) -> None:
    dice = random.Random()  # noqa: S311 - what is killed is no secret
    server.create("k-pin", 2)
    options = ("--flush-records", 20, "--flush-seconds", 0.2)
    running = [started("k-pin", tmp_path, *options) for _ in range(3)]
    load = Load(server, "k-pin")
    try:
        wait_until((tmp_path / "topics/k-pin").exists)
        for _ in range(ROUNDS):
            at, sleeper = dice.sample(range(3), 2)
            running[sleeper].send_signal(signal.SIGSTOP)
            time.sleep(dice.uniform(0.5, 2.5))
            running[at].kill()
            running[at].communicate()
            running[sleeper].send_signal(signal.SIGCONT)
            running[at] = started("k-pin", tmp_path, *options)
        wait_until(lambda: load.reshardings > 2)
    finally:
        load.end()
        for process in running:
            process.kill()
            process.communicate()
    assert land("k-pin", tmp_path).exit_code == 0
    require_equal(server, "k-pin", tmp_path)
    require_order_of_keys(tmp_path, load)
    require_parents_first(server, "k-pin", tmp_path)
    parts = [links(tmp_path, "k-pin", n) for n in stored(server, "k-pin")]
    assert len({link.writer for part in parts for link in part}) > 3


def require_order_of_keys(landing: Path, load: Load) -> None:
    """The shards of a key have ever greater numbers."""
    keys = {value: key for key, part in load.put.items() for value in part}
    found: dict[str, list[bytes]] = {}
    folders = (landing / "topics/k-pin").iterdir()
    for shard in sorted(int(folder.name.partition("=")[2]) for folder in folders):
        for value in landed(landing, "k-pin", shard):
            found.setdefault(keys[value], []).append(value)
    assert found == load.put


def require_parents_first(server: Kinesalite, stream: str, landing: Path) -> None:
    def times(shard: int) -> list[int]:
        folder = landing / f"_ingest/links/{stream}/{shard}"
        paths = folder.iterdir() if folder.exists() else ()
        return [path.stat().st_mtime_ns for path in paths]

    for shard in server.client().list_shards(StreamName=stream)["Shards"]:
        for name in ("ParentShardId", "AdjacentParentShardId"):
            parent, child = shard.get(name), times(int(shard["ShardId"][-12:]))
            if isinstance(parent, str) and child:
                assert max(times(int(parent[-12:])), default=0) < min(child)
