"""`ingest land kinesis` on kinesalite: what is landed is what was put, once."""

import json
from collections.abc import Iterator, Sequence
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
