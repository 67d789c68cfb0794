"""Dead letters of a landing, in a folder and in S3: listed, sent back, marked."""

import base64
import json
import os
import signal
from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from memory_topic import MemoryReader, Topic

from ingestion.dead_letters import Coordinates, DeadLetter, dead_letters, replay
from ingestion.errors import DamagedError, StopError
from ingestion.lander import Lander, Letter, Record
from ingestion.landing import Landing
from ingestion.stores import DirectoryStore, Files, Partition, Store
from ingestion.verify import verify

if TYPE_CHECKING:
    from landing_sites import Site

pytest_plugins = ["landing_sites"]

PIN, GEO = Partition("u.pin", 0), Partition("u.geo", 3)
VALUES: dict[tuple[Partition, int], bytes | None] = {
    (PIN, 2): None,
    (PIN, 10_000_000_000): b"\xff",
    (PIN, 5): b"x" * 30,
    (PIN, 7): b"y" * 40,
    (GEO, 1): b'{"a":\n1}',
}


def written(store: Store, offsets: Collection[int] = ()) -> Landing:
    """Make a landing with the values at these offsets, or all."""
    landing = Landing.open(store)
    for (partition, n), value in VALUES.items():
        if offsets and n not in offsets:
            continue
        reason = "null_value" if value is None else "not_utf8"
        letter = Letter(n, reason, Record(n, value, b"key %d" % n, 1_000 * n))
        name = f"{partition.dead_letters}/{partition.topic}+{partition.number}+{n:010}"
        body = letter.body(partition, "kafka:c:t")
        landing.store.create_once(f"{name}.json", body)
    return landing


class Sent:
    """A way back that ends in a file: it survives a kill."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def require(self, letter: DeadLetter) -> None:
        if letter.source != "kafka:c:t":
            raise StopError("another cluster")

    def send(self, letter: DeadLetter) -> Coordinates:
        with self.log.open("a") as log:
            log.write(json.dumps([letter.key and letter.key.decode()]) + "\n")
        return Coordinates(str(letter.partition.number), "99")

    def keys(self) -> list[str]:
        if not self.log.exists():
            return []
        return [json.loads(line)[0] for line in self.log.read_text().splitlines()]


def waiting(store: Store, **only: Any) -> list[tuple[Partition, int]]:  # noqa: ANN401
    found = dead_letters(Landing.read(store), **only)
    return [(letter.partition, letter.position) for letter in found]


def test_they_are_listed_by_topic_partition_and_offset_as_a_number(
    site: "Site",
) -> None:
    written(site.store())
    in_order = [(GEO, 1), (PIN, 2), (PIN, 5), (PIN, 7), (PIN, 10_000_000_000)]
    assert waiting(site.store()) == in_order
    assert waiting(site.store(), topic="u.geo") == [(GEO, 1)]
    assert waiting(site.store(), reason="null_value") == [(PIN, 2)]
    first = next(dead_letters(Landing.read(site.store()), "u.pin", "not_utf8"))
    assert (first.value, first.key, first.time, first.size) == (
        b"x" * 30,
        b"key 5",
        5_000,
        30,
    )


def test_what_the_rules_accept_now_is_sent_once_and_never_listed_again(
    site: "Site", tmp_path: Path
) -> None:
    landing, back = written(site.store()), Sent(tmp_path / "sent")
    done = replay(landing, back, max_record_bytes=35)
    assert (done.sent, done.left) == (2, 3)
    assert back.keys() == ["key 1", "key 5"]
    assert waiting(site.store()) == [(PIN, 2), (PIN, 7), (PIN, 10_000_000_000)]
    marker = "_dead_letter/u.pin/partition=0/u.pin+0+0000000005.replayed.json"
    assert json.loads(site.body(marker)) == {
        "topic": "u.pin",
        "partition": "0",
        "offset": "99",
    }
    assert replay(landing, back, max_record_bytes=35).sent == 0
    assert replay(landing, back, topic="u.geo").sent == 0
    assert replay(landing, back).sent == 1
    assert back.keys() == ["key 1", "key 5", "key 7"]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_letter_whose_record_was_landed_after_all_is_not_sent(
    site: "Site", tmp_path: Path, compression: str
) -> None:
    """A lander with a smaller limit wrote it and died; another one made the link."""
    landing, back = Landing.open(site.store(), compression), Sent(tmp_path / "sent")
    topic = Topic({0: b"a", 1: b"x" * 30, 2: None, 3: b"b"})
    early = Letter(1, "too_large", Record(1, b"x" * 30, b"key 1"))
    name = f"{PIN.dead_letters}/u.pin+0+0000000001.json"
    landing.store.create_once(name, early.body(PIN, "kafka:c:t"))
    Lander(landing, MemoryReader(topic)).run()
    assert waiting(site.store()) == [(PIN, 2)]
    assert replay(landing, back).sent == 0
    (ledger,) = verify(landing)
    assert (ledger.clean, ledger.records, ledger.superseded) == (True, 3, 1)


def test_a_letter_that_came_from_elsewhere_is_not_sent(
    site: "Site", tmp_path: Path
) -> None:
    landing, back = Landing.open(site.store()), Sent(tmp_path / "sent")
    letter = Letter(4, "newline", Record(4, b"1"))
    name = f"{PIN.dead_letters}/u.pin+0+0000000004.json"
    landing.store.create_once(name, letter.body(PIN, "kafka:other:t"))
    with pytest.raises(StopError, match="another cluster"):
        replay(landing, back)
    assert back.keys() == []
    assert waiting(site.store()) == [(PIN, 4)]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'{"reason":"x","source":"s","offset":"q"}']
)
def test_a_letter_that_cannot_be_read_is_named(site: "Site", body: bytes) -> None:
    landing = Landing.open(site.store())
    landing.store.create_once(f"{PIN.dead_letters}/u.pin+0+0000000004.json", body)
    with pytest.raises(DamagedError, match=r"0000000004\.json is no dead letter"):
        waiting(site.store())


def test_base64_of_others_is_damage(site: "Site") -> None:
    landing = Landing.open(site.store())
    named = json.loads(Letter(4, "newline", Record(4, b"1")).body(PIN, "s"))
    assert named["value"] == base64.b64encode(b"1").decode()
    body = json.dumps({**named, "value": "?"}).encode()
    landing.store.create_once(f"{PIN.dead_letters}/u.pin+0+0000000004.json", body)
    with pytest.raises(DamagedError):
        waiting(site.store())


# --- kill -9 -----------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Fork, run, and return how the child ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def kill_when(counter: "count[int]", at: int) -> None:
    if next(counter) == at:
        os.kill(os.getpid(), signal.SIGKILL)


class Killing:
    """Ends the process before or after change `at` to the store or on the way back."""

    def __init__(self, inner: object, counter: "count[int]", at: int) -> None:
        self.inner, self.counter, self.at = inner, counter, at

    def __getattr__(self, name: str) -> Callable[..., object]:
        call: Callable[..., object] = getattr(self.inner, name)
        if name not in {"create_once", "send"}:
            return call

        def killing(*args: object) -> object:
            kill_when(self.counter, self.at)
            answer = call(*args)
            kill_when(self.counter, self.at)
            return answer

        return killing


def test_killed_at_every_step_each_letter_is_sent_and_none_is_listed(
    site: "Site", tmp_path: Path
) -> None:
    sent = []
    for at in count():
        target = site if at == 0 else beside(site, at)
        landing, back = written(target.store(), (1, 2, 5)), Sent(tmp_path / f"{at}")
        counter = count()
        killing: Any = Killing(landing.store, counter, at)
        way: Any = Killing(back, counter, at)
        code = in_child(lambda: replay(Landing(killing, "none"), way))  # noqa: B023
        replay(landing, back)
        assert waiting(landing.store) == [(PIN, 2)]
        keys = back.keys()
        sent.append("".join(key[-1] for key in keys))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert sent == ["15", "115", "115", "15", "15", "155", "155", "15", "15"]


def beside(site: Any, number: int) -> "Site":  # noqa: ANN401 - either of the two
    if hasattr(site, "beside"):
        prefix: Site = site.beside()
        return prefix
    folder: Site = type(site)(site.root.with_name(f"landing {number}"))
    return folder


class KillingFiles(Files):
    """Ends the process at the n-th change of a file."""

    def __init__(self, at: int) -> None:
        self.counter, self.at = count(), at

    def link(self, source: Path, target: Path) -> None:
        kill_when(self.counter, self.at)
        super().link(source, target)
        kill_when(self.counter, self.at)

    def unlink(self, path: Path) -> None:
        kill_when(self.counter, self.at)
        super().unlink(path)

    def sync(self, _: int) -> None:
        kill_when(self.counter, self.at)


def test_killed_at_every_change_of_a_file_no_marker_is_half_written(
    tmp_path: Path,
) -> None:
    for at in count():
        root = tmp_path / str(at)
        written(DirectoryStore(root), (2, 5))
        back = Sent(root / "sent")
        store = DirectoryStore(root, KillingFiles(at))
        code = in_child(lambda: replay(Landing.read(store), back))  # noqa: B023
        for path in root.glob("_dead_letter/*/*/*.replayed.json"):
            assert json.loads(path.read_bytes())["offset"] == "99"
        replay(Landing.read(DirectoryStore(root)), back)
        assert waiting(DirectoryStore(root)) == [(PIN, 2)]
        if code == 0:
            break
    assert at >= 5
