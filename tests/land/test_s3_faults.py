"""S3 that fails, answers late or not at all, and writers that are killed: MiniStack."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from botocore import exceptions as aws
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

from ingestion.emitters import Emission, Flush
from ingestion.errors import IngestError, StopError
from ingestion.landing import Landing
from ingestion.s3_calls import Patience, S3Calls, make_client
from ingestion.s3_store import S3Store
from ingestion.sources import JsonLinesFolder, Order
from ingestion.verify import verify

if TYPE_CHECKING:
    from landing_sites import Prefix
    from types_boto3_s3 import S3Client

pytest_plugins = ["landing_sites"]

ROWS: Final = 5
TYPES: Final = {"pin": "index", "geo": "ind", "user": "ind"}
PLACES: Final = [
    pytest.param("PutObject", range(2), id="put the probe"),
    pytest.param("PutObject", range(3, 5), id="put the first link"),
    pytest.param("PutObject", range(7, 10), id="put a later link"),
    pytest.param("HeadObject", range(2), id="first head"),
    pytest.param("HeadObject", range(2, 4), id="later head"),
    pytest.param("ListObjectsV2", range(2), id="first list"),
    pytest.param("ListObjectsV2", range(4, 7), id="later list"),
]

Answer = AWSResponse | None
Fault = Callable[[AWSPreparedRequest], Answer]


class Raw:
    """The body of an answer that a test makes up."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._body


def answer(status: int, code: str) -> Fault:
    """Answer without doing anything."""

    def fault(request: AWSPreparedRequest) -> Answer:
        body = f"<Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
        body = b"" if request.method == "HEAD" else body
        return AWSResponse(str(request.url), status, HTTPHeaders(), Raw(body))

    return fault


def sent(request: AWSPreparedRequest) -> None:
    """Do what is asked, and lose the answer."""
    with closing(URLLib3Session()) as session:
        session.send(request)


def reset_before(request: AWSPreparedRequest) -> Answer:
    raise aws.ConnectionClosedError(endpoint_url=request.url)


def reset_after(request: AWSPreparedRequest) -> Answer:
    sent(request)
    raise aws.ConnectionClosedError(endpoint_url=request.url)


def timed_out_after(request: AWSPreparedRequest) -> Answer:
    sent(request)
    raise aws.ReadTimeoutError(endpoint_url=request.url)


def late(_: AWSPreparedRequest) -> Answer:
    time.sleep(0.05)
    return None


def damaged(request: AWSPreparedRequest) -> Answer:
    """Change a byte on the way: the checksum no longer fits."""
    if isinstance(request.body, bytes) and request.body:
        request.body = bytes([request.body[0] ^ 1]) + request.body[1:]
    return None


PASSING: Final = {
    "409": answer(409, "ConditionalRequestConflict"),
    "429": answer(429, "TooManyRequests"),
    "500": answer(500, "InternalError"),
    "503": answer(503, "SlowDown"),
    "reset before": reset_before,
    "reset after": reset_after,
    "time-out after": timed_out_after,
    "late": late,
    "damaged": damaged,
}

UNNOTICED: Final = {"late", "damaged"}
"""What may need no second call, and so happens less often."""


class Hook:
    """Lets a fault happen at some calls of an operation, through botocore's events."""

    def __init__(self, fault: Fault, operation: str, calls: range) -> None:
        self.happened = 0
        self._fault = fault
        self._operation = operation
        self._calls = calls
        self._seen = 0

    def client(self) -> "S3Client":
        client = make_client()
        client.meta.events.register("before-send.s3", self)  # type: ignore[arg-type]
        return client

    def __call__(
        self, event_name: str, request: AWSPreparedRequest, **_: object
    ) -> Answer:
        if self._operation not in {"", event_name.rpartition(".")[2]}:
            return None
        self._seen += 1
        if self._seen - 1 not in self._calls:
            return None
        self.happened += 1
        return self._fault(request)


def write_source(folder: Path) -> Path:
    folder.mkdir()
    for record_type, key in TYPES.items():
        lines = [orjson.dumps({key: n, "of": record_type}) for n in range(ROWS)]
        (folder / f"{record_type}.jsonl").write_bytes(b"\n".join([*lines, b""]))
    return folder


def emit(source: Path, prefix: "Prefix", client: "S3Client | None" = None) -> None:
    """Emit in links of two records; failures are asked again at once."""
    patience = Patience(30, sleep=lambda _: None)
    store = S3Store(S3Calls(client or make_client(), prefix.place, patience))
    with closing(JsonLinesFolder.open(source)) as folder:
        flush = Flush(max_records=2)
        emission = Emission(folder, Landing.open(store), "u", Order(), flush)
        emission.run(emission.prepare(lambda _: None), lambda _: None)


def assert_landed_once(prefix: "Prefix", source: Path) -> None:
    landing = Landing.read(prefix.store())
    assert [p for ledger in verify(landing) for p in ledger.problems] == []
    for record_type in TYPES:
        (partition,) = (
            p for p in landing.store.partitions() if p.topic == f"u.{record_type}"
        )
        objects = landing.store.listing(partition).objects
        landed = b"".join(prefix.body(name) for _, name in objects)
        assert landed == (source / f"{record_type}.jsonl").read_bytes()


@pytest.mark.parametrize(("operation", "calls"), PLACES)
@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_loses_and_doubles_nothing(
    tmp_path: Path, prefix: "Prefix", fault: str, operation: str, calls: range
) -> None:
    source = write_source(tmp_path / "source")
    hook = Hook(PASSING[fault], operation, calls)
    emit(source, prefix, hook.client())
    emit(source, prefix, hook.client())
    assert hook.happened == len(calls) or (hook.happened and fault in UNNOTICED)
    assert_landed_once(prefix, source)


REFUSALS: Final = {
    "403": (answer(403, "AccessDenied"), "permission is missing"),
    "expired": (answer(400, "ExpiredToken"), "have expired: renew|credentials"),
    "skewed": (answer(403, "RequestTimeTooSkewed"), "clock of this machine|permission"),
    "no bucket": (answer(404, "NoSuchBucket"), "there is no bucket"),
}


@pytest.mark.parametrize("call", [0, 4])
@pytest.mark.parametrize("operation", ["PutObject", "ListObjectsV2"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_does_not_pass_stops_with_a_sentence_and_the_next_run_goes_on(
    tmp_path: Path, prefix: "Prefix", refusal: str, operation: str, call: int
) -> None:
    source = write_source(tmp_path / "source")
    fault, sentence = REFUSALS[refusal]
    hook = Hook(fault, operation, range(call, call + 1))
    with pytest.raises(StopError, match=sentence):
        emit(source, prefix, hook.client())
    assert hook.happened == 1
    emit(source, prefix)
    assert_landed_once(prefix, source)


def overwrites(request: AWSPreparedRequest) -> Answer:
    """Forget the condition, as stores do that do not know it."""
    del request.headers["If-None-Match"]
    return None


def test_a_store_that_forgets_the_condition_is_found_out_before_anything_is_landed(
    tmp_path: Path, prefix: "Prefix"
) -> None:
    source = write_source(tmp_path / "source")
    hook = Hook(overwrites, "PutObject", range(999))
    with pytest.raises(StopError, match="does not refuse to create one object twice"):
        emit(source, prefix, hook.client())
    assert prefix.store().partitions() == []


def kill_before(_: AWSPreparedRequest) -> Answer:
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def kill_after(request: AWSPreparedRequest) -> Answer:
    sent(request)
    return kill_before(request)


@pytest.mark.parametrize("kill", [kill_before, kill_after])
def test_killed_at_every_call_and_run_again_each_record_is_landed_once(
    tmp_path: Path, prefix: "Prefix", kill: Fault
) -> None:
    source = write_source(tmp_path / "source")
    for at in count():
        site = prefix.beside()
        hook = Hook(kill, "", range(at, at + 1))
        code = in_child(lambda: emit(source, site, hook.client()))  # noqa: B023
        emit(source, site)
        assert_landed_once(site, source)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert at >= 20


def in_child(work: Callable[[], Any]) -> int:
    """Fork, run, and return how the child ended; an IngestError is exit code 1."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        work()
        code = 0
    except IngestError as error:
        code = error.exit_code
    finally:
        os._exit(code)
