"""The calls to S3: asked again while that may help, else one sentence.

The source of statuses and codes is the "Amazon S3 API Reference", Error responses and
PutObject, and of conditional writes the "Amazon S3 User Guide", "Add preconditions to
S3 operations with conditional requests".
"""

import math
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from ingestion.endpoints import CONNECT_SECONDS, clock_skew, short
from ingestion.errors import RetryError, StopError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import PutObjectRequestTypeDef

T = TypeVar("T")

READ_SECONDS: Final = 20.0
"""Longer than S3 needs, and short enough to end a run in time that is asked to."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_.=-]+(?:/[A-Za-z0-9_.=-]+)*")
_OTHER_BUCKETS: Final = {
    "--x-s3": "a directory bucket",
    "--xa-s3": "an access point of a directory bucket",
    "--ol-s3": "an Object Lambda access point",
    ".mrap": "a multi-Region access point",
}

_FAILURES: Final = (aws.BotoCoreError, aws.ClientError, ResponseParserError)
_MAY_PASS: Final = (
    *(aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError),
    *(aws.CredentialRetrievalError, aws.MetadataRetrievalError, ResponseParserError),
)
_PASSING_CODES: Final = {
    *("RequestTimeout", "SlowDown", "InternalError", "OperationAborted"),
    *("ServiceUnavailable", "ConditionalRequestConflict", "ThrottlingException"),
    *("Throttling", "RequestLimitExceeded", "KMS.ThrottlingException"),
}
_DAMAGED_CODES: Final = {
    *("BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"),
    *("XAmzContentChecksumMismatch"),
}
_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_SKEWED: Final = {"RequestTimeTooSkewed", "RequestExpired"}
_WRONG_KEYS: Final = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"}
_OTHER_REGION: Final = {
    *("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
}
_DAMAGED_TRIES: Final = 5

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 30.0
_FIRST_ANSWER_SECONDS: Final = 10.0
_FIRST_SAY_SECONDS: Final = 1.0
_SAY_EVERY_SECONDS: Final = 30.0

_NEEDED: Final = {
    "PutObject": "s3:PutObject, and with a KMS key kms:GenerateDataKey",
    "HeadObject": "s3:GetObject and s3:ListBucket (without s3:ListBucket what is "
    "missing looks forbidden)",
    "GetObject": "s3:GetObject and s3:ListBucket, and with a KMS key kms:Decrypt",
    "ListObjectsV2": "s3:ListBucket",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One bucket and prefix; the landing's objects lie below it."""

    bucket: str
    prefix: str
    owner: str | None = None
    kms_key: str | None = None

    @classmethod
    def parse(
        cls, url: str, owner: str | None = None, kms_key: str | None = None
    ) -> Self:
        """Read `s3://bucket/prefix`; `StopError` where it can hold no landing.

        Conditional writes hold within one Region and one general-purpose bucket.
        """
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        for mark, kind in _OTHER_BUCKETS.items():
            if bucket.endswith(mark):
                raise StopError(
                    f"{url} is {kind}, where two writers could both win: use a "
                    "general-purpose bucket."
                )
        prefix = prefix.rstrip("/")
        parts = prefix.split("/") if prefix else []
        named = _BUCKET.fullmatch(bucket) and (not prefix or _PREFIX.fullmatch(prefix))
        if not url.startswith("s3://") or not named or {".", ".."} & set(parts):
            raise StopError(
                f"{url} is no place for a landing: it takes s3://bucket/prefix, a "
                "bucket's own name, and letters, digits and _ . = - in the prefix."
            )
        return cls(bucket, prefix, owner, kms_key)

    def __str__(self) -> str:
        """Write it as the URL it was, without a slash at its end."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def key(self, name: str) -> str:
        """Return the key of an object of the landing."""
        return f"{self.prefix}/{name}" if self.prefix else name

    @property
    def owned(self) -> dict[str, str]:
        """What every call says about the bucket's owner."""
        return {"ExpectedBucketOwner": self.owner} if self.owner else {}


def make_client(endpoint: str | None = None) -> "S3Client":
    """Return a client with credentials of AWS's chain, and no retries of its own.

    Without `endpoint` the usual variables decide, such as AWS_ENDPOINT_URL_S3.
    """
    import boto3  # noqa: PLC0415 - takes half a second
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",  # it is in the request already
        response_checksum_validation="when_required",  # `ingest verify` judges bytes
    )
    try:
        return boto3.Session().client("s3", endpoint_url=endpoint, config=config)
    except (aws.BotoCoreError, ValueError) as error:
        raise StopError(_client_says(error)) from error


def _client_says(error: Exception) -> str:
    """Say in a sentence what keeps the client from asking at all."""
    if isinstance(error, aws.NoCredentialsError):
        return (
            "There are no AWS credentials: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, then run it again."
        )
    return (
        f"S3 cannot be asked ({type(error).__name__}: {short(error)}): correct the "
        "credentials, profile or endpoint, then run it again."
    )


class Patience:
    """How failures that may pass are waited out, and who is told.

    Full jitter, 0.2 s doubling up to 30 s (the source of the formula is "Exponential
    Backoff And Jitter" of the AWS Architecture Blog). Until S3 has answered once, ten
    seconds are enough; later `give_up_after` seconds, for ever if not given. `sleep`
    may raise to end the run.
    """

    def __init__(
        self,
        give_up_after: float = math.inf,
        say: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        """Be patient from now on."""
        self._give_up_after = give_up_after
        self._say = say
        self._sleep = sleep
        self._now = now
        self._random = random or Random()  # noqa: S311 - spreads retries, no secret
        self._answered = False
        self._failures = 0
        self._since = self._say_at = 0.0
        self._said = False

    def failed(self, doing: str, reason: str) -> None:
        """Wait before the same is asked again; `RetryError` after too long."""
        now = self._now()
        if not self._failures:
            self._since, self._say_at = now, now + _FIRST_SAY_SECONDS
        limit = self._give_up_after
        if not self._answered:
            limit = min(limit, _FIRST_ANSWER_SECONDS)
        if now - self._since >= limit:
            raise RetryError(
                f"Cannot {doing}: {reason}. Gave up after {now - self._since:.0f} s; "
                "check the endpoint and the network, then run the same command again."
            )
        if self._answered and now >= self._say_at:
            self._say_at, self._said = now + _SAY_EVERY_SECONDS, True
            self._say(f"Cannot {doing}: {reason}. Trying again.")
        longest = _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 8)
        self._failures += 1
        pause = self._random.uniform(0, min(longest, _LONGEST_PAUSE_SECONDS))
        self._sleep(min(pause, self._since + limit - now))

    def answered(self) -> None:
        """Note that S3 answers."""
        if self._said:
            self._say(f"S3 answers again after {self._now() - self._since:.0f} s.")
        self._answered, self._said, self._failures = True, False, 0


@dataclass(frozen=True, slots=True)
class Page:
    """Up to 1,000 names below the landing, in the order of their UTF-8 bytes."""

    names: list[str]
    folders: list[str]
    token: str | None


class Found(NamedTuple):
    """An object: its bytes, the tag of this version of it, its metadata."""

    body: bytes
    tag: str
    metadata: Mapping[str, str]


class S3Calls:
    """What a landing asks of one bucket and prefix.

    Every call is repeated, as it was, while S3 is busy, fails or does not answer.
    Raises `StopError` with a sentence for what does not pass by itself.
    """

    def __init__(self, client: "S3Client", place: Place, patience: Patience) -> None:
        """Ask with this client, which must not retry by itself."""
        self.place = place
        self._client = client
        self._patience = patience

    def put_once(
        self,
        name: str,
        body: bytes,
        metadata: Mapping[str, str],
        digest: bytes | None = None,
    ) -> bool:
        """Create an object durably; False where one is there, maybe by us.

        A repeated write whose first answer was lost is refused too. `digest` is the
        SHA-256 of the body, where it is known; S3 refuses one that is not.
        """
        request = self._put_request(name, body, digest)
        request["IfNoneMatch"], request["Metadata"] = "*", dict(metadata)

        return self._ask("PutObject", name, lambda: self._put_if(request))

    def put(self, name: str, body: bytes) -> None:
        """Write an object over whatever is there: for what no record depends on."""
        request = self._put_request(name, body)
        self._ask("PutObject", name, lambda: self._client.put_object(**request))

    def _put_request(
        self, name: str, body: bytes, digest: bytes | None = None
    ) -> "PutObjectRequestTypeDef":
        request: PutObjectRequestTypeDef = {
            "Bucket": self.place.bucket,
            "Key": self.place.key(name),
            "Body": body,
            "ContentLength": len(body),
            "ChecksumSHA256": b64encode(digest or sha256(body).digest()).decode(),
        }
        if self.place.kms_key:
            request["ServerSideEncryption"] = "aws:kms"
            request["SSEKMSKeyId"] = self.place.kms_key
        if self.place.owner:
            request["ExpectedBucketOwner"] = self.place.owner
        return request

    def metadata(self, name: str) -> Mapping[str, str] | None:
        """Return an object's metadata, None where there is none."""
        return self._ask(
            "HeadObject",
            name,
            _or_none(
                lambda: self._client.head_object(
                    Bucket=self.place.bucket,
                    Key=self.place.key(name),
                    **self.place.owned,  # type: ignore[arg-type]
                )["Metadata"]
            ),
        )

    def put_over(self, name: str, body: bytes, there: Found) -> bool:
        """Write an object over the one that was found; False where it is another now.

        Its metadata stay. A repeated write whose first answer was lost is refused too.
        """
        request = self._put_request(name, body)
        request["IfMatch"], request["Metadata"] = there.tag, dict(there.metadata)
        return self._ask("PutObject", name, lambda: self._put_if(request))

    def _put_if(self, request: "PutObjectRequestTypeDef") -> bool:
        try:
            self._client.put_object(**request)
        except aws.ClientError as error:
            if _status(error) == 412:  # noqa: PLR2004 - Precondition Failed
                return False
            raise
        return True

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, None where there is none."""
        found = self.get(name)
        return None if found is None else found.body

    def get(self, name: str) -> Found | None:
        """Return an object with what belongs to it, None where there is none."""

        def get() -> Found:
            said = self._client.get_object(
                Bucket=self.place.bucket,
                Key=self.place.key(name),
                **self.place.owned,  # type: ignore[arg-type]
            )
            return Found(said["Body"].read(), said["ETag"], said["Metadata"])

        return self._ask("GetObject", name, _or_none(get))

    def page(
        self,
        folder: str,
        *,
        after: str | None = None,
        token: str | None = None,
        folders: bool = False,
    ) -> Page:
        """Return some names below a folder, all after `after`.

        With `folders` only what is directly in it, and the folders in it.
        """
        request = {
            "Bucket": self.place.bucket,
            "Prefix": self.place.key(folder),
            **({"StartAfter": self.place.key(after)} if after else {}),
            **({"ContinuationToken": token} if token else {}),
            **({"Delimiter": "/"} if folders else {}),
            **self.place.owned,
        }
        above = len(self.place.key(""))

        def ask() -> Page:
            said = self._client.list_objects_v2(**request)  # type: ignore[arg-type]
            return Page(
                [each["Key"][above:] for each in said.get("Contents", [])],
                [each["Prefix"][above:] for each in said.get("CommonPrefixes", [])],
                said.get("NextContinuationToken") if said["IsTruncated"] else None,
            )

        return self._ask("ListObjectsV2", folder, ask)

    def pages(self, folder: str, *, folders: bool = False) -> Iterator[Page]:
        """Yield all of a folder."""
        page = self.page(folder, folders=folders)
        yield page
        while page.token:
            page = self.page(folder, token=page.token, folders=folders)
            yield page

    def _ask(self, operation: str, name: str, call: Callable[[], T]) -> T:
        """Ask until there is an answer."""
        doing = f"ask {operation} of {self.place}/{name}"
        damaged = 0
        while True:
            try:
                answer = call()
            except _FAILURES as error:
                damaged += _code(error) in _DAMAGED_CODES
                if damaged >= _DAMAGED_TRIES or not _may_pass(error):
                    raise StopError(self._sentence(error, operation, doing)) from error
                self._patience.failed(doing, self._reason(error))
            else:
                self._patience.answered()
                return answer

    def _reason(self, error: Exception) -> str:
        if isinstance(error, ResponseParserError):
            return f"what answers at {self._endpoint} does not speak S3"
        if isinstance(error, aws.ClientError):
            return short(error)
        return f"no answer from {self._endpoint} ({type(error).__name__})"

    @property
    def _endpoint(self) -> str:
        return self._client.meta.endpoint_url

    def _sentence(self, error: Exception, operation: str, doing: str) -> str:
        """Say what somebody must do about an error that does not pass."""
        if not isinstance(error, aws.ClientError):
            return _client_says(error)
        advice = _about_credentials(error) or self._about_bucket(error, operation)
        return f"Cannot {doing}: {advice or self._about_store(error, operation)}"

    def _about_bucket(self, error: aws.ClientError, operation: str) -> str:
        status = _status(error)
        if _code(error) == "NoSuchBucket":
            return (
                f"there is no bucket {self.place.bucket}: create it, or check the name."
            )
        if status in {301, 307} or _code(error) in _OTHER_REGION:
            region = _headers(error).get("x-amz-bucket-region", "another one")
            return f"the bucket is in region {region}: set AWS_REGION to it."
        if status in {401, 403}:
            others = f", or {self.place.owner} is not its owner" * bool(
                self.place.owner
            )
            return f"permission is missing{others}: grant {_NEEDED[operation]}."
        return ""

    def _about_store(self, error: aws.ClientError, operation: str) -> str:
        if operation == "PutObject" and _status(error) in {405, 501}:
            return (
                "the store does not know conditional writes (If-None-Match), so two "
                "writers could overwrite each other: use another store."
            )
        if _code(error) in _DAMAGED_CODES:
            return (
                f"the bytes arrive damaged again and again ({_code(error)}): look at "
                f"what is between this machine and {self._endpoint}."
            )
        return (
            f"{short(error)}: check the endpoint ({self._endpoint}), the credentials "
            "and the bucket, then run it again."
        )


def _about_credentials(error: aws.ClientError) -> str:
    code = _code(error)
    if code in _EXPIRED:
        return "the AWS credentials have expired: renew them, then run it again."
    if code in _SKEWED:
        skew = clock_skew(_headers(error).get("date", ""), time.time())
        return skew or "the clock of this machine is wrong: set it."
    if code in _WRONG_KEYS:
        return f"the AWS credentials are not accepted ({code}): correct them."
    return ""


def _or_none(call: Callable[[], T]) -> Callable[[], T | None]:
    """Answer None where S3 says that there is no such key."""

    def asked() -> T | None:
        try:
            return call()
        except aws.ClientError as error:
            if _code(error) in {"NoSuchKey", "404"}:
                return None
            raise

    return asked


def _headers(error: aws.ClientError) -> Mapping[str, str]:
    return error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})


def _status(error: Exception) -> int:
    if not isinstance(error, aws.ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Exception) -> str:
    if not isinstance(error, aws.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def _may_pass(error: Exception) -> bool:
    """Tell whether the same call may succeed later without anybody's help."""
    if isinstance(error, _MAY_PASS):
        return True
    status, code = _status(error), _code(error)
    passing = status in {408, 409, 429} or (status >= 500 and status != 501)  # noqa: PLR2004
    return passing or code in _PASSING_CODES | _DAMAGED_CODES
