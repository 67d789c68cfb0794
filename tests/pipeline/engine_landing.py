"""A landing that grows in five loads, with every kind of dirt there is."""

import gzip
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ingestion.sample import write_sample

EVENTS = 2_000
LOADS = 5
TYPES = ("pin", "geo", "user")
ENDS = list(enumerate(one.encode() for one in ("\u0085", "\u2028", "\u2029")))
LINES = [
    b'{"index": 900001, "title": "caf\xe9"}',
    b"\xf3\x89\x9a\xc2\x00\x01",
    b'\xef\xbb\xbf{"index": 900002, "title": "after a byte order mark"}',
    b' \t{"index": " 900003 ", "title": "&amp;&#65279;&#x1F44D;&nosuch;&#xD800;"}\r',
    b'[{"index": 900004, "title": "a]b", "tag_list": "a,, a ,b\xc2\xa0,A"}]',
    b'[{"index": 900005}] x',
    b'[{"index": 900006, "title": "a"}]]',
    b'{"index": 900007, "title": "a}{b", "follower_count": 12000000.0}',
    b'{"index": 900008, "title": 1e-07, "follower_count": "1.0E7"}',
    b'{"index": 900009, "title": "x"} {',
    b'{"index": 900010, "title": "x"}]',
    b'{"index": 900011, "title": "\\ud83d"}',
    b'{"index": 900012, "title": "\\ud83d\\ude00 \\\\ud83d"}',
    b'{"index": 0900013, "title": "x"}',
    b'{"index": 900014, "title": {"a": [1, "x y"]}, "downloaded": true}',
    b'{"index": 900015.0, "title": "x"}',
    b'{"Index": 900016, "title": "x"}',
    b'{"index": 900017, "Title": "x"}',
    b'{"index": 900018, "title": "x", "follower_count": "0.499999999"}',
    b'{"index": 900019, "title": "x", "follower_count": "999999999B"}',
    b"{'index': 900020, 'title': 'x'}",
    b"\xc2\xa0",
    b"null",
    b"[1]]",
    b"1 2",
    b"\x00",
    b'"\\ud800"',
    *(b'{"index":"9000%d%s","title":"x"}' % (21 + n, end) for n, end in ENDS),
    *(b'{"index":9000%d,"title":"x%s"}' % (31 + n, end) for n, end in ENDS),
    *(b'{"index":9000%d,"follower_count":"6k%s"}' % (41 + n, end) for n, end in ENDS),
    *(b'{"index":9000%d,"title":"x"}%s' % (51 + n, end) for n, end in ENDS),
]
"""Lines that engines would read in different ways, if we let them."""


GEO_LINES = [
    *(
        b'{"ind":9000%d,"timestamp":"2018-03-13 02:15:22%s"}' % (21 + n, end)
        for n, end in ENDS
    ),
    *(
        b'{"ind":9000%d,"latitude":"91%s","longitude":"1%s"}' % (31 + n, end, end)
        for n, end in ENDS
    ),
]
GAP = b"2017-03-12 02:30:00"
USER_LINES = [
    *(b'{"ind":9000%d,"age":"34%s"}' % (21 + n, end) for n, end in ENDS),
    # In New York there was no such hour.
    b'{"ind":900031,"first_name":"A","last_name":"B","date_joined":"%s"}' % GAP,
]


def readers_disagree(line: bytes) -> bool:
    """Tell lines with a key twice, a trailing comma or a NaN: see docs/engines.md."""
    keys = re.findall(rb'[{,] ?("[a-z_]+"):', line)
    return len(keys) != len(set(keys)) or line.endswith(b",}") or b"NaN" in line


def land(landing: Path, name: str, lines: list[bytes], end: bytes = b"\n") -> None:
    """Write one object; `name` is such as `12a.pin+0+0000000000.json`."""
    topic, partition, _ = name.split("+")
    path = landing / "topics" / topic / f"partition={partition}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = end.join([*lines, b""])
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def land_made_up(landing: Path, sample: Path, load: int) -> None:
    """Land two tenths of each file, of each type other ones: parts come late.

    Older copies come in later loads too. There are plain and compressed files, some
    with CRLF, one topic is a stream, and every load replays a piece of an earlier one.
    """
    for shift, record_type in enumerate(TYPES):
        content = (sample / f"{record_type}.jsonl").read_bytes()
        lines = [one for one in content.split(b"\n")[:-1] if not readers_disagree(one)]
        size = -(-len(lines) // (2 * LOADS))
        topic = f"u.{record_type}"
        for part in (part for part in range(10) if (3 * part + shift) % LOADS == load):
            start, suffix = part * size, ".gz" if part == 4 else ""
            name = f"streaming-u-{record_type}" if part == 9 else topic
            land(
                landing,
                f"{name}+{part % 3}+{start:010d}.json{suffix}",
                lines[start : start + size],
                b"\r\n" if part == 3 else b"\n",
            )
        replayed = lines[load * 7 : load * 7 + 40]
        land(landing, f"{topic}+8+{1000 - load:010d}.json", replayed)


def land_real(landing: Path, real: Path, load: int) -> None:
    """Land a fifth of the real records of each type, of each another one."""
    for shift, record_type in enumerate(TYPES):
        lines = (real / f"{record_type}.jsonl").read_bytes().splitlines()
        size = -(-len(lines) // LOADS)
        start = (load + shift) % LOADS * size
        name = f"real.{record_type}+0+{start:010d}.json"
        land(landing, name, lines[start : start + size])


def land_oddities(landing: Path) -> None:
    """Land what only an odd sink would: names, empty files, a dead letter."""
    land(landing, "u.pin+7+0000000000.json", LINES)
    land(landing, "u.pin+7+0000000100.json.gz", LINES)
    land(landing, "u.pin+7+0000000200.json", [], b"")
    land(landing, "u.geo+7+0000000000.json", GEO_LINES)
    land(landing, "u.user+7+0000000000.json", USER_LINES)
    land(landing, "a%20b c.pin+0+0000000000.json", [b'{"index":1,"title":1}'])
    land(landing, "u.spin+0+0000000000.json", [b'{"index":1,"title":1}'])
    dead = landing / "_dead_letter" / "u.pin" / "partition=0"
    dead.mkdir(parents=True)
    letter = b'{"reason": "a line end", "value": "CgAK"}'
    (dead / "u.pin+0+0000000007.json").write_bytes(letter)


def landings(folder: Path, real: Path) -> Iterator[Path]:
    """Make the landing after each load; a file is the same one in all later ones."""
    sample = folder / "sample"
    write_sample(sample, EVENTS, seed=1, dirt=True)
    for load in range(LOADS):
        landing = folder / f"landing-{load}"
        if load:
            earlier = folder / f"landing-{load - 1}"
            shutil.copytree(earlier, landing, copy_function=os.link)
        land_made_up(landing, sample, load)
        if real.is_dir():
            land_real(landing, real, load)
        if load == LOADS - 2:
            land_oddities(landing)
        yield landing
