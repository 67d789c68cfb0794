"""A landing in S3: the key of an object is the claim, its metadata are the link's."""

from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO, Final

from ingestion.errors import DamagedError, StopError
from ingestion.s3_calls import Page, S3Calls
from ingestion.stores import (
    SUFFIXES,
    Listing,
    Metadata,
    Partition,
    dead_letter_offset,
    object_start,
    partition_of,
    written_by_others,
)

_SHORTEST_OFFSET: Final = 10


class S3Store:
    """A landing in one general-purpose bucket.

    A link is committed by one conditional write that creates its object with its
    metadata (`If-None-Match: *`): there is nothing to complete and nothing to tidy.
    Names of metadata have dashes for underscores, which proxies drop from headers.
    """

    def __init__(self, calls: S3Calls) -> None:
        """Use the landing that these calls reach; nothing is asked yet."""
        self._calls = calls
        self._suffixes = list(SUFFIXES.values())

    def __str__(self) -> str:
        """Name the place as a URL."""
        return str(self._calls.place)

    def tidy(self) -> None:
        """Do nothing: a killed writer leaves an object or none."""

    # --- small objects -------------------------------------------------------------

    def create_once(self, name: str, body: bytes) -> bool:
        """Create a small object; False where another of that name is there."""
        return self._calls.put_once(name, body, {}) or self.read(name) == body

    def refuses_again(self, name: str) -> bool | None:
        """Tell whether S3 refuses to create an object again; None without the object.

        It is asked with the object's own bytes, so they stay the same either way.
        """
        body = self.read(name)
        return None if body is None else not self._calls.put_once(name, body, {})

    def replace(self, name: str, body: bytes) -> None:
        """Write a small object, over one that is there."""
        self._calls.put(name, body)

    def rewrite(self, name: str, digest: str, body: bytes) -> bool:
        """Write an object anew with its metadata, if it is the one that was read."""
        there = self._calls.get(name)
        if there is None or sha256(there.body).hexdigest() != digest:
            return False
        written = self._calls.put_over(name, body, there)
        return written or self.read(name) == body

    def read(self, name: str) -> bytes | None:
        """Return a small object's bytes, or None where there is none."""
        return self._calls.read(name)

    def names(self, folder: str) -> list[str]:
        """Return the names of the small objects in a folder, without it, sorted."""
        return sorted(name.rpartition("/")[2] for name in self._names(f"{folder}/"))

    def open(self, name: str) -> BinaryIO:
        """Open an object below `topics/` for reading; it is in memory as a whole."""
        body = self._calls.read(name)
        if body is None:
            raise StopError(
                f"{self}/{name} was listed and is gone: nothing may be deleted below "
                "a landing. Run `ingest verify` again, and restore the object."
            )
        return BytesIO(body)

    # --- links ---------------------------------------------------------------------

    def create_link(
        self, partition: Partition, start: int, suffix: str, body: bytes, meta: Metadata
    ) -> Metadata | None:
        """Create a link durably: None is committed, else the metadata that is there.

        They are this writer's own where only the first answer was lost.
        """
        name = partition.object_name(start, suffix)
        pairs = {key.replace("_", "-"): value for key, value in meta.items()}
        digest = bytes.fromhex(meta["sha256"])
        if self._calls.put_once(name, body, pairs, digest):
            return None
        there = self._metadata(name)
        if there is None:
            raise StopError(
                f"{self}/{name} is refused as already there, but it is not there: "
                "nothing may be deleted below a landing. Run `ingest verify`."
            )
        return there

    def metadata(self, partition: Partition, start: int) -> Metadata | None:
        """Return the metadata of the link at `start`, None where there is none.

        Raises `DamagedError` where there is an object without metadata of ours.
        """
        for suffix in self._suffixes:
            there = self._metadata(partition.object_name(start, suffix))
            if there is not None:
                self._suffixes.sort(key=lambda each: each != suffix)
                return there
        return None

    def _metadata(self, name: str) -> Metadata | None:
        pairs = self._calls.metadata(name)
        if pairs is None:
            return None
        if not {"writer", "sha256"} <= pairs.keys():
            raise DamagedError(
                f"{self}/{name} has no metadata of ours (another program wrote it, or "
                "it was copied without them): use another landing."
            )
        return {key.replace("-", "_"): value for key, value in pairs.items()}

    def last_start(self, partition: Partition) -> int | None:
        """Return the greatest start of a link, after checking the names that it sees.

        Up to 1,000 links are one request. A longer chain is bisected: S3 sorts keys
        as text, which is the order of numbers among starts of the same width; from
        width to width the chain itself leads.
        """
        page = self._calls.page(f"{partition.folder}/")
        starts = self._starts(partition, page)
        if not starts or page.token is None:
            return max(starts, default=None)
        last = max(starts)
        while True:
            last = self._last_of_width(partition, last)
            end = self._next(partition, last)
            if self.metadata(partition, end) is None:
                return last
            last = end

    def _next(self, partition: Partition, start: int) -> int:
        there = self.metadata(partition, start)
        following = (there or {}).get("next", "")
        if not following.isdecimal() or int(following) <= start:
            raise DamagedError(
                f"The metadata of the link of {partition} at {start} are damaged: run "
                f"`ingest verify {self}`."
            )
        return int(following)

    def _last_of_width(self, partition: Partition, low: int) -> int:
        """Return the greatest start that has as many digits as `low`, which is one."""
        width = max(_SHORTEST_OFFSET, len(str(low)))
        high = int("1" + "0" * width)
        while high - low > 1:
            middle = (low + high) // 2
            found, complete = self._from(partition, middle, width)
            if found is None:
                high = middle
            elif complete:
                return found
            else:
                low = found
        return low

    def _from(
        self, partition: Partition, start: int, width: int
    ) -> tuple[int | None, bool]:
        """Return the greatest start of a width on the first page that has any.

        None of them is below `start`; also tell whether nothing comes after the page.
        """
        after = partition.object_name(start, "")
        page = self._calls.page(f"{partition.folder}/", after=after)
        while True:
            starts = [
                each
                for each in self._starts(partition, page)
                if max(_SHORTEST_OFFSET, len(str(each))) == width
            ]
            if starts or page.token is None:
                return max(starts, default=None), page.token is None
            page = self._calls.page(f"{partition.folder}/", token=page.token)

    def _starts(self, partition: Partition, page: Page) -> list[int]:
        starts = []
        for name in _shown(page.names):
            start = object_start(partition, name)
            if start is None:
                raise written_by_others(self, name)
            starts.append(start)
        return starts

    # --- looking around ------------------------------------------------------------

    def partitions(self) -> list[Partition]:
        """Return every partition that has anything in it, sorted."""
        found = set()
        for above in ("topics/", "_dead_letter/"):
            for topic in self._folders(above):
                for folder in self._folders(topic):
                    partition = partition_of(folder)
                    if partition is None:
                        raise written_by_others(self, folder)
                    found.add(partition)
        return sorted(found)

    def _folders(self, above: str) -> list[str]:
        pages = self._calls.pages(above, folders=True)
        return [each for page in pages for each in page.folders]

    def listing(self, partition: Partition) -> Listing:
        """Return what lies in the partition; links are listed once, as objects."""
        objects, foreign = [], []
        for name in self._names(f"{partition.folder}/"):
            start = object_start(partition, name)
            if start is None:
                foreign.append(name.rpartition("/")[2])
            else:
                objects.append((start, name))
        starts = sorted({start for start, _ in objects})
        letters = self._names(f"{partition.dead_letters}/")
        offsets = (dead_letter_offset(partition, name) for name in letters)
        dead = sorted(offset for offset in offsets if offset is not None)
        return Listing(starts, sorted(objects), sorted(foreign), dead)

    def _names(self, folder: str) -> Iterable[str]:
        for page in self._calls.pages(folder):
            yield from _shown(page.names)


def _shown(names: Iterable[str]) -> Iterable[str]:
    """Leave out hidden files of systems, and the empty objects consoles make."""
    return (name for name in names if name.rpartition("/")[2][:1] not in {"", ".", "_"})
