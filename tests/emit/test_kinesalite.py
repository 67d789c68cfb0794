"""Kinesis on kinesalite: partial failures, resharding, kills, the command line."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import faulty_kinesis
import kinesalite_server
import pytest
from faulty_kinesis import FakeSettled, Fault, FaultyKinesis, WatchedTransport
from kinesalite_server import Kinesalite
from kinesis_gateway import Page, gateway
from processes import require

from ingestion.delivery import Courier, Message
from ingestion.dispatch import MonotonicPace
from ingestion.errors import StopError

if TYPE_CHECKING:
    from types_boto3_kinesis import KinesisClient

INGEST = [sys.executable, "-c", "from ingestion.cli import main; main()"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kinesalite]:
    require(kinesalite_server.missing())
    with Kinesalite(tmp_path) as started:
        yield started


class HastyPace(MonotonicPace):
    """Time goes twenty times faster: waits are a twentieth of what they should be."""

    def now(self) -> float:
        return super().now() * 20

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 20)


class Reshard:
    """Splits and merges shards of a stream, on and on, until told to end."""

    def __init__(self, client: "KinesisClient", server: Kinesalite) -> None:
        self._client, self._server = client, server
        self.times = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            shards = self._client.list_shards(StreamName="s")["Shards"]
            first, *more = (
                s
                for s in shards
                if "EndingSequenceNumber" not in s["SequenceNumberRange"]
            )
            if more:
                self._client.merge_shards(
                    StreamName="s",
                    ShardToMerge=first["ShardId"],
                    AdjacentShardToMerge=more[0]["ShardId"],
                )
            else:
                self._client.split_shard(
                    StreamName="s",
                    ShardToSplit=first["ShardId"],
                    NewStartingHashKey=str(1 << 127),
                )
            self._server.wait_active("s")
            self.times += 1


def deliver(
    faulty: FaultyKinesis, sent: list[Message], settled: FakeSettled
) -> list[WatchedTransport]:
    """Deliver all, over as many runs as it takes; return the runs' transports."""
    runs = []
    while settled.position < len(sent):
        runs.append(WatchedTransport("s", faulty))
        courier = Courier("s", runs[-1], settled, HastyPace())
        left = iter(sent[settled.position :])
        try:
            courier.deliver(left, settled.position)
        except StopError as error:
            if "have expired" not in str(error):  # twice in a row
                raise
        finally:
            runs[-1].close()
    return runs


def require_nothing_lost(
    server: Kinesalite, sent: list[Message], runs: list[WatchedTransport]
) -> None:
    shards = server.stored("s")  # a child has a greater number than its parents
    stored = [put for shard in sorted(shards) for put in shards[shard]]
    acknowledged = {
        (str(message.key), message.value)
        for run in runs
        for _, message in run.acknowledged
    }
    assert acknowledged <= set(stored)
    assert {data for _, data in stored} == {message.value for message in sent}
    assert dict(stored) == {str(m.key): m.value for m in sent}


def test_under_faults_and_resharding_nothing_is_lost_and_the_last_value_is_last(
    server: Kinesalite,
) -> None:
    server.create("s")
    random = Random(7)  # noqa: S311 - draws faults
    weights = {Fault.NONE: 20, Fault.SOME: 40}
    draw = [f for f in Fault for _ in range(weights.get(f, 1))]
    each = [fault for other in Fault for fault in (other, Fault.SOME)]
    faulty = FaultyKinesis(
        faulty_kinesis.client(server.url),
        lambda: each.pop() if each else random.choice(draw),
        random,
    )
    sent = list(faulty_kinesis.messages([n % 700 for n in range(8_000)]))
    reshard = Reshard(server.client(), server)
    try:
        runs = deliver(faulty, sent, FakeSettled())
    finally:
        reshard.end()
    require_nothing_lost(server, sent, runs)
    assert all(faulty.happened.values()), faulty.happened
    assert any(of == 500 for _, of in faulty.failed)
    assert faulty.renewals > 0
    assert reshard.times > 1


def test_the_emulator_outlives_a_client_that_dies_in_a_request(
    server: Kinesalite,
) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.2)  # the server hears of the reset
    assert server.client().list_streams()["StreamNames"] == []


def test_a_server_that_is_killed_twice_loses_nothing_that_it_acknowledged(
    server: Kinesalite,
) -> None:
    server.create("s", 2)
    kills, random = [5, 12], Random()  # noqa: S311

    def fault() -> Fault:
        calls = sum(faulty.happened.values())
        if kills and calls >= kills[0]:
            kills.pop(0)
            server.kill()
            server.start()
        return Fault.NONE

    faulty = FaultyKinesis(faulty_kinesis.client(server.url), fault, random)
    sent = list(faulty_kinesis.messages(range(10_000)))
    runs = deliver(faulty, sent, FakeSettled())
    assert kills == []
    require_nothing_lost(server, sent, runs)


# --- the command line --------------------------------------------------------------


def ingest(
    server: Kinesalite, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    named = {**os.environ, **server.environment, **environment}
    return subprocess.run(
        [*INGEST, *arguments],
        env={name: value for name, value in named.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )


def emit(
    server: Kinesalite, folder: Path, *more: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return ingest(
        server,
        *("emit", "kinesis", "--source", "sample", "--events", "1000"),
        *("--user-id", "u", "--state", str(folder / "state"), *more),
        **environment,
    )


def test_a_sample_is_emitted_once_and_a_second_run_says_so(
    server: Kinesalite, tmp_path: Path
) -> None:
    for record_type in ("pin", "geo", "user"):
        server.create(f"streaming-u-{record_type}", 2)
    done = emit(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3,000 records acknowledged" in done.stdout
    for record_type, key in (("pin", "index"), ("geo", "ind"), ("user", "ind")):
        shards = server.stored(f"streaming-u-{record_type}")
        puts = [put for shard in shards.values() for put in shard]
        assert len(puts) == 1000
        assert all(str(json.loads(data)[key]) == name for name, data in puts)
    assert "Nothing new" in emit(server, tmp_path).stdout


def test_a_stream_that_was_made_anew_is_filled_again(
    server: Kinesalite, tmp_path: Path
) -> None:
    names = [f"streaming-u-{record_type}" for record_type in ("pin", "geo", "user")]
    for name in names:
        server.create(name)
    assert emit(server, tmp_path).returncode == 0
    server.delete("streaming-u-geo")
    time.sleep(1)  # creation times are in seconds
    server.create("streaming-u-geo")
    again = emit(server, tmp_path)
    assert "1,000 records acknowledged" in again.stdout
    assert len(server.stored("streaming-u-geo")["shardId-000000000000"]) == 1000


@pytest.mark.parametrize("many", [False, True])
def test_through_a_gateway_all_is_stored_whatever_pages_it_answers_with(
    server: Kinesalite, tmp_path: Path, *, many: bool
) -> None:
    for record_type in ("pin", "geo", "user"):
        server.create(f"streaming-u-{record_type}")
    pages: list[Page | None] = [None, (200, "<html>"), (504, "{}"), (429, "{}"), None]
    pages += [(200, '{"__type":"ProvisionedThroughputExceededException"}')]
    with gateway(server.client(), lambda: pages.pop(0) if pages else None) as url:
        options = ["--url", f"{url}/prod", "--events", "20", *(["--many"] * many)]
        done = emit(server, tmp_path, *options)
        wrong = emit(server, tmp_path, "--url", f"{url}/nowhere")
    assert done.returncode == 0, done.stderr
    assert "60 records acknowledged" in done.stdout
    assert pages == []
    for record_type, key in (("pin", "index"), ("geo", "ind"), ("user", "ind")):
        (puts,) = server.stored(f"streaming-u-{record_type}").values()
        assert len({name for name, _ in puts}) == 20
        assert all(str(json.loads(data)[key]) == name for name, data in puts)
    assert wrong.returncode == 1
    assert "no such path or method. Check the stage in --url" in wrong.stderr


def test_a_stream_that_is_not_there_is_one_sentence(
    server: Kinesalite, tmp_path: Path
) -> None:
    refused = emit(server, tmp_path)
    assert refused.returncode == 1
    assert "look at the stream streaming-u-pin, there is none" in refused.stderr
    assert "ingest streams create" in refused.stderr


def test_a_server_that_is_not_there_is_given_up_and_may_pass(
    server: Kinesalite, tmp_path: Path
) -> None:
    server.kill()
    refused = emit(server, tmp_path, "--give-up-after", "1")
    assert refused.returncode == 4
    assert "Kinesis does not answer. See that it is reachable" in refused.stderr
    server.start()


def test_without_credentials_or_a_region_a_sentence_says_what_to_set(
    server: Kinesalite, tmp_path: Path
) -> None:
    no_keys = emit(server, tmp_path, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert no_keys.returncode == 1
    assert "There are no AWS credentials: set AWS_ACCESS_KEY_ID" in no_keys.stderr
    no_region = emit(
        server, tmp_path, AWS_DEFAULT_REGION="", AWS_ENDPOINT_URL_KINESIS=""
    )
    assert no_region.returncode == 1
    assert "No region is known: say --region" in no_region.stderr


def test_options_of_a_gateway_without_its_url_are_refused(
    server: Kinesalite, tmp_path: Path
) -> None:
    refused = emit(server, tmp_path, "--many")
    assert refused.returncode == 1
    assert "are for a gateway: say its --url" in refused.stderr
