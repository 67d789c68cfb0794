"""S3 that fails, answers late or not at all, and writers that are killed: MiniStack."""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from io import BytesIO
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from botocore import exceptions as aws
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session
from memory_topic import PIN, MemoryReader, Topic

from ingestion.emitters import Emission, Flush
from ingestion.errors import IngestError, StopError
from ingestion.lander import Lander, Rules
from ingestion.landing import Landing
from ingestion.s3_calls import Patience, S3Calls, make_client
from ingestion.s3_store import S3Store
from ingestion.sources import JsonLinesFolder, Order
from ingestion.stores import DirectoryStore
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
    assert isinstance(request.body, BytesIO), "only a write has a body"
    body = request.body.getvalue()
    request.body = bytes([body[0] ^ 1]) + body[1:]
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

UNNOTICED: Final = {"late"}
"""What needs no second call, and so happens less often."""


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


@pytest.mark.parametrize(
    ("fault", "operation", "calls"),
    [
        pytest.param(fault, *place.values, id=f"{fault}-{place.id}")
        for fault, place in product(PASSING, PLACES)
        if fault != "damaged" or "PutObject" in place.values
    ],
)
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
    "expired": (answer(400, "ExpiredToken"), "credentials have expired: renew them"),
    "skewed": (answer(403, "RequestTimeTooSkewed"), "clock of this machine is"),
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


# --- landers -----------------------------------------------------------------------

LANDED: Final = {n: b'{"n": %d}' % n for n in range(7)}
STAGES: Final = {
    "first link": (0, Topic(dict(LANDED))),
    "later link": (2, Topic(dict(LANDED))),
    "dead letter": (2, Topic({**LANDED, 3: b"\xff"})),
}
"""How many records are landed before the fault, and what the topic holds."""


@cache
def client_of(_: str) -> "S3Client":
    """Return one client for each use: it takes longer to make than a test to run."""
    return make_client()


def lander(prefix: "Prefix", topic: Topic, use: str = "without faults") -> Lander:
    """Return one that makes links of two records, and asks again at once."""
    patience = Patience(30, sleep=lambda _: None)
    store = S3Store(S3Calls(client_of(use), prefix.place, patience))
    rules, flush = Rules(accept_dead_letters=True), Flush(max_records=2)
    return Lander(Landing.open(store), MemoryReader(topic), rules, flush)


def first(topic: Topic, count: int) -> Topic:
    """Return what the topic was when it had so many records."""
    return Topic({n: v for n, v in topic.records.items() if n < count})


class Overtaken(Hook):
    """Has another lander take the place of the first write; then the fault happens."""

    def __init__(
        self, fault: Fault, operation: str, overtake: Callable[[], None]
    ) -> None:
        super().__init__(fault, operation, range(2))
        self._overtake: Callable[[], None] | None = overtake

    def __call__(
        self, event_name: str, request: AWSPreparedRequest, **more: object
    ) -> Answer:
        if event_name.endswith("PutObject") and self._overtake is not None:
            overtake, self._overtake = self._overtake, None
            overtake()
        return super().__call__(event_name, request, **more)


def land_under(prefix: "Prefix", fault: Fault, operation: str, stage: str) -> Overtaken:
    """Land to the stage; then land all, under the fault and behind another lander."""
    done, topic = STAGES[stage]
    lander(prefix, first(topic, done)).run()

    def overtake() -> None:
        lander(prefix, first(topic, done + 2)).run()

    hook = Overtaken(fault, operation, overtake)
    faulty = lander(prefix, topic, "with faults")
    events = client_of("with faults").meta.events
    events.register("before-send.s3", hook)  # type: ignore[arg-type]
    try:
        faulty.run()
    finally:
        events.unregister("before-send.s3", hook)  # type: ignore[arg-type]
    return hook


def assert_each_record_once(prefix: "Prefix", stage: str) -> None:
    """Compare the lines, the letter and the ledger with what the topic holds."""
    topic = STAGES[stage][1]
    landing = lander(prefix, topic).landing
    (ledger,) = verify(landing)
    assert ledger.problems == []
    listing = landing.store.listing(PIN)
    body = b"".join(prefix.body(name) for _, name in listing.objects)
    dead = [n for n, value in topic.records.items() if value == b"\xff"]
    lines = [value for n, value in topic.records.items() if n not in dead]
    assert body.splitlines() == lines
    assert listing.dead_letters == dead
    for n in dead:
        name = f"{PIN.dead_letters}/u.pin+0+{n:010d}.json"
        assert orjson.loads(prefix.body(name))["value"] == "/w=="


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        *product(PASSING, ["PutObject"]),
        *product(
            [x for x in PASSING if x != "damaged"], ["HeadObject", "ListObjectsV2"]
        ),
    ],
)
def test_a_lander_loses_and_doubles_nothing(
    prefix: "Prefix", fault: str, operation: str, stage: str
) -> None:
    hook = land_under(prefix, PASSING[fault], operation, stage)
    assert hook.happened == 2 or (hook.happened and fault in UNNOTICED)
    assert_each_record_once(prefix, stage)


@pytest.mark.parametrize(
    ("refusal", "operation", "stage"),
    [
        *product(["403"], ["PutObject", "HeadObject", "ListObjectsV2"], STAGES),
        *product(["expired", "skewed", "no bucket"], ["PutObject"], STAGES),
    ],
)
def test_a_lander_that_is_refused_stops_with_a_sentence_and_the_next_one_goes_on(
    prefix: "Prefix", refusal: str, operation: str, stage: str
) -> None:
    fault, sentence = REFUSALS[refusal]
    with pytest.raises(StopError, match=sentence):
        land_under(prefix, fault, operation, stage)
    lander(prefix, STAGES[stage][1]).run()
    assert_each_record_once(prefix, stage)


def land_in(root: Path, topic: Topic) -> None:
    landing = Landing.open(DirectoryStore(root))
    Lander(landing, MemoryReader(topic), flush=Flush(max_records=50)).run()


def test_a_full_disk_stops_a_lander_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """A limit for files stands for the disk: a link is cut off in the middle."""
    topic = Topic({n: b"%d" % n * (1 if n < 100 else 99) for n in range(300)})

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
        land_in(tmp_path, topic)

    assert in_child(limited) == StopError.exit_code
    landing = Landing.read(DirectoryStore(tmp_path))
    (ledger,) = verify(landing)
    assert (ledger.problems, ledger.records) == ([], 100)
    land_in(tmp_path, topic)
    (ledger,) = verify(landing)
    assert (ledger.problems, ledger.records) == ([], 300)
    names = [name for _, name in landing.store.listing(PIN).objects]
    body = b"".join((tmp_path / name).read_bytes() for name in names)
    assert body.splitlines() == list(topic.records.values())
