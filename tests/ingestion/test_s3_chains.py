"""Any order of faults, kills and rivals: the production classes over a fake S3."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from hashlib import md5
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pytest
from botocore import exceptions as aws
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.emitters import Emission, Flush
from ingestion.landing import Landing
from ingestion.s3_calls import Patience, Place, S3Calls
from ingestion.s3_store import S3Store
from ingestion.sources import JsonLinesFolder, Order
from ingestion.verify import verify

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

T = TypeVar("T")
Objects = dict[str, tuple[bytes, dict[str, str]]]

SCHEDULES: Final = int(os.environ.get("SCHEDULES", "1000"))
TYPES: Final = {"pin": "index", "geo": "ind", "user": "ind"}
FAULTS: Final = [
    *("none", "none", "reset", "lost", "conflict", "busy"),
    *("rival", "killed before", "killed after"),
]


class KilledError(BaseException):
    """The process is gone: nothing may catch it."""


def refusal(status: int, code: str) -> aws.ClientError:
    meta = {"HTTPStatusCode": status, "HTTPHeaders": {}}
    said: Any = {"Error": {"Code": code}, "ResponseMetadata": meta}
    return aws.ClientError(said, "Operation")


class Meta:
    endpoint_url = "https://s3.test"


class FakeS3:
    """Keeps objects; each call for a link meets the next fault, or a rival first."""

    meta = Meta()

    def __init__(
        self, objects: Objects, faults: Iterable[str], rival: Callable[[], None]
    ) -> None:
        self._objects = objects
        self._faults = iter(faults)
        self._rival = rival

    def _call(self, key: str, act: Callable[[], T]) -> T:
        fault = next(self._faults, "none") if "+" in key else "none"
        if fault == "rival":
            self._rival()
        if fault == "killed before":
            raise KilledError
        if fault in {"conflict", "busy"}:
            raise refusal(409 if fault == "conflict" else 503, fault)
        if fault == "reset":
            raise aws.ConnectionClosedError(endpoint_url="https://s3.test")
        answer = act()
        if fault == "killed after":
            raise KilledError
        if fault == "lost":
            raise aws.ReadTimeoutError(endpoint_url="https://s3.test")
        return answer

    def put_object(self, **request: Any) -> None:  # noqa: ANN401 - a request's fields
        def put() -> None:
            if request["Key"] in self._objects:
                raise refusal(412, "PreconditionFailed")
            self._objects[request["Key"]] = request["Body"], request["Metadata"]

        self._call(request["Key"], put)

    def _object(self, key: str, code: str) -> dict[str, Any]:
        if key not in self._objects:
            raise refusal(404, code)
        body, metadata = self._objects[key]
        etag = f'"{md5(body, usedforsecurity=False).hexdigest()}"'
        return {"Metadata": metadata, "Body": BytesIO(body), "ETag": etag}

    def head_object(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        return self._call(request["Key"], lambda: self._object(request["Key"], "404"))

    def get_object(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        return self._object(request["Key"], "NoSuchKey")

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        prefix, slash = request["Prefix"], request.get("Delimiter")

        keys = sorted(key for key in self._objects if key.startswith(prefix))
        below = [key for key in keys if slash and slash in key[len(prefix) :]]
        heads = {key[len(prefix) :].partition("/")[0] for key in below}
        return {
            "IsTruncated": False,
            "Contents": [{"Key": key} for key in keys if key not in below],
            "CommonPrefixes": [{"Prefix": f"{prefix}{h}/"} for h in sorted(heads)],
        }


def nobody() -> None:
    """Write nothing."""


def store_of(
    objects: Objects,
    faults: Iterable[str] = (),
    rival: Callable[[], None] = nobody,
) -> S3Store:
    client = cast("S3Client", FakeS3(objects, faults, rival))
    patience = Patience(sleep=lambda _: None, now=lambda: 0.0)
    return S3Store(S3Calls(client, Place("bucket", "raw"), patience))


def emit(store: S3Store, source: Path, *, restart: bool = False) -> None:
    with closing(JsonLinesFolder.open(source)) as folder:
        landing = Landing.open(store)
        emission = Emission(folder, landing, "u", Order(), Flush(max_records=2))
        emission.run(emission.prepare(lambda _: None, restart=restart), lambda _: None)


def write(folder: Path, rows: int) -> Path:
    folder.mkdir()
    for record_type, key in TYPES.items():
        lines = [f'{{"{key}": {n}, "of": "{folder.name}"}}\n' for n in range(rows)]
        (folder / f"{record_type}.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return write(folder / "ours", 3), write(folder / "rivals", 1)


@settings(max_examples=SCHEDULES, deadline=None)
@given(faults=st.lists(st.sampled_from(FAULTS), max_size=30))
def test_any_order_of_faults_ends_in_clean_chains_with_every_record_once(
    sources: tuple[Path, Path], faults: list[str]
) -> None:
    ours, rivals = sources
    objects: Objects = {}
    came = Counter[str]()

    def rival() -> None:
        emit(store_of(objects), rivals, restart=True)
        came["rival"] += 1

    store = store_of(objects, faults, rival)
    for _ in range(len(faults) + 1):
        try:
            emit(store, ours)
        except KilledError:
            continue
        break
    emit(store_of(objects), ours)
    ledgers = list(verify(Landing.read(store_of(objects))))
    assert [problem for ledger in ledgers for problem in ledger.problems] == []
    for record_type in TYPES:
        expected = Counter(lines_of(ours, record_type))
        for line in lines_of(rivals, record_type):
            expected[line] += came["rival"]
        landed = (
            body for key, (body, _) in objects.items() if f"u.{record_type}/" in key
        )
        assert Counter(b"".join(landed).splitlines()) == +expected


def lines_of(folder: Path, record_type: str) -> list[bytes]:
    return (folder / f"{record_type}.jsonl").read_bytes().splitlines()
