"""A landing in a folder or in MiniStack's S3, under one interface."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ministack_server
import pytest
from ministack_server import BUCKET, MiniStack
from processes import require

from ingestion.s3_calls import Patience, Place, S3Calls, make_client
from ingestion.s3_store import S3Store
from ingestion.stores import DirectoryStore, Files, Store

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Watch = Callable[[Any], Any]


def as_it_is(target: object) -> object:
    """Watch nothing."""
    return target


class Site(Protocol):
    """Where one landing of a test lies, and what others can do there."""

    def store(self, watch: Watch = ...) -> Store:
        """Return a store of its own, as another process would have.

        What it calls is passed through `watch`.
        """

    def beside(self) -> "Site":
        """Return another place."""

    def put(self, name: str, body: bytes) -> None:
        """Write as another program would, over anything."""

    def body(self, name: str) -> bytes:
        """Return an object's bytes."""

    def remove(self, name: str) -> None:
        """Delete an object."""


class UnsyncedFiles(Files):
    """File calls without fsync: no test here cuts the power."""

    def sync(self, descriptor: int) -> None:
        pass


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def store(self, watch: Watch = as_it_is) -> DirectoryStore:
        return DirectoryStore(self.root, watch(UnsyncedFiles()))

    def beside(self) -> "Folder":
        return Folder(self.root.with_name(uuid.uuid4().hex))

    def put(self, name: str, body: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def body(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def remove(self, name: str) -> None:
        (self.root / name).unlink()


class Prefix:
    """A prefix of MiniStack's bucket."""

    def __init__(self, server: MiniStack, client: "S3Client | None" = None) -> None:
        self.server = server
        self.place = Place(BUCKET, f"test/{uuid.uuid4().hex}")
        self._client = client
        self._process = os.getpid()

    def beside(self) -> "Prefix":
        """Return another prefix."""
        return Prefix(self.server, self.client())

    def client(self) -> "S3Client":
        """Return one client, as each takes half a second; a fork connects anew."""
        if self._client is None:
            self._client = make_client()
        if self._process != os.getpid():
            self._client.close()
            self._process = os.getpid()
        return self._client

    def store(self, watch: Watch = as_it_is) -> S3Store:
        return S3Store(S3Calls(watch(self.client()), self.place, Patience(10)))

    def put(self, name: str, body: bytes) -> None:
        self.server.s3.put_object(Bucket=BUCKET, Key=self.place.key(name), Body=body)

    def body(self, name: str) -> bytes:
        said = self.server.s3.get_object(Bucket=BUCKET, Key=self.place.key(name))
        return said["Body"].read()

    def remove(self, name: str) -> None:
        self.server.s3.delete_object(Bucket=BUCKET, Key=self.place.key(name))


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    require(ministack_server.missing())
    server = MiniStack(tmp_path_factory.mktemp("ministack"))
    yield server
    server.stop()


@pytest.fixture
def prefix(ministack: MiniStack, monkeypatch: pytest.MonkeyPatch) -> Prefix:
    for name, value in ministack.environment.items():
        monkeypatch.setenv(name, value)
    return Prefix(ministack)


@pytest.fixture(params=["directory", "s3"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if request.param == "directory":
        return Folder(tmp_path / "landing")
    prefix: Prefix = request.getfixturevalue("prefix")
    return prefix
