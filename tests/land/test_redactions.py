"""Lines that are redacted for a person's erasure, in a folder and in S3."""

import gzip
import json
import os
import signal
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ingestion.cli import main
from ingestion.dead_letters import dead_letters
from ingestion.errors import RetryError, StopError
from ingestion.lander import Letter, Record
from ingestion.landing import Chain, Landing, Link
from ingestion.redactions import Redaction, redact
from ingestion.stores import DirectoryStore, Partition
from ingestion.verify import Ledger, verify

if TYPE_CHECKING:
    from landing_sites import Site

pytest_plugins = ["landing_sites"]

USER = Partition("u.user", 0)
LINES = [b'{"ind":%d,"first_name":"Ada"}' % n for n in range(4)]
NAME = USER.object_name(0, ".json")


def landed(site: "Site", compression: str = "none") -> Landing:
    landing = Landing.open(site.store(), compression)
    chain = Chain(landing, USER)
    for _ in range(2):
        body = landing.encode(LINES)
        link = Link(
            start=chain.next,
            source="direct",
            writer="w",
            first=chain.next,
            last=chain.next + 3,
            next=chain.next + 4,
            records=4,
            sha256=sha256(body).hexdigest(),
        )
        chain.commit(link, body)
    return landing


def ledger_of(site: "Site") -> Ledger:
    (ledger,) = verify(Landing.read(site.store()))
    return ledger


def test_a_redacted_line_is_blank_and_everything_else_is_as_it_was(
    site: "Site",
) -> None:
    landing = landed(site)
    metadata = landing.store.metadata(USER, 0)
    (done,) = redact(landing, NAME, [3], "data protection", "request 7")
    assert site.body(NAME).split(b"\n") == [LINES[0], LINES[1], b"", LINES[3], b""]
    assert site.body(USER.object_name(4, ".json")).count(b"Ada") == 4
    assert site.store().metadata(USER, 0) == metadata
    assert Chain(landing, USER).next == 8
    assert (done.lines, done.by, done.reason) == ([3], "data protection", "request 7")
    assert json.loads(site.body(done.name))["old_sha256"] == done.old_sha256
    ledger = ledger_of(site)
    assert (ledger.clean, ledger.redacted, ledger.records) == (True, 1, 8)


def test_one_object_is_redacted_again_and_again(site: "Site") -> None:
    landing = landed(site, "gzip")
    name = USER.object_name(0, ".json.gz")
    redact(landing, name, [4], "a", "first")
    found = redact(landing, name, [1, 4], "b", "second")
    assert [record.lines for record in found] == [[4], [1]]
    assert found[0].new_sha256 == found[1].old_sha256
    assert len(redact(landing, name, [1], "c", "nothing left to do")) == 2
    lines = gzip.decompress(site.body(name)).split(b"\n")
    assert lines == [b"", LINES[1], LINES[2], b"", b""]
    assert (ledger_of(site).clean, ledger_of(site).redacted) == (True, 2)


def test_a_change_that_no_record_tells_of_is_still_found(site: "Site") -> None:
    landing = landed(site)
    redact(landing, NAME, [3], "a", "b")
    body = site.body(NAME)
    site.put(NAME, body.replace(b'"ind":1', b'"ind":9'))
    assert not ledger_of(site).clean
    with pytest.raises(StopError):
        redact(landing, NAME, [1], "a", "b")


def test_a_redaction_that_was_undone_is_found(site: "Site") -> None:
    landing = landed(site)
    (done,) = redact(landing, NAME, [2], "a", "b")
    site.remove(done.name)
    assert ledger_of(site).checksum_failures == 1


@pytest.mark.parametrize(
    ("name", "line", "sentence"),
    [
        (NAME, 5, "has 4 lines: there is no line 5"),
        (NAME, 0, "there is no line 0"),
        (USER.object_name(1, ".json"), 0, "has no link at 1"),
        ("topics/u.user", 0, "is no object of"),
        (
            "_dead_letter/u.user/partition=0/u.user+0+0000000000.json",
            1,
            "no dead letter",
        ),
        ("_dead_letter/u.user/0000000000.json", 1, "is no dead letter of"),
    ],
)
def test_what_cannot_be_redacted_is_one_sentence(
    site: "Site", name: str, line: int, sentence: str
) -> None:
    landing = landed(site)
    with pytest.raises(StopError, match=sentence):
        redact(landing, name, [line], "a", "b")
    assert ledger_of(site) == Ledger("u.user", 0, links=2, records=8)


def test_of_two_at_a_time_one_is_told_to_try_again(site: "Site") -> None:
    landing = landed(site)
    body = site.body(NAME)
    digest = sha256(body).hexdigest()
    other = Redaction("u.user", 0, 0, [1], "x", "y", "now", digest, "0" * 64)
    real = landing.store.create_once

    class Late:
        """Writes the other's record just before its own."""

        def __getattr__(self, name: str) -> object:
            return getattr(landing.store, name)

        def create_once(self, name: str, body: bytes) -> bool:
            real(other.name, other.body())
            return real(name, body)

    late: Any = Late()
    with pytest.raises(RetryError, match="by somebody else"):
        redact(Landing(late, "none"), NAME, [1], "a", "b")
    assert site.body(NAME) == body


def test_no_other_name_of_the_old_bytes_is_left_in_a_folder(site: "Site") -> None:
    landing = landed(site)
    if not isinstance(landing.store, DirectoryStore):
        return
    root = landing.store.root
    (root / "_ingest/tmp").mkdir(exist_ok=True)
    os.link(root / NAME, root / "_ingest/tmp/left")
    redact(landing, NAME, [1, 2, 3, 4], "a", "b")
    objects = [path for path in root.rglob("*") if path.is_file()]
    second = root / USER.object_name(4, ".json")
    assert [path for path in objects if b"Ada" in path.read_bytes()] == [second]


# --- dead letters ------------------------------------------------------------------

LETTER = f"{USER.dead_letters}/u.user+0+0000000008.json"


def with_a_dead_letter(site: "Site") -> Landing:
    landing = landed(site)
    chain = Chain(landing, USER)
    for n in (8, 9):
        letter = Letter(n, "not_utf8", Record(n, b"\xffAda", b"key of Ada", 7))
        name = LETTER.replace("08.json", f"0{n}.json")
        landing.store.create_once(name, letter.body(USER, "direct"))
    digest = sha256(b"").hexdigest()
    link = Link(start=8, source="direct", writer="w", next=10, dead=2, sha256=digest)
    chain.commit(link, b"")
    return landing


def test_a_redacted_dead_letter_keeps_its_reason_and_is_not_listed(
    site: "Site",
) -> None:
    landing = with_a_dead_letter(site)
    assert [letter.position for letter in dead_letters(landing)] == [8, 9]
    before = json.loads(site.body(LETTER))
    (done,) = redact(landing, LETTER, [1], "data protection", "request 7")
    gone = {"key": None, "value": None, "redacted": True}
    assert json.loads(site.body(LETTER)) == {**before, **gone}
    assert json.loads(site.body(done.name))["new_sha256"] == done.new_sha256
    assert [letter.position for letter in dead_letters(landing)] == [9]
    assert redact(landing, LETTER, [1], "somebody else", "again") == [done]
    ledger = ledger_of(site)
    assert (ledger.clean, ledger.redacted, ledger.dead) == (True, 1, 2)
    with pytest.raises(StopError, match="has 1 line: there is no line 2"):
        redact(landing, LETTER, [2], "a", "b")


@pytest.mark.parametrize("body", [b"", b'{"reason":"newline"}'])
def test_a_dead_letter_that_cannot_be_read_is_found(site: "Site", body: bytes) -> None:
    with_a_dead_letter(site)
    site.put(LETTER, body)
    assert ledger_of(site).checksum_failures == 1


def test_a_dead_letter_that_nobody_says_to_have_redacted_is_found(
    site: "Site",
) -> None:
    landing = with_a_dead_letter(site)
    (done,) = redact(landing, LETTER, [1], "a", "b")
    site.remove(done.name)
    (problem,) = ledger_of(site).problems
    assert problem == f"no record tells of the redaction of {LETTER}"


# --- kill -9 -----------------------------------------------------------------------


class Killing:
    """Ends the process before or after change `at` to the store."""

    def __init__(self, inner: object, at: int) -> None:
        self.inner, self.at, self.counter = inner, at, count()

    def kill_if_due(self) -> None:
        if next(self.counter) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name: str) -> Callable[..., object]:
        call: Callable[..., object] = getattr(self.inner, name)
        if name not in {"create_once", "rewrite"}:
            return call

        def killing(*args: object) -> object:
            self.kill_if_due()
            answer = call(*args)
            self.kill_if_due()
            return answer

        return killing


@pytest.mark.parametrize(("name", "line"), [(NAME, 2), (LETTER, 1)])
@pytest.mark.parametrize("at", range(5))
def test_killed_anywhere_it_is_said_and_ended_by_the_same_call(
    site: "Site", at: int, name: str, line: int
) -> None:
    landing = with_a_dead_letter(site)
    store: Any = Killing(landing.store, at)
    child = os.fork()
    if not child:
        try:
            redact(Landing(store, "none"), name, [line], "a", "b")
        finally:
            os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (0 if at == 4 else -signal.SIGKILL)
    ledger = ledger_of(site)
    half_done = at in {1, 2}
    assert ledger.clean is not half_done
    assert any("is not finished" in x for x in ledger.problems) is half_done
    redact(landing, name, [line], "a", "b")
    assert b"\n\n" in site.body(name) or b'"redacted":true' in site.body(name)
    assert (ledger_of(site).clean, ledger_of(site).redacted) == (True, 1)


def test_the_command_says_what_it_did(site: "Site") -> None:
    landing = landed(site)
    words = ["redact", str(landing.store), NAME, "--line", "1", "--line", "2"]
    who = ["--by", "data protection", "--reason", "request 7"]
    done = CliRunner().invoke(main, [*words, *who])
    assert done.exit_code == 0, done.output
    assert "line 1, 2 by data protection: _ingest/redactions/u.user/" in done.stdout
    versions = "delete that version" in done.stdout
    assert versions is str(landing.store).startswith("s3://")
    checked = CliRunner().invoke(main, ["verify", str(landing.store), "--json"])
    assert checked.exit_code == 0
    assert json.loads(checked.stdout.splitlines()[0])["redacted"] == 2
