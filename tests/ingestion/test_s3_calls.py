"""The calls to S3 without a server: what is asked again, what stops, and the words."""

import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from ingestion.cli_shared import Interrupts
from ingestion.errors import InterruptError, RetryError, StopError
from ingestion.s3_calls import Patience, Place, S3Calls, make_client
from ingestion.s3_store import S3Store
from ingestion.stores import Partition

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PIN = Partition("u.pin", 0)
URL = "https://s3.test"


class Meta:
    endpoint_url = URL


class FakeS3:
    """Keeps objects; each call first takes the next error of its script, if any."""

    meta = Meta()

    def __init__(self, *script: Exception | None, page: int = 1000) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.requests: list[dict[str, Any]] = []
        self._script = list(script)
        self._page = page

    def _take(self, request: dict[str, Any]) -> None:
        self.requests.append(request)
        if self._script and (error := self._script.pop(0)):
            raise error

    def put_object(self, **request: Any) -> None:  # noqa: ANN401 - a request's fields
        self._take(request)
        if request["Key"] in self.objects:
            raise refusal(412, "PreconditionFailed")
        self.objects[request["Key"]] = request["Body"], request["Metadata"]

    def head_object(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        self._take(request)
        if request["Key"] not in self.objects:
            raise refusal(404, "404")
        return {"Metadata": self.objects[request["Key"]][1]}

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        self._take(request)
        after = request.get("ContinuationToken") or request.get("StartAfter", "")
        keys = sorted(self.objects)
        keys = [k for k in keys if k.startswith(request["Prefix"]) and k > after]
        page = keys[: self._page]
        more = {"NextContinuationToken": page[-1]} if keys[self._page :] else {}
        return {
            "IsTruncated": bool(more),
            "Contents": [{"Key": key} for key in page],
            **more,
        }


def refusal(status: int, code: str, **headers: str) -> aws.ClientError:
    meta = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    said: Any = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": meta}
    return aws.ClientError(said, "Operation")


class Clock:
    """Time that passes when somebody sleeps, and two seconds a look."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        self.time += 2.0
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def calls_of(
    client: FakeS3, patience: Patience | None = None, place: Place | None = None
) -> S3Calls:
    clock = Clock()
    patience = patience or Patience(sleep=clock.sleep, now=clock.now)
    place = place or Place("bucket", "raw")
    return S3Calls(cast("S3Client", client), place, patience)


TIME_OUT = aws.ReadTimeoutError(endpoint_url=URL)
RESET = aws.ConnectionClosedError(endpoint_url=URL)


@pytest.mark.parametrize(
    "error",
    [
        refusal(429, "TooManyRequests"),
        refusal(500, "InternalError"),
        refusal(503, "SlowDown"),
        refusal(409, "ConditionalRequestConflict"),
        refusal(400, "RequestTimeout"),
        refusal(400, "BadDigest"),
        TIME_OUT,
        RESET,
        ResponseParserError("<html>"),
    ],
)
def test_what_may_pass_is_asked_again_with_the_same_bytes(error: Exception) -> None:
    client = FakeS3(error, error)
    assert calls_of(client).put_once("a", b"1", {"v": "1"})
    assert client.objects == {"raw/a": (b"1", {"v": "1"})}
    first, *others = client.requests
    assert others == [first, first]
    assert first["IfNoneMatch"] == "*"
    assert first["ChecksumSHA256"] == "a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s="


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refusal(404, "NoSuchBucket"), "there is no bucket bucket: create it"),
        (refusal(403, "AccessDenied"), "permission is missing: grant s3:PutObject"),
        (refusal(400, "ExpiredToken"), "credentials have expired: renew them"),
        (refusal(403, "InvalidAccessKeyId"), "credentials are not accepted"),
        (refusal(403, "RequestTimeTooSkewed"), "clock of this machine is wrong"),
        (
            refusal(403, "RequestTimeTooSkewed", date="Wed, 21 Oct 2015 07:28:00 GMT"),
            "s ahead of the server's: set it right",
        ),
        (
            refusal(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-west-1"}),
            "the bucket is in region eu-west-1: set AWS_REGION",
        ),
        (refusal(501, "NotImplemented"), "does not know conditional writes"),
        (refusal(400, "Odd"), r"Odd.*said: check the endpoint \(https://s3.test\)"),
        (aws.NoCredentialsError(), "There are no AWS credentials: set AWS_ACCESS"),
    ],
)
def test_what_does_not_pass_is_one_sentence_after_one_call(
    error: Exception, sentence: str
) -> None:
    client = FakeS3(error)
    with pytest.raises(StopError, match=sentence):
        calls_of(client).put_once("a", b"1", {})
    assert len(client.requests) == 1
    assert client.objects == {}


def test_bytes_that_always_arrive_damaged_stop_the_run() -> None:
    client = FakeS3(*[refusal(400, "BadDigest")] * 9)
    with pytest.raises(StopError, match=r"arrive damaged again and again \(BadDigest"):
        calls_of(client).put_once("a", b"1", {})
    assert len(client.requests) == 5


def test_forbidden_to_look_is_never_nothing_there() -> None:
    with pytest.raises(StopError, match=r"grant s3:GetObject and s3:ListBucket"):
        calls_of(FakeS3(refusal(403, "403"))).metadata("a")
    place = Place("bucket", "raw", owner="123")
    calls = calls_of(FakeS3(refusal(403, "AccessDenied")), place=place)
    with pytest.raises(StopError, match=r"or 123 is not its owner: grant s3:ListB"):
        calls.page("topics/")


def test_owner_and_key_are_in_the_requests() -> None:
    client = FakeS3()
    calls = calls_of(client, place=Place("bucket", "", owner="123", kms_key="key"))
    calls.put_once("a", b"", {})
    calls.metadata("a")
    calls.page("topics/")
    assert {request["ExpectedBucketOwner"] for request in client.requests} == {"123"}
    put = client.requests[0]
    assert put["Key"] == "a"
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", "key")


def test_before_the_first_answer_ten_seconds_are_enough_and_later_it_goes_on() -> None:
    said: list[str] = []
    clock = Clock()
    patience = Patience(say=said.append, sleep=clock.sleep, now=clock.now)
    with pytest.raises(RetryError, match=r"no answer from https://s3.test .*endpoint"):
        calls_of(FakeS3(*[RESET] * 99), patience).put_once("a", b"", {})
    assert said == []
    clock = Clock()
    patience = Patience(say=said.append, sleep=clock.sleep, now=clock.now)
    client = FakeS3(None, *[RESET] * 99)
    calls = calls_of(client, patience)
    assert calls.put_once("a", b"", {})
    assert calls.put_once("b", b"", {})
    assert clock.time > 300
    assert "Trying again" in said[0]
    assert "answers again after" in said[-1]
    assert len(said) < 99


def test_who_asks_the_run_to_end_is_heard_during_an_outage() -> None:
    def interrupted(_seconds: float) -> None:
        raise InterruptError(15)

    with pytest.raises(InterruptError):
        calls_of(FakeS3(RESET), Patience(sleep=interrupted)).put_once("a", b"", {})


def test_a_sleep_ends_soon_after_the_signal_that_ends_the_run() -> None:
    interrupts = Interrupts()
    with interrupts.catching():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(InterruptError):
            interrupts.sleep(3600)


def test_a_signal_sent_again_and_again_puts_the_end_off_no_further() -> None:
    interrupts = Interrupts()
    with interrupts.catching():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(InterruptError):
            interrupts.check(grace=0.05)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://x--use1-az4--x-s3/raw", "a directory bucket"),
        ("s3://mfzwi23gnjvgw.mrap/raw", "a multi-Region access point"),
        ("s3://arn:aws:s3::1:accesspoint/x.mrap", "a bucket's own name"),
        ("https://bucket.s3.amazonaws.com/raw", "takes s3://bucket/prefix"),
        ("s3://Bucket/raw", "no place for a landing"),
        ("s3://bucket/a/../b", "no place for a landing"),
        ("s3://bucket/a b", "no place for a landing"),
        ("s3://", "no place for a landing"),
    ],
)
def test_places_where_two_writers_could_both_win_are_refused(
    url: str, sentence: str
) -> None:
    with pytest.raises(StopError, match=sentence):
        Place.parse(url)


def test_a_place_is_read_and_written_as_a_url() -> None:
    assert Place.parse("s3://bucket/a/b/") == Place("bucket", "a/b")
    assert str(Place.parse("s3://bucket/a/b/")) == "s3://bucket/a/b"
    assert str(Place.parse("s3://bucket")) == "s3://bucket"


def test_an_endpoint_that_is_no_url_is_one_sentence() -> None:
    with pytest.raises(StopError, match="correct the credentials, profile or endpoint"):
        make_client("nonsense")


def steps(width: int) -> Iterator[int]:
    """Starts of a chain of 90 links that passes from 10 digits to `width`."""
    yield from range(0, 300, 10)
    yield from range(9_999_999_700, 10_000_000_000, 10)
    if width > 10:
        yield from range(10_000_000_000, 10_000_000_300, 10)
        yield from range(99_999_999_700, 100_000_000_000, 10)


@pytest.mark.parametrize("page", [1, 2, 7, 1000])
@pytest.mark.parametrize("width", [10, 11])
def test_the_end_of_a_long_chain_is_found_by_its_number(page: int, width: int) -> None:
    client = FakeS3(page=page)
    store = S3Store(calls_of(client))
    starts = list(steps(width))
    for start, following in zip(starts, [*starts[1:], starts[-1] + 10], strict=True):
        meta = {"writer": "w", "sha256": "00", "next": str(following)}
        assert store.create_link(PIN, start, ".json", b"", meta) is None
        assert store.last_start(PIN) == start
    client.requests.clear()
    assert store.last_start(PIN) == starts[-1]
    assert len(client.requests) < 200


def test_a_link_refused_as_there_but_not_there_stops_the_run() -> None:
    store = S3Store(calls_of(FakeS3(refusal(412, "PreconditionFailed"))))
    with pytest.raises(StopError, match=r"refused as already there, but it is not"):
        store.create_link(PIN, 0, ".json", b"", {"writer": "w", "sha256": "00"})


def test_an_object_without_metadata_of_ours_in_the_place_of_a_link_stops() -> None:
    client = FakeS3()
    store = S3Store(calls_of(client))
    client.objects[f"raw/{PIN.object_name(0, '.json')}"] = b"", {}
    with pytest.raises(StopError, match="has no metadata of ours"):
        store.create_link(PIN, 0, ".json", b"", {"writer": "w", "sha256": "00"})


def test_names_of_metadata_pass_every_proxy() -> None:
    client = FakeS3()
    meta = {"writer": "w", "sha256": "00", "before_start": "1"}
    S3Store(calls_of(client)).create_link(PIN, 0, ".json", b"", meta)
    ((_, pairs),) = client.objects.values()
    assert pairs == {"writer": "w", "sha256": "00", "before-start": "1"}
