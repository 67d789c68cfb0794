import hashlib
import json
import math
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from ingestion.dirt import HARMFUL, HARMLESS
from ingestion.sample import write_sample

Record = dict[str, Any]
FIELDS = {
    "pin": [
        *("index", "unique_id", "title", "description", "poster_name"),
        *("follower_count", "tag_list", "is_image_or_video", "image_src"),
        *("downloaded", "save_location", "category"),
    ],
    "geo": ["ind", "timestamp", "latitude", "longitude", "country"],
    "user": ["ind", "first_name", "last_name", "age", "date_joined"],
}
NO_TAGS = "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"
DATETIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?( ?(Z|[+-]\d\d:?\d\d))?"
)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def read(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module", params=[(5_000, 1), (400, 7)])
def clean(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Record]]:
    folder = tmp_path_factory.mktemp("clean")
    events, seed = request.param
    write_sample(folder, events, seed)
    return {name: read(folder / f"{name}.jsonl") for name in FIELDS}


def person_of(user: Record) -> tuple[str, str, str]:
    return user["first_name"], user["last_name"], user["date_joined"]


# The same seed --------------------------------------------------------------------


@pytest.mark.parametrize("dirt", [False, True])
def test_a_seed_gives_the_same_bytes_on_any_number_of_threads(
    tmp_path: Path, dirt: bool
) -> None:
    for threads in (1, 4):
        folder = tmp_path / str(threads)
        # More than one of DuckDB's row groups of 122,880.
        write_sample(folder, 3_000 if dirt else 125_000, 1, dirt, threads=threads)
    assert digests(tmp_path / "1") == digests(tmp_path / "4")


def test_a_seed_gives_the_bytes_it_gave_on_every_other_machine(tmp_path: Path) -> None:
    write_sample(tmp_path, 1_000, 1)
    assert {name: text[:12] for name, text in digests(tmp_path).items()} == {
        "geo.jsonl": "f5c5fed1a869",
        "pin.jsonl": "bcf2b6da00d6",
        "user.jsonl": "1a641a1fbbad",
    }


def test_another_seed_gives_other_records_in_every_file(tmp_path: Path) -> None:
    write_sample(tmp_path / "1", 100, 1)
    write_sample(tmp_path / "2", 100, 2)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert all(one[name] != two[name] for name in one)


# The clean sample -----------------------------------------------------------------


def test_every_event_has_its_three_records_with_the_fields_in_order(
    clean: dict[str, list[Record]],
) -> None:
    for name, records in clean.items():
        assert {tuple(record) for record in records} == {tuple(FIELDS[name])}
        numbers = [record[FIELDS[name][0]] for record in records]
        assert numbers == list(range(len(clean["pin"])))


def test_categories_stand_in_thirteen_blocks_and_name_the_folder(
    clean: dict[str, list[Record]],
) -> None:
    pins = clean["pin"]
    blocks = [name for name, _ in groupby(pin["category"] for pin in pins)]
    assert blocks == sorted(set(blocks))
    assert len(blocks) == 13
    folders = {pin["save_location"].removesuffix(pin["category"]) for pin in pins}
    assert folders == {"Local save in /data/"}


def test_a_person_is_one_poster_one_place_and_one_age(
    clean: dict[str, list[Record]],
) -> None:
    facts = defaultdict(set)
    for pin, geo, user in zip(*clean.values(), strict=True):
        place = geo["latitude"], geo["longitude"]
        facts[person_of(user)].add((pin["poster_name"], place, user["age"]))
    assert {len(several) for several in facts.values()} == {1}
    posters, places, _ = zip(*(fact for (fact,) in facts.values()), strict=True)
    assert len({poster.strip() for poster in posters}) == len(set(places)) == len(facts)


def test_most_people_post_once_and_few_many_times(
    clean: dict[str, list[Record]],
) -> None:
    posts = Counter(map(person_of, clean["user"]))
    events = len(clean["user"])
    assert 0.45 < len(posts) / events < 0.95
    assert sum(count == 1 for count in posts.values()) > len(posts) * 0.6
    assert 0.005 < max(posts.values()) / events < 0.08


def test_some_people_share_their_names(clean: dict[str, list[Record]]) -> None:
    people = set(map(person_of, clean["user"]))
    names = {person[:2] for person in people}
    assert len(names) < len(people) or len(people) < 1_000
    assert len(names) > len(people) * 0.9


def test_values_are_in_their_ranges_and_posts_follow_joining(
    clean: dict[str, list[Record]],
) -> None:
    for geo, user in zip(clean["geo"], clean["user"], strict=True):
        assert 20 <= user["age"] <= 60
        assert -90 <= geo["latitude"] <= 90
        assert -180 <= geo["longitude"] <= 180
        assert "2015-10" <= user["date_joined"] < "2017-10-20" <= geo["timestamp"]
        assert geo["timestamp"] < "2022-11"
        datetime.strptime(geo["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        datetime.strptime(user["date_joined"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def test_follower_counts_have_the_scrapes_form_and_drift_by_little(
    clean: dict[str, list[Record]],
) -> None:
    seen = defaultdict(set)
    for pin, user in zip(clean["pin"], clean["user"], strict=True):
        if pin["follower_count"] != "User Info Error":
            match = re.fullmatch(r"(0|[1-9]\d{0,2})([kM]?)", pin["follower_count"])
            assert match, pin["follower_count"]
            seen[person_of(user)].add((int(match[1]), match[2]))
    assert max(map(len, seen.values())) == 2
    for counts in seen.values():
        numbers, units = zip(*counts, strict=True)
        assert max(numbers) - min(numbers) <= 1
        assert len(set(units)) == 1


def test_missing_values_follow_the_rules_of_the_scrape(
    clean: dict[str, list[Record]],
) -> None:
    failed = set()
    for pin, user in zip(clean["pin"], clean["user"], strict=True):
        is_story = pin["is_image_or_video"] == "multi-video(story page format)"
        no_story = pin["description"] == "No description available Story format"
        assert is_story == no_story
        assert (pin["downloaded"] == 0) == (pin["image_src"] == "Image src error.")
        unknown = "User Info Error"
        assert (pin["poster_name"] == unknown) == (pin["follower_count"] == unknown)
        if pin["poster_name"] == unknown:
            failed.add(person_of(user))
            assert pin["title"] == "No Title Data Available"
            assert pin["tag_list"] == NO_TAGS
    assert len(failed) == 1


def test_a_pin_has_nine_different_tags_of_which_some_are_far_more_used(
    clean: dict[str, list[Record]],
) -> None:
    lists = [pin["tag_list"].split(",") for pin in clean["pin"]]
    lists = [tags for tags in lists if len(tags[0]) > 1]
    assert {(len(tags), len(set(tags))) for tags in lists} == {(9, 9)}
    used = Counter(tag for tags in lists for tag in tags).most_common()
    assert used[0][1] > 3 * used[len(used) // 2][1]


def test_shares_and_sizes_are_near_the_real_ones(
    clean: dict[str, list[Record]],
) -> None:
    pins = clean["pin"]

    def share(column: str, text: str) -> float:
        return sum(text in str(pin[column]) for pin in pins) / len(pins)

    assert 0.05 < share("is_image_or_video", "multi") < 0.11
    assert 0.01 < share("is_image_or_video", "video") - 0.077 < 0.08
    assert 0.01 < share("image_src", "error") < 0.06
    assert 0.001 < share("poster_name", "User Info Error") < 0.03
    assert 0.2 < share("description", "…\u00a0") < 0.4
    assert 0 < share("description", "No description available") - 0.077 < 0.1
    assert 600 < sum(len(json.dumps(pin)) for pin in pins) / len(pins) < 900
    assert max(len(pin["title"]) for pin in pins) < 200
    countries = Counter(geo["country"] for geo in clean["geo"])
    assert len(countries) > 120
    assert countries.most_common(1)[0][1] > 3 * len(pins) / len(countries)


def test_texts_hold_scripts_emoji_escapes_tags_and_entities(tmp_path: Path) -> None:
    write_sample(tmp_path, 5_000, 3)
    pins = read(tmp_path / "pin.jsonl")
    for column in ("title", "description"):
        text = "".join(pin[column] for pin in pins)
        assert all(part in text for part in '\n\t"\\<>👍яきل한é')
    assert any("&#39s" in pin["title"] for pin in pins)
    assert any("&#128077;" in pin["description"] for pin in pins)
    assert any(pin["poster_name"] != pin["poster_name"].strip() for pin in pins)


def test_a_sample_may_be_empty_or_tiny(tmp_path: Path) -> None:
    for events in (0, 1, 3):
        for dirt in (False, True):
            counts = write_sample(tmp_path, events, 1, dirt)
            assert counts.events <= events


# The dirty sample -----------------------------------------------------------------


def trimmed(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "" if value is None else text.strip(" \t\r\n\u00a0")


def is_disputed(text: str) -> bool:
    """Say whether JSON readers disagree about a line, told by its text alone."""
    repeated = False

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal repeated
        repeated = repeated or len(dict(items)) < len(items)
        return dict(items)

    try:
        _, end = json.JSONDecoder(object_pairs_hook=pairs).raw_decode(text)
    except json.JSONDecodeError:
        return text.startswith("{'") or text.endswith(",}")
    return repeated or text[end:].strip() != "" or text.endswith("NaN}")


def record_of(text: str, name: str) -> Record | str:
    """Return the record of a line, or why it is rejected."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return "not_json"
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return "not_object"
    key, *others = FIELDS[name]
    if not re.fullmatch(r"[0-9]{1,18}", trimmed(value.get(key))):
        return "no_key"
    return value if set(value) & set(others) else "foreign"


def moment(value: object) -> datetime | None:
    match = DATETIME.fullmatch(trimmed(value))
    if not match:
        return None
    offset = (match[5] or "Z").replace("Z", "+00:00")
    fraction = (match[3] or ".0")[:7]
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}{fraction:0<7}{offset}")
    except ValueError:
        return None


def integer(value: object) -> int | None:
    match = re.fullmatch(r"([+-]?[0-9]+)(\.0)?", trimmed(value))
    return int(match[1]) if match else None


def number(value: object) -> float | None:
    match = re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", trimmed(value))
    return float(match[0]) if match else None


def followers(value: object) -> float | None:
    text = trimmed(value)
    match = re.fullmatch(r"([0-9][0-9,]*(\.[0-9]+)?)([kKmMbB]?)", text)
    return float(match[1].replace(",", "")) if match else None


READERS: dict[str, dict[str, Callable[[object], object]]] = {
    "pin": {"follower_count": followers, "downloaded": integer},
    "geo": {"timestamp": moment, "latitude": number, "longitude": number},
    "user": {"age": integer, "date_joined": moment},
}


class Recount:
    """The counts of a folder, found by reading it line by line."""

    def __init__(self, folder: Path) -> None:
        self.newest: dict[str, dict[int, Record]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        for name in FIELDS:
            self.records[name] = self._read(folder / f"{name}.jsonl", name)
        self.seen = set[int]().union(*self.newest.values())
        for name in FIELDS:
            self.records[name]["incomplete_posts"] = len(
                self.seen - set(self.newest[name])
            )

    def _read(self, path: Path, name: str) -> dict[str, Any]:
        count: Counter[str] = Counter()
        newest = self.newest[name] = {}
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
        for line in lines:
            outcome = self._outcome(line, name)
            if not isinstance(outcome, str):
                newest[int(trimmed(outcome[FIELDS[name][0]]))] = outcome
                outcome = "valid"
            count[outcome] += 1
        reasons = ("not_json", "not_object", "no_key", "foreign")
        return {
            "lines": len(lines),
            **{kind: count[kind] for kind in ("blank", "not_utf8", "disputed")},
            "rejected": {reason: count[reason] for reason in reasons},
            "valid": count["valid"],
            "newest": len(newest),
            "superseded": count["valid"] - len(newest),
        }

    @staticmethod
    def _outcome(line: bytes, name: str) -> Record | str:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return "not_utf8"
        if not text.strip():
            return "blank"
        return "disputed" if is_disputed(text) else record_of(text, name)

    def unidentified(self) -> int:
        return sum(
            not (
                (user := self.newest["user"].get(event))
                and trimmed(user.get("first_name"))
                and trimmed(user.get("last_name"))
                and moment(user.get("date_joined"))
            )
            for event in self.seen
        )

    def unreadable(self) -> dict[str, int]:
        missing = {"", "User Info Error"}
        return dict(
            Counter(
                f"{name}.{column}"
                for name, columns in READERS.items()
                for record in self.newest[name].values()
                for column, read in columns.items()
                if trimmed(record.get(column)) not in missing
                and read(record[column]) is None
            )
        )

    def out_of_range(self) -> dict[str, int]:
        count: Counter[str] = Counter()
        for event in self.seen:
            geo = self.newest["geo"].get(event, {})
            user = self.newest["user"].get(event, {})
            age = integer(user.get("age"))
            count["user.age"] += age is not None and not 1 <= age <= 120
            for column, limit in (("latitude", 90), ("longitude", 180)):
                count[f"geo.{column}"] += abs(number(geo.get(column)) or 0) > limit
            posted = moment(geo.get("timestamp"))
            joined = moment(user.get("date_joined"))
            count["geo.timestamp"] += bool(posted and joined and posted < joined)
        return dict(+count)


@pytest.mark.parametrize(("events", "seed"), [(2_000, 1), (500, 2), (40, 3), (7, 4)])
def test_the_counts_are_what_plain_python_reads_from_the_files(
    tmp_path: Path, events: int, seed: int
) -> None:
    counts = write_sample(tmp_path, events, seed, dirt=True)
    found = Recount(tmp_path)
    assert counts.events == len(found.seen)
    assert {name: asdict(counts.records[name]) for name in FIELDS} == found.records
    assert counts.unidentified_posts == found.unidentified()
    assert counts.unreadable == found.unreadable()
    assert counts.out_of_range == found.out_of_range()
    assert json.loads((tmp_path / "counts.json").read_text()) == asdict(counts)


def test_a_clean_sample_is_counted_as_clean(tmp_path: Path) -> None:
    counts = write_sample(tmp_path, 500, 1)
    found = Recount(tmp_path)
    assert {name: asdict(counts.records[name]) for name in FIELDS} == found.records
    assert (counts.events, counts.unidentified_posts) == (500, found.unidentified())
    assert (counts.unreadable, counts.out_of_range, counts.kinds) == ({}, {}, {})
    assert (found.unreadable(), found.out_of_range()) == ({}, {})


def test_every_kind_of_dirt_is_there_two_dozen_times_in_two_thousand_events(
    tmp_path: Path,
) -> None:
    counts = write_sample(tmp_path, 2_000, 1, dirt=True)
    assert set(counts.kinds) == {kind.name for kind in (*HARMLESS, *HARMFUL)}
    assert all(count >= 24 for count in counts.kinds.values())
    for record in counts.records.values():
        assert record.lines == (
            record.blank
            + record.not_utf8
            + record.disputed
            + sum(record.rejected.values())
            + record.valid
        )
        assert all(record.rejected.values())


def test_a_disputed_line_stands_before_a_valid_copy_of_its_event(
    tmp_path: Path,
) -> None:
    counts = write_sample(tmp_path, 2_000, 1, dirt=True)
    for name in FIELDS:
        lines = (tmp_path / f"{name}.jsonl").read_bytes().split(b"\n")
        texts = [line.decode(errors="replace") for line in lines]
        places = [place for place, text in enumerate(texts) if is_disputed(text)]
        assert len(places) == counts.records[name].disputed > 5
        for place in places:
            event = re.search(r"['\"]ind(?:ex)?['\"]: (\d+)", texts[place])
            following = record_of(texts[place + 1], name)
            assert event
            assert isinstance(following, dict)
            assert following[FIELDS[name][0]] == int(event[1])


def test_datetime_forms_keep_the_instant_of_the_clean_sample(tmp_path: Path) -> None:
    write_sample(tmp_path / "clean", 2_000, 1)
    write_sample(tmp_path / "dirty", 2_000, 1, dirt=True)
    clean, dirty = Recount(tmp_path / "clean"), Recount(tmp_path / "dirty")
    forms = 0
    for event, geo in dirty.newest["geo"].items():
        before = clean.newest["geo"][event]["timestamp"]
        at = moment(geo["timestamp"])
        if at and at.year > 2014 and geo["timestamp"] != before:
            forms += 1
            assert math.isclose(at.timestamp(), moment(before).timestamp())  # type: ignore[union-attr]
    assert forms >= 12


def test_late_geo_records_stand_at_the_end_of_the_file(tmp_path: Path) -> None:
    write_sample(tmp_path, 2_000, 1, dirt=True)
    highest, late = -1, set()
    for line in (tmp_path / "geo.jsonl").read_bytes().split(b"\n"):
        record = record_of(line.decode(errors="replace"), "geo")
        if isinstance(record, dict):
            event = int(trimmed(record["ind"]))
            highest = max(highest, event)
            if event < highest - 500:
                late.add(event)
    assert len(late) > 20


# Nothing half-written -------------------------------------------------------------


def test_a_clean_sample_over_a_dirty_one_takes_the_counts_away(tmp_path: Path) -> None:
    write_sample(tmp_path, 50, 1, dirt=True)
    assert (tmp_path / "counts.json").exists()
    write_sample(tmp_path, 50, 1)
    assert set(digests(tmp_path)) == {"pin.jsonl", "geo.jsonl", "user.jsonl"}


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from pathlib import Path
import duckdb
from ingestion.sample import write_sample
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_sample(Path(sys.argv[1]), 5_000, 1)
except (OSError, duckdb.IOException):
    sys.exit(3)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(FileExistsError):
        write_sample(tmp_path / "out", 1, 1)
