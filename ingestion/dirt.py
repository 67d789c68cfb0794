"""What else arrives: the kinds of dirt that a sample can hold, with exact counts.

A kind of dirt stands in the place of an event's clean lines. No event gets two kinds,
so the counts follow from how each was used. Lines are in the order in which they would
arrive: the last valid line of an event is its newest copy.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from ingestion.records import KEY_FIELDS

COUNTS_FILE: Final = "counts.json"
REASONS: Final = ("not_json", "not_object", "no_key", "foreign")
PIN, GEO, USER = TYPES = tuple(KEY_FIELDS)

Record = dict[str, object]


@dataclass(frozen=True)
class RecordCounts:
    """The lines of one file.

    lines = blank + not_utf8 + disputed + rejected + valid; valid = newest + superseded.
    Readers disagree on whether a disputed line is JSON. If one is taken for valid it is
    a superseded copy of an event, and else `not_json`; nothing but that depends on it.
    """

    lines: int
    blank: int
    not_utf8: int
    disputed: int
    rejected: dict[str, int]
    valid: int
    newest: int
    superseded: int
    incomplete_posts: int
    """Events seen in another file that lack this record."""


@dataclass(frozen=True)
class SampleCounts:
    """What a sample holds, known from how it was made.

    Columns are written `geo.latitude`; out-of-range and unreadable values stand in the
    newest copy of their event, which has no other valid copy.
    """

    events: int
    """Event numbers with a valid record in any file."""
    records: dict[str, RecordCounts]
    unidentified_posts: int
    out_of_range: dict[str, int]
    unreadable: dict[str, int]
    kinds: dict[str, int]
    """How many events each kind of dirt was given to."""


class Line(NamedTuple):
    """One line of a dirty file: what it counts as, and whether it goes to the end."""

    outcome: str
    text: bytes
    is_late: bool = False


Make = Callable[[Record, int], list[Line]]
"""From an event's clean record and a variant number: the lines in its place."""


class Kind(NamedTuple):
    """One kind of dirt, for one of `types` in turn, or for all of them together."""

    name: str
    types: tuple[str, ...]
    make: Make
    together: bool = False
    out_of_range: str = ""
    unreadable: str = ""
    hides_user: bool = False


# How lines are made -----------------------------------------------------------


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _valid(record: Record, is_late: bool = False) -> Line:
    return Line("valid", _json(record), is_late)


def _key(record: Record) -> str:
    return next(iter(record))


def _number(record: Record) -> int:
    return int(str(record[_key(record)]))


def _with(column: str, *values: object) -> Make:
    """Return a maker of valid records that have one of `values` in `column`."""
    return lambda record, variant: [
        _valid({**record, column: values[variant % len(values)]})
    ]


def _instead(outcome: str, texts: Callable[[Record], Sequence[bytes]]) -> Make:
    """Return a maker of one of `texts`; every other time the clean line follows it."""

    def make(record: Record, variant: int) -> list[Line]:
        choices = texts(record)
        line = Line(outcome, choices[variant % len(choices)])
        is_followed = (variant + variant // len(choices)) % 2
        return [line, _valid(record)] if is_followed else [line]

    return make


def _before(outcome: str, texts: Callable[[Record], Sequence[bytes]]) -> Make:
    """Return a maker of one of `texts`, always followed by the clean line."""

    def make(record: Record, variant: int) -> list[Line]:
        choices = texts(record)
        return [Line(outcome, choices[variant % len(choices)]), _valid(record)]

    return make


def _gone(_record: Record, _variant: int) -> list[Line]:
    return []


def _late(record: Record, _variant: int) -> list[Line]:
    return [_valid(record, is_late=True)]


def _replayed(record: Record, variant: int) -> list[Line]:
    return [_valid(record)] * (1 + variant % 2) + [_valid(record, is_late=True)]


def _moved(record: Record, variant: int) -> list[Line]:
    count = ("1.2k", "1,234", "3b", "2m", "0", "12.5K", "17")[variant % 7]
    return [_valid(record), _valid({**record, "follower_count": count})]


def _renamed(record: Record, variant: int) -> list[Line]:
    copies = [_valid({**record, "last_name": "Before"}), _valid(record)]
    return copies if variant % 2 else copies[::-1]


def _dated(record: Record, variant: int) -> list[Line]:
    """Write the same instant in another of the accepted forms."""
    column = "timestamp" if "timestamp" in record else "date_joined"
    at = datetime.fromisoformat(str(record[column]))
    east, west = at + timedelta(hours=2), at - timedelta(hours=5, minutes=30)
    forms = (
        at.isoformat(),
        f"{at}.000",
        f"{at.isoformat()}Z",
        f"{east.isoformat()}+02:00",
        f"{west} -0530",
        f"{at.isoformat()}.0000009Z",
        f"  {at}\u00a0",
        f"{at} Z",
    )
    return [_valid({**record, column: forms[variant % len(forms)]})]


def _wrapped(record: Record, _variant: int) -> list[Line]:
    return [_valid(record)._replace(text=_json([record]))]


def _other_json_type(record: Record, variant: int) -> list[Line]:
    """Write a number as text, or a text as a number."""
    changed: tuple[Record, Record]
    if "title" in record:
        changed = ({"downloaded": str(record["downloaded"])}, {"title": 123})
    elif "age" in record:
        changed = ({"age": str(record["age"])}, {"age": float(str(record["age"]))})
    else:
        changed = ({"latitude": str(record["latitude"])}, {"country": 7})
    return [_valid({**record, **changed[variant % 2]})]


def _key_as_text(record: Record, variant: int) -> list[Line]:
    form = ("{}", " {} ", "\t{}\u00a0", "\n{}", "000{}")[variant % 5]
    return [_valid({**record, _key(record): form.format(_number(record))})]


def _rewritten(record: Record, variant: int) -> list[Line]:
    """Write the same record as another client would."""
    turned = dict(reversed(record.items()))
    texts = (json.dumps(turned), json.dumps(record), json.dumps(record, sort_keys=True))
    return [Line("valid", texts[variant % 3].encode())]


def _padded_sentinel(record: Record, variant: int) -> list[Line]:
    columns = (
        {"title": " No Title Data Available\n"},
        {"poster_name": "\u00a0User Info Error", "follower_count": "User Info Error "},
        {"tag_list": "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e \u00a0"},
        {"description": "\tNo description available"},
        {"title": " \u00a0\t "},
    )
    return [_valid({**record, **columns[variant % len(columns)]})]


# What is not a record ---------------------------------------------------------


def _not_utf8(record: Record) -> list[bytes]:
    line = _json(record)
    return [
        line[:-1] + b',"note":"\xff\xfe"}',
        b"\xf3\x89\x9a\xc2\x00\x01\x08\x02" + line,  # as the KPL aggregates records
        line[:-1] + ',"note":"café"}'.encode("latin-1"),
    ]


def _not_json(record: Record) -> list[bytes]:
    text = json.dumps(record, ensure_ascii=False)
    return [text[: len(text) // 2].encode(), text[:-1].encode(), b"{", b"hello"]


def _encoded(record: Record) -> list[bytes]:
    return [base64.b64encode(_json(record))]


def _not_object(record: Record) -> list[bytes]:
    return [
        b"null",
        b"[]",
        _json([record, record]),
        b"42",
        b'"hello"',
        b"true",
        _json(base64.b64encode(_json(record)).decode()),
        b"[null]",
    ]


def _no_key(record: Record) -> list[bytes]:
    number = _number(record)
    keys = ("12x", -1, 1.5, None, "", f"+{number}", "1234567890123456789", "1_000")
    return [_json({**record, _key(record): key}) for key in keys]


def _test_message(_record: Record) -> list[bytes]:
    return [b'{"hello":"world"}', b"{}", b'[{"hello":"world"}]']


def _user_or_geo_record(record: Record) -> list[bytes]:
    number = _number(record)
    user = {"ind": number, "first_name": "Ada", "last_name": "Ashwood", "age": 36}
    geo = {"ind": number, "latitude": 1.5, "longitude": -2.5, "country": "Norway"}
    return [_json(geo if "age" in record else user)]


def _key_alone(record: Record) -> list[bytes]:
    key, number = _key(record), _number(record)
    return [_json({key: number}), _json({key: number, "hello": "world"})]


def _disputed(record: Record) -> list[bytes]:
    text, last = json.dumps(record, ensure_ascii=False), list(record)[-1]
    return [
        line.encode()
        for line in (
            f'{{"{last}":null,{text[1:]}',
            f"{text[:-1]},}}",
            str(record),
            json.dumps({**record, last: float("nan")}, ensure_ascii=False),
            f"{text} and more",
            f"{text}{text}",
        )
    ]


# The kinds --------------------------------------------------------------------

HARMLESS: Final = (
    Kind("replayed", TYPES, _replayed, together=True),
    Kind("follower_count_moved", (PIN,), _moved),
    Kind("late", (GEO, GEO, USER, PIN), _late),
    Kind("other_datetime_form", (GEO, USER), _dated),
    Kind("wrapped_in_list", TYPES, _wrapped),
    Kind("other_json_type", TYPES, _other_json_type),
    Kind("key_as_text", TYPES, _key_as_text),
    Kind("rewritten", TYPES, _rewritten),
    Kind("blank_line", TYPES, _before("blank", lambda _: (b"", b"  ", b"\t"))),
    Kind("disputed", TYPES, _before("disputed", _disputed)),
)
"""Kinds that change no answer that depends on more than one post of a user."""

HARMFUL: Final = (
    Kind("follower_form", (PIN,), _with("follower_count", "1.2k", "1,234", "3B", "2m")),
    Kind("padded_sentinel", (PIN,), _padded_sentinel),
    Kind("renamed", (USER,), _renamed),
    Kind("pin_never", (PIN,), _gone),
    Kind("geo_never", (GEO,), _gone),
    Kind("user_never", (USER,), _gone),
    Kind("pin_alone", (GEO, USER), _gone, together=True),
    Kind("geo_alone", (PIN, USER), _gone, together=True),
    Kind("user_alone", (PIN, GEO), _gone, together=True),
    Kind(
        "nothing_valid",
        TYPES,
        lambda record, _: [Line("not_json", _not_json(record)[0])],
        together=True,
    ),
    Kind("not_utf8", TYPES, _instead("not_utf8", _not_utf8)),
    Kind("not_json", TYPES, _instead("not_json", _not_json)),
    Kind("base64", TYPES, _instead("not_json", _encoded)),
    Kind("not_object", TYPES, _instead("not_object", _not_object)),
    Kind("unreadable_key", TYPES, _instead("no_key", _no_key)),
    Kind("test_message", TYPES, _instead("no_key", _test_message)),
    Kind("user_record_in_pin", (PIN,), _instead("no_key", _user_or_geo_record)),
    Kind("foreign_record", (USER, GEO), _instead("foreign", _user_or_geo_record)),
    Kind("key_alone", TYPES, _instead("foreign", _key_alone)),
    Kind("age_out_of_range", (USER,), _with("age", 0, 200), out_of_range="user.age"),
    Kind(
        "latitude_out_of_range",
        (GEO,),
        _with("latitude", 91, -90.5),
        out_of_range="geo.latitude",
    ),
    Kind(
        "posted_before_joining",
        (GEO,),
        _with("timestamp", "2014-05-06 07:08:09", "2009-12-31T23:59:59Z"),
        out_of_range="geo.timestamp",
    ),
    Kind(
        "unreadable_age",
        (USER,),
        _with("age", "abc", "1_000", "0x10", 34.5, "3 4"),
        unreadable="user.age",
    ),
    Kind(
        "unreadable_date_joined",
        (USER,),
        _with("date_joined", "2016", "epoch", "2016-02-30 10:00:00", "2016-05-04"),
        unreadable="user.date_joined",
        hides_user=True,
    ),
    Kind(
        "unreadable_follower_count",
        (PIN,),
        _with("follower_count", "lots", "1_000", "k", "12 k followers"),
        unreadable="pin.follower_count",
    ),
    Kind(
        "unreadable_timestamp",
        (GEO,),
        _with("timestamp", "epoch", "2018", "1_000", "2018-02-30 10:00:00", "0x10"),
        unreadable="geo.timestamp",
    ),
    Kind(
        "unreadable_latitude",
        (GEO,),
        _with("latitude", "north", "1_0"),
        unreadable="geo.latitude",
    ),
    Kind(
        "nameless", (USER,), _with("first_name", "", " \u00a0", None), hides_user=True
    ),
)
"""Kinds that lose or spoil something: given to people with one post only."""

EVENTS_PER_USE: Final = 80
"""Each kind is given to one event in so many."""


# Making a sample dirty --------------------------------------------------------


class Use(NamedTuple):
    """A kind given to one event."""

    kind: Kind
    turn: int

    def lines(self, record_type: str, clean: bytes) -> list[Line]:
        """Return the lines that stand in the place of the event's clean line."""
        types = self.kind.types
        record = json.loads(clean)
        if self.kind.together and record_type in types:
            return self.kind.make(record, self.turn)
        if not self.kind.together and types[self.turn % len(types)] == record_type:
            return self.kind.make(record, self.turn // len(types))
        return [Line("valid", clean.rstrip(b"\n"))]


class Tally:
    """Counts lines as they are made."""

    def __init__(self, events: int, uses: dict[int, Use]) -> None:
        """Begin with the events that stay clean."""
        self.uses = uses
        self.clean = events - len(uses)
        self.outcomes: dict[str, Counter[str]] = {name: Counter() for name in TYPES}
        self.found: dict[str, set[int]] = {name: set() for name in TYPES}

    def add(self, record_type: str, event: int, line: Line) -> None:
        """Count one line made for an event."""
        self.outcomes[record_type][line.outcome] += 1
        if line.outcome == "valid":
            self.found[record_type].add(event)

    def counts(self) -> SampleCounts:
        """Return the counts, once every file has been written."""
        seen = set[int]().union(*self.found.values())
        records = {name: self._record_counts(name, len(seen)) for name in TYPES}
        kinds = [use.kind for use in self.uses.values()]
        hidden = sum(kind.hides_user for kind in kinds)
        return SampleCounts(
            events=self.clean + len(seen),
            records=records,
            unidentified_posts=records[USER].incomplete_posts + hidden,
            out_of_range=_counted(kind.out_of_range for kind in kinds),
            unreadable=_counted(kind.unreadable for kind in kinds),
            kinds=_counted(kind.name for kind in kinds),
        )

    def _record_counts(self, record_type: str, seen: int) -> RecordCounts:
        made = self.outcomes[record_type]
        found = len(self.found[record_type])
        return RecordCounts(
            lines=self.clean + made.total(),
            blank=made["blank"],
            not_utf8=made["not_utf8"],
            disputed=made["disputed"],
            rejected={reason: made[reason] for reason in REASONS},
            valid=self.clean + made["valid"],
            newest=self.clean + found,
            superseded=made["valid"] - found,
            incomplete_posts=seen - found,
        )


def _counted(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(name for name in names if name).items()))


def clean_counts(events: int) -> SampleCounts:
    """Return the counts of a clean sample: every event has its three records."""
    return Tally(events, {}).counts()


def write_dirty(
    connection: duckdb.DuckDBPyConnection, folder: Path, events: int
) -> SampleCounts:
    """Make the clean files in `folder` dirty and write `counts.json` beside them.

    `connection` has the views of `sample.sql`, with which the files were written.
    """
    uses = _uses(connection, events)
    tally = Tally(events, uses)
    for record_type in TYPES:
        _write_dirty_file(folder / f"{record_type}.jsonl", record_type, tally)
    counts = tally.counts()
    text = json.dumps(asdict(counts), indent=2)
    (folder / COUNTS_FILE).write_text(text + "\n", encoding="utf-8")
    return counts


def _uses(connection: duckdb.DuckDBPyConnection, events: int) -> dict[int, Use]:
    """Give each kind to one event in `EVENTS_PER_USE`, by the sample's own draw."""
    uses = {}
    for view, kinds in (("regular_events", HARMLESS), ("single_events", HARMFUL)):
        limit = len(kinds) * -(-events // EVENTS_PER_USE)
        rows = connection.execute(
            f"select event from {view} limit $limit",
            {"limit": limit},
        ).fetchall()
        for place, (event,) in enumerate(rows):
            turn, kind = divmod(place, len(kinds))
            uses[event] = Use(kinds[kind], turn)
    return uses


def _write_dirty_file(path: Path, record_type: str, tally: Tally) -> None:
    late = []
    dirty_path = path.with_suffix(".dirty")
    with path.open("rb") as clean, dirty_path.open("wb") as dirty:
        for event, clean_line in enumerate(clean):
            if event not in tally.uses:
                dirty.write(clean_line)
                continue
            for line in tally.uses[event].lines(record_type, clean_line):
                tally.add(record_type, event, line)
                if line.is_late:
                    late.append(line.text + b"\n")
                else:
                    dirty.write(line.text + b"\n")
        dirty.writelines(late)
    dirty_path.replace(path)
