"""`ingest doctor`: what is well, what is not, and what to do about it."""

import json
import re
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import kinesalite_server
import pytest
from click.testing import CliRunner, Result
from kinesalite_server import Kinesalite
from processes import free_port, require

from ingestion.cli import main
from ingestion.doctor import look_at_landing
from ingestion.s3_calls import Patience, Place, S3Calls
from ingestion.s3_store import S3Store


class Proxy(BaseHTTPRequestHandler):
    """A REST proxy that knows one topic, and whose clock is late if it is told so."""

    late = 0.0
    key: str | None = None
    gateway: tuple[int, str] | None = None

    def do_GET(self) -> None:
        if self.gateway is not None:
            status, text = self.gateway
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
            return
        known = self.path == "/topics/u.pin"
        body = b'{"name":"u.pin"}' if known else b'{"error_code":40401}'
        denied = self.key is not None and self.headers["x-api-key"] != self.key
        self.send_response(403 if denied else 200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) - self.late, usegmt=True)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def doctor(*words: str, **environment: str) -> Result:
    runner = CliRunner(env={**environment})
    return runner.invoke(main, ["doctor", "--user-id", "u", *words])


def findings(result: Result) -> dict[str, tuple[bool | None, str]]:
    lines: list[dict[str, Any]] = list(map(json.loads, result.stdout.splitlines()))
    return {line["checked"]: (line["ok"], line["says"]) for line in lines}


def test_a_topic_that_is_there_is_well_and_one_that_is_not_is_named(
    proxy: str,
) -> None:
    result = doctor("--kafka-rest", proxy, "--json")
    assert result.exit_code == 1
    found = findings(result)
    assert found["kafka-rest, pin"] == (True, "u.pin is there")
    assert found["kafka-rest, geo"][0] is False
    assert "knows no topic u.geo" in found["kafka-rest, geo"][1]
    assert found["clock"][0] is True


def test_credentials_that_are_wrong_are_named(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Proxy, "key", "right-one")
    options = ("--kafka-rest", proxy, "--auth", "api-key", "--json")
    wrong = findings(doctor(*options, GATEWAY_API_KEY="wrong-one"))
    assert wrong["kafka-rest, pin"][0] is False
    assert "check the credentials" in wrong["kafka-rest, pin"][1]
    right = findings(doctor(*options, GATEWAY_API_KEY="right-one"))
    assert right["kafka-rest, pin"] == (True, "u.pin is there")


def test_a_clock_that_is_wrong_is_named(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Proxy, "late", 600.0)
    result = doctor("--kafka-rest", proxy)
    found = re.search(r"WRONG  clock: .* is (\d+) s ahead of", result.stdout)
    assert found is not None
    assert int(found[1]) >= 599


@pytest.mark.parametrize(
    ("status", "body", "ok", "says"),
    [
        (200, '{"StreamDescription":{}}', True, "streaming-u-pin is there"),
        (200, '{"__type":"ResourceNotFoundException"}', False, "no stream streaming-u"),
        (400, '{"__type":"AccessDeniedException"}', False, "role that the gateway"),
        (403, '{"message":"Missing Authentication Token"}', None, "stage is wrong"),
        (403, '{"message":"Forbidden"}', False, "denies access"),
        (404, '{"error_code":404}', None, "stage is wrong"),
        (301, "", False, "redirects"),
        (200, "<html>Welcome</html>", False, "check the URL"),
        (502, "<html>", False, "HTTP 502"),
        (405, "{}", False, "check that the URL"),
    ],
)
def test_what_a_gateway_says_of_a_stream_means(
    proxy: str,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: str,
    says: str,
    *,
    ok: bool | None,
) -> None:
    monkeypatch.setattr(Proxy, "gateway", (status, body))
    result = doctor("--kinesis-gateway", proxy, "--json")
    found = findings(result)
    for record_type in ("pin", "geo", "user"):
        assert found[f"gateway, {record_type}"][0] is ok
    assert says in found["gateway, pin"][1]
    assert result.exit_code == (1 if ok is False else 0)
    told = doctor("--kinesis-gateway", proxy).stdout
    assert ("All is well." in told) is (ok is True)
    assert ("Nothing is wrong, 3 not seen." in told) is (ok is None)


def test_a_host_that_does_not_answer_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for option in ("--kafka-rest", "--kinesis-gateway"):
        result = doctor(option, url)
        assert result.exit_code == 1
        assert f"cannot connect to {url}" in result.stdout


def test_streams_are_looked_at_and_nothing_is_written(tmp_path: Path) -> None:
    require(kinesalite_server.missing())
    with Kinesalite(tmp_path) as server:
        before = doctor("--kinesis", "--json", **server.environment)
        assert before.exit_code == 1
        assert "knows no stream streaming-u-geo" in findings(before)["kinesis, geo"][1]
        for record_type in ("pin", "geo", "user"):
            server.create(f"streaming-u-{record_type}")
        after = doctor("--kinesis", **server.environment)
        assert after.exit_code == 0, after.stdout
        assert "All is well." in after.stdout
        assert server.stored("streaming-u-pin") == {"shardId-000000000000": []}


def test_a_source_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "geo.jsonl").write_text('{"ind":1}\n')
    found = findings(doctor("--source", str(tmp_path), "--json"))
    assert found["source, geo"] == (True, str(tmp_path / "geo.jsonl"))
    assert found["source, pin"] == (True, "not there: none will be emitted")
    missing = doctor("--source", str(tmp_path / "nowhere"))
    assert missing.exit_code == 1
    assert "WRONG  source: There is no folder" in missing.stdout


def test_with_nothing_to_look_at_it_says_what_to_name() -> None:
    result = doctor()
    assert result.exit_code == 1
    assert "say --source, --kafka-rest, --kinesis" in result.stderr


def test_a_landing_in_a_folder_is_looked_at_and_stays_as_it_is(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    new = doctor("--landing", str(landing))
    assert f"ok     landing: none at {landing} yet" in new.stdout
    assert not landing.exists()
    (landing / "_ingest").mkdir(parents=True)
    (landing / "_ingest" / "landing.json").write_text("{")
    damaged = doctor("--landing", str(landing))
    assert damaged.exit_code == 1
    assert "landing.json is damaged: restore it." in damaged.stdout


class ForgetfulS3:
    """An S3 that stores whatever is put, condition or not."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def put_object(self, **asked: Any) -> object:  # noqa: ANN401 - as in boto3
        self.objects[asked["Key"]] = asked["Body"]
        return {}

    def get_object(self, **asked: str) -> object:
        body = BytesIO(self.objects[asked["Key"]])
        return {"Body": body, "ETag": "1", "Metadata": {}}

    def list_objects_v2(self, **_: str) -> object:
        return {"IsTruncated": False}


def test_a_store_that_takes_writes_twice_is_named() -> None:
    settings = b'{"version": 1, "compression": "none"}'
    objects = {"raw/_ingest/landing.json": settings, "raw/_ingest/probe": b"probe"}
    client: Any = ForgetfulS3(dict(objects))
    store = S3Store(S3Calls(client, Place.parse("s3://bucket/raw"), Patience()))
    landing, listed, conditional = look_at_landing(store)
    assert (landing.ok, listed.ok, conditional.ok) == (True, True, False)
    assert "lets one object be created twice" in conditional.says
    assert client.objects == objects
