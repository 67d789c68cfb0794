"""Where a landing lives: links created once, and read back.

A store keeps the *links* of the chains (see `ingestion.landing`): a body and its
metadata under one key that can be created only once. The directory store is the
embedded default.
"""

import errno
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import orjson

from ingestion.errors import DamagedError, StopError, explained

Metadata = Mapping[str, str]

SUFFIXES: Final = {"none": ".json", "gzip": ".json.gz"}
"""Compression to the ending of an object's name."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_OBJECT = re.compile(r"(.+)\+(\d+)\+(\d{10,})(\.json(?:\.gz)?)")
_DEAD_LETTER = re.compile(r"(.+)\+(\d+)\+(\d{10,})\.json")
_PARTITION = re.compile(r"partition=(\d+)")
_NO_HARD_LINKS: Final = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, order=True, slots=True)
class Partition:
    """One partition of one topic; its records are totally ordered by offset.

    Raises `StopError` for a topic name that Kafka would refuse (legal characters,
    `org.apache.kafka.common.internals.Topic`), for one whose folder would be hidden,
    and for a negative number.
    """

    topic: str
    number: int

    def __post_init__(self) -> None:
        """Refuse names that cannot be topics, and so cannot be folders either."""
        if not _TOPIC.fullmatch(self.topic) or self.topic in {".", ".."}:
            raise StopError(
                f"{self.topic!r} is no topic name: use 1 to 249 letters, digits, "
                "dots, dashes and underscores."
            )
        if self.topic[0] in "._":
            raise StopError(
                f"{self.topic} cannot be landed: the engines that read a landing take "
                "folders that begin with a dot or an underscore for hidden."
            )
        if self.number < 0:
            raise StopError(f"{self}: a partition's number is 0 or more.")

    def __str__(self) -> str:
        """Name the partition as messages do."""
        return f"{self.topic} partition {self.number}"

    @property
    def folder(self) -> str:
        """The folder of its objects, as the Kafka Connect S3 sink names it."""
        return f"topics/{self.topic}/partition={self.number}"

    @property
    def dead_letters(self) -> str:
        """The folder of what could not be a line."""
        return f"_dead_letter/{self.topic}/partition={self.number}"

    def object_name(self, start: int, suffix: str) -> str:
        """Name the object whose first offset is `start`, as that sink does."""
        return f"{self.folder}/{self.topic}+{self.number}+{start:010d}{suffix}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What one partition holds: starts of links, objects, and dead letters' offsets."""

    starts: list[int]
    objects: list[tuple[int, str]]
    foreign: list[str]
    dead_letters: list[int]


class Store(Protocol):
    """What the chains need of the place where a landing lives."""

    def __str__(self) -> str:
        """Name the place as the user did."""

    def tidy(self) -> None:
        """Remove what killed writers left behind and nobody needs."""

    def create_once(self, name: str, body: bytes) -> bool:
        """Create a small object; False where one of that name is already there."""

    def replace(self, name: str, body: bytes) -> None:
        """Write a small object, over one that is there: nothing below `topics/`."""

    def rewrite(self, name: str, digest: str, body: bytes) -> bool:
        """Write an object below `topics/` anew; False where it is not `digest`'s.

        That is the SHA-256 of what is to be replaced. Its link stays as it was: for
        redactions only.
        """

    def read(self, name: str) -> bytes | None:
        """Return a small object's bytes, or None where there is none."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the small objects in a folder, without it, sorted."""

    def create_link(
        self, partition: Partition, start: int, suffix: str, body: bytes, meta: Metadata
    ) -> Metadata | None:
        """Create a link durably: None is committed, else the metadata that is there."""

    def last_start(self, partition: Partition) -> int | None:
        """Return the greatest start of a link, after checking that all are ours."""

    def metadata(self, partition: Partition, start: int) -> Metadata | None:
        """Return the metadata of the link at `start`, None where there is none."""

    def partitions(self) -> list[Partition]:
        """Return every partition that has anything in it, sorted."""

    def listing(self, partition: Partition) -> Listing:
        """Return what lies in the partition, for verification."""

    def open(self, name: str) -> BinaryIO:
        """Open an object below `topics/` for reading."""


class Files:
    """The calls that change files.

    Passed in, so that a test can count them, fail them, or end the process at any.
    """

    def write(self, path: Path, body: bytes) -> None:
        """Create a new file with these bytes and make the bytes durable."""
        self.append(path, body, flags=os.O_EXCL)

    def append(
        self, path: Path, body: bytes, flags: int = os.O_APPEND, mode: int = 0o666
    ) -> None:
        """Add bytes to a file, created where it is not there, and make them durable."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, mode)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            left = memoryview(body)
            while left:
                left = left[file.write(left) :]
            self.sync(descriptor)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, only if that name is free."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a name; one that is gone already is fine."""
        path.unlink(missing_ok=True)

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file over whatever has the target's name."""
        source.replace(target)

    def make_folder(self, path: Path) -> None:
        """Create one folder; one that is there already is fine."""
        path.mkdir(exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def sync(self, descriptor: int) -> None:
        """Make what was written to an open file or folder survive a power cut."""
        os.fsync(descriptor)


class DirectoryStore:
    """A landing in a directory, on any file system with hard links.

    A link is committed by its *claim*: a file below `_ingest/links/` with the metadata,
    published by an exclusive hard link. The body is durable before that, and gets its
    name below `topics/` after. Whoever meets a claim without its object gives it that
    name first; so a kill or a power cut at any moment leaves chains without a hole.
    """

    def __init__(self, root: Path, files: Files | None = None) -> None:
        """Use the landing at `root`; nothing is read or written yet."""
        self.name = str(root)
        self.root = root.absolute()
        self._files = files or Files()
        self._tmp = self.root / "_ingest" / "tmp"
        self._durable: set[Path] = set()

    def __str__(self) -> str:
        """Name the folder as the user did."""
        return self.name

    # --- small objects -------------------------------------------------------------

    def create_once(self, name: str, body: bytes) -> bool:
        """Create a small object durably; False where one of that name is there."""
        with explained(f"write to the landing {self}"):
            target = self.root / name
            self._folder(target.parent)
            tmp = self._write_tmp(body)
            created = self._publish(tmp, target, body)
            self._files.sync_folder(target.parent)
            self._files.unlink(tmp)
            return created

    def replace(self, name: str, body: bytes) -> None:
        """Write a small object durably, over one that is there."""
        with explained(f"write to the landing {self}"):
            target = self.root / name
            self._folder(target.parent)
            self._files.replace(self._write_tmp(body), target)
            self._files.sync_folder(target.parent)

    def rewrite(self, name: str, digest: str, body: bytes) -> bool:
        """Write an object anew durably; other names of the old bytes go too."""
        with explained(f"write to the landing {self}"):
            target = self.root / name
            if sha256(target.read_bytes()).hexdigest() != digest:
                return False
            for tmp in _names(self._tmp):
                if (self._tmp / tmp).samefile(target):
                    self._files.unlink(self._tmp / tmp)
            self.replace(name, body)
            return True

    def read(self, name: str) -> bytes | None:
        """Return a small object's bytes, or None where there is none."""
        with explained(f"read the landing {self}"):
            return _read(self.root / name)

    def names(self, folder: str) -> list[str]:
        """Return the names of the small objects in a folder, without it, sorted."""
        with explained(f"read the landing {self}"):
            return sorted(_names(self.root / folder))

    def open(self, name: str) -> BinaryIO:
        """Open an object below `topics/` for reading."""
        with explained(f"read the landing {self}"):
            return (self.root / name).open("rb")

    def _write_tmp(self, body: bytes) -> Path:
        self._folder(self._tmp)
        tmp = self._tmp / uuid.uuid4().hex
        try:
            self._files.write(tmp, body)
        except OSError:
            with suppress(OSError):
                self._files.unlink(tmp)  # a full disk needs the room
            raise
        return tmp

    def _publish(self, tmp: Path, target: Path, body: bytes) -> bool:
        """Link exclusively. An error may come after success: the bytes tell."""
        try:
            self._files.link(tmp, target)
        except OSError as error:
            if _read(target) == body:
                return True
            if isinstance(error, FileExistsError):
                return False
            if error.errno in _NO_HARD_LINKS:
                raise StopError(
                    f"The file system of {self} has no hard links or forbids them, so "
                    "two writers could overwrite each other: use a folder on another."
                ) from error
            raise
        return True

    def _folder(self, path: Path) -> None:
        """Make a folder and its parents, with durable names."""
        if path in self._durable:
            return
        above = path in self.root.parents
        if not (above and path.is_dir()):
            self._folder(path.parent)
            self._files.make_folder(path)
            outside = (PermissionError,) if path == self.root else ()
            with suppress(*outside):  # a landing may lie where we may not look around
                self._files.sync_folder(path.parent)
        self._durable.add(path)

    # --- links ---------------------------------------------------------------------

    def create_link(
        self, partition: Partition, start: int, suffix: str, body: bytes, meta: Metadata
    ) -> Metadata | None:
        """Create a link durably: None is committed, else the metadata that is there."""
        with explained(f"write to the landing {self}"):
            there = self._claim(partition, start)
            if there is None:
                there = self._commit(partition, start, suffix, body, meta)
            elif not self._object(partition, start, there).exists():
                self._complete(partition, start, there)
            return there

    def _commit(
        self, partition: Partition, start: int, suffix: str, body: bytes, meta: Metadata
    ) -> Metadata | None:
        tmp = self._write_tmp(body)
        claim = {**meta, "suffix": suffix, "tmp": tmp.name}
        claim_body = orjson.dumps(claim)
        claim_tmp = self._write_tmp(claim_body)
        self._files.sync_folder(self._tmp)
        path = self._claim_path(partition, start)
        self._folder(path.parent)
        committed = self._publish(claim_tmp, path, claim_body)
        there = claim if committed else self._claim(partition, start)
        if there is not None:
            self._complete(partition, start, there, body if committed else None)
        self._files.unlink(claim_tmp)
        if not committed:
            self._files.unlink(tmp)
        return None if committed else there

    def _complete(
        self,
        partition: Partition,
        start: int,
        claim: Metadata,
        body: bytes | None = None,
    ) -> None:
        """Give a committed link's bytes their name below `topics/`, durably."""
        self._files.sync_folder(self._claim_path(partition, start).parent)
        target = self._object(partition, start, claim)
        self._folder(target.parent)
        tmp = self._tmp / claim["tmp"]
        try:
            self._files.link(tmp, target)
        except OSError as error:
            self._settle(error, tmp, target, claim, body)
        self._files.sync_folder(target.parent)
        self._files.unlink(tmp)

    def _settle(
        self,
        error: OSError,
        tmp: Path,
        target: Path,
        claim: Metadata,
        body: bytes | None,
    ) -> None:
        """Decide what a failed link to the object's name means."""
        there = _read(target)
        if there is not None:
            if sha256(there).hexdigest() != claim["sha256"]:
                raise written_by_others(self, target.name) from error
        elif not isinstance(error, FileNotFoundError):
            raise error
        elif body is None:
            raise StopError(
                f"The bytes of {target} are gone, though the landing counts them: "
                f"run `ingest verify {self}`, and restore the object."
            ) from error
        else:  # this process slept for a day and its temporary was tidied away
            self._files.write(tmp, body)
            self._files.link(tmp, target)

    def _claim_path(self, partition: Partition, start: int) -> Path:
        folder = self.root / "_ingest" / "links" / partition.topic
        return folder / str(partition.number) / f"{start:010d}.json"

    def _object(self, partition: Partition, start: int, claim: Metadata) -> Path:
        return self.root / partition.object_name(start, claim["suffix"])

    def _claim(self, partition: Partition, start: int) -> Metadata | None:
        path = self._claim_path(partition, start)
        body = _read(path)
        if body is None:
            return None
        try:
            claim = orjson.loads(body)
            suffix, tmp, digest = claim["suffix"], claim["tmp"], claim["sha256"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise _damaged(path) from error
        if suffix not in SUFFIXES.values() or not (tmp + digest).isalnum():
            raise _damaged(path)
        return {str(name): str(value) for name, value in claim.items()}

    # --- reading -------------------------------------------------------------------

    def metadata(self, partition: Partition, start: int) -> Metadata | None:
        """Return the metadata of the link at `start`, None where there is none."""
        with explained(f"read the landing {self}"):
            return self._claim(partition, start)

    def last_start(self, partition: Partition) -> int | None:
        """Return the greatest start of a link, once every link has its object."""
        listing = self.listing(partition)
        named = {start for start, _ in listing.objects}
        foreign = [*listing.foreign, *map(str, sorted(named - set(listing.starts)))]
        if foreign:
            raise written_by_others(self, f"{partition}: {foreign[0]}")
        with explained(f"write to the landing {self}"):
            for start in sorted(set(listing.starts) - named):
                claim = self._claim(partition, start)
                if claim is not None:
                    self._complete(partition, start, claim)
        return max(listing.starts, default=None)

    def partitions(self) -> list[Partition]:
        """Return every partition that has anything in it, sorted."""
        with explained(f"read the landing {self}"):
            found = set(self._partitions("_ingest/links", re.compile(r"(\d+)")))
            found.update(self._partitions("topics", _PARTITION))
            found.update(self._partitions("_dead_letter", _PARTITION))
            return sorted(found)

    def _partitions(self, below: str, pattern: re.Pattern[str]) -> Iterator[Partition]:
        for topic in _names(self.root / below):
            for name in _names(self.root / below / topic):
                match = pattern.fullmatch(name)
                if match is None:
                    raise written_by_others(self, f"{below}/{topic}/{name}")
                yield Partition(topic, int(match[1]))

    def listing(self, partition: Partition) -> Listing:
        """Return what lies in the partition; objects are listed before links.

        An object is made after its link, so a run beside this one never makes it look
        as if an object had none.
        """
        with explained(f"read the landing {self}"):
            objects, foreign = self._objects(partition)
            claims = self._claim_path(partition, 0).parent
            starts = sorted(int(name.removesuffix(".json")) for name in _names(claims))
            return Listing(starts, objects, foreign, self._dead_letters(partition))

    def _objects(self, partition: Partition) -> tuple[list[tuple[int, str]], list[str]]:
        objects, foreign = [], []
        for name in _names(self.root / partition.folder):
            start = object_start(partition, name)
            if start is None:
                foreign.append(name)
            else:
                objects.append((start, f"{partition.folder}/{name}"))
        return sorted(objects), sorted(foreign)

    def _dead_letters(self, partition: Partition) -> list[int]:
        names = _names(self.root / partition.dead_letters)
        offsets = (dead_letter_offset(partition, name) for name in names)
        return sorted(offset for offset in offsets if offset is not None)

    # --- tidying -------------------------------------------------------------------

    def tidy(self) -> None:
        """Remove temporaries older than a day, but for those a link still needs."""
        with explained(f"tidy the landing {self}"):
            limit = time.time() - _DAY_SECONDS
            tmps = [self._tmp / name for name in _names(self._tmp)]
            old = [tmp for tmp in tmps if _modified(tmp) < limit]
            needed = self._needed_temporaries() if old else set()
            for tmp in old:
                if tmp.name not in needed:
                    self._files.unlink(tmp)

    def _needed_temporaries(self) -> set[str]:
        needed = set()
        for partition in self.partitions():
            listing = self.listing(partition)
            named = {start for start, _ in listing.objects}
            for start in set(listing.starts) - named:
                claim = self._claim(partition, start)
                needed.add(claim["tmp"] if claim else "")
        return needed


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _names(folder: Path) -> list[str]:
    """List a folder, without the hidden files that systems leave in it."""
    with suppress(FileNotFoundError):
        return [path.name for path in folder.iterdir() if path.name[0] not in "._"]
    return []


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def object_start(partition: Partition, name: str) -> int | None:
    """Return the first offset in the name of a partition's object, None if it is none.

    The name may have folders before it.
    """
    return _offset(_OBJECT, partition, name)


def dead_letter_offset(partition: Partition, name: str) -> int | None:
    """Return the offset in the name of a partition's dead letter, None if it is none.

    The name may have folders before it.
    """
    return _offset(_DEAD_LETTER, partition, name)


def _offset(pattern: re.Pattern[str], partition: Partition, name: str) -> int | None:
    match = pattern.fullmatch(name.rpartition("/")[2])
    ours = match and (match[1], int(match[2])) == (partition.topic, partition.number)
    return int(match[3]) if match and ours else None


def partition_of(folder: str) -> Partition | None:
    """Return the partition that a folder `…/<topic>/partition=<p>/` is of, if any."""
    topic, _, name = folder.rstrip("/").rpartition("/")
    match = _PARTITION.fullmatch(name)
    return Partition(topic.rpartition("/")[2], int(match[1])) if match else None


def _damaged(path: Path) -> DamagedError:
    return DamagedError(f"{path} is damaged: it is no metadata of a link. Restore it.")


def written_by_others(landing: object, what: str) -> StopError:
    """Return what to say about something in a landing that is not ours."""
    return StopError(
        f"The landing {landing} holds what ingest did not write ({what}): "
        "use another landing."
    )
