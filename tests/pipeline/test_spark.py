"""The same landing gives the same tables on Spark as on DuckDB."""

import gzip
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from ingestion.sample import write_sample

if TYPE_CHECKING:
    from conftest import Pipeline

ROOT = Path(__file__).parents[2]
JARS = Path(os.environ.get("SPARK_JARS", ROOT / ".spark" / "jars"))
EVENTS = 2_000
MODELS_ONLY = ("--exclude", "resource_type:test", "resource_type:unit_test")
NO_MARTS = ("--select", "resource_type:seed", "base", "staging", "intermediate")
Tables = dict[str, Counter[tuple[tuple[str, object], ...]]]

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
]
"""Lines that engines would read in different ways, if we let them."""


def missing() -> str:
    """Say what Spark lacks here, and how to get it; nothing if it lacks nothing."""
    if not importlib.util.find_spec("pyspark"):
        return "the extra `spark` is not installed: pip install -e '.[spark]'"
    if not shutil.which("java") and "JAVA_HOME" not in os.environ:
        return "there is no Java: install a JDK, 17 or 21"
    if not any(JARS.glob("delta-spark*.jar")):
        return (
            f"Delta's jars are not in {JARS}: "
            "mvn -q dependency:copy-dependencies -DoutputDirectory=.spark/jars"
        )
    return ""


@pytest.fixture
def spark_is_here() -> None:
    if reason := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"Spark cannot be tested, {reason}")
        pytest.skip(f"Spark is not tested, {reason}")


def readers_disagree(line: bytes) -> bool:
    """Tell lines with a key twice, a trailing comma or a NaN: see docs/engines.md."""
    keys = re.findall(rb'[{,] ?("[a-z_]+"):', line)
    return len(keys) != len(set(keys)) or line.endswith(b",}") or b"NaN" in line


def land(pipeline: "Pipeline", name: str, lines: list[bytes], end: bytes) -> None:
    """Write one object; `name` is such as `12a.pin+0+0000000000.json`."""
    topic, partition, _ = name.split("+")
    path = pipeline.landing / "topics" / topic / f"partition={partition}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = end.join([*lines, b""])
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def land_sample(pipeline: "Pipeline", sample: Path, load: int) -> None:
    """Land every other sixth of each file: plain, compressed and with CRLF."""
    for record_type in ("pin", "geo", "user"):
        content = (sample / f"{record_type}.jsonl").read_bytes()
        lines = [
            line for line in content.split(b"\n")[:-1] if not readers_disagree(line)
        ]
        size = -(-len(lines) // 6)
        for part in range(load, 6, 2):
            topic = f"streaming-u-{record_type}" if part == 5 else f"u.{record_type}"
            start, suffix = part * size, ".gz" if part == 4 else ""
            land(
                pipeline,
                f"{topic}+{part % 3}+{start:010d}.json{suffix}",
                lines[start : start + size],
                b"\r\n" if part == 3 else b"\n",
            )


def land_oddities(pipeline: "Pipeline") -> None:
    land(pipeline, "u.pin+7+0000000000.json", LINES, b"\n")
    land(pipeline, "u.pin+7+0000000100.json.gz", LINES, b"\n")
    land(pipeline, "u.pin+7+0000000200.json", [], b"")
    land(pipeline, "a%20b c.pin+0+0000000000.json", [b'{"index":1,"title":1}'], b"\n")
    land(pipeline, "u.spin+0+0000000000.json", [b'{"index":1,"title":1}'], b"\n")
    dead = pipeline.landing / "_dead_letter" / "u.pin" / "partition=0"
    dead.mkdir(parents=True)
    letter = b'{"reason": "a line end", "value": "CgAK"}'
    (dead / "u.pin+0+0000000007.json").write_bytes(letter)


def run_on_spark(pipeline: "Pipeline", *arguments: str) -> str:
    """Run dbt and write the tables; return what was said on the console."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("spark_tables.py")), *arguments],
        cwd=ROOT,
        env={
            **pipeline.env,
            "DBT_TARGET": "spark",
            "DBT_TARGET_PATH": str(pipeline.folder / "spark_target"),
            "SPARK_HOME_DIR": str(pipeline.folder / "spark"),
            "SPARK_JARS": str(JARS),
            "TZ": "UTC",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def comparable(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, list):
        return tuple(sorted(value))
    return value if isinstance(value, int | None) else str(value)


def table(columns: list[str], rows: list[list[Any]]) -> Counter[Any]:
    """Count equal rows, without times of loads, which tell the runs apart."""
    return Counter(
        tuple(
            (column, comparable(value))
            for column, value in sorted(zip(columns, row, strict=True))
            if not column.endswith("loaded_at")
        )
        for row in rows
    )


def spark_tables(folder: Path) -> Tables:
    tables = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        tables[path.stem] = table(content["columns"], content["rows"])
    return tables


def duckdb_tables(pipeline: "Pipeline") -> Tables:
    tables = {}
    with duckdb.connect(str(pipeline.database), read_only=True) as connection:
        for name in pipeline.tables():
            found = connection.table(name)
            rows = [list(row) for row in found.fetchall()]
            tables[name] = table(found.columns, rows)
    return tables


def differences(left: Tables, right: Tables) -> list[str]:
    """Return a line for each table or row that is not in both."""
    return [f"{name} is in one alone" for name in sorted(set(left) ^ set(right))] + [
        f"{name}, {side}: {dict(row)}"
        for name in sorted(set(left) & set(right))
        for side, rows in (
            ("left alone", left[name] - right[name]),
            ("right alone", right[name] - left[name]),
        )
        for row in list(rows)[:5]
    ]


@pytest.mark.usefixtures("spark_is_here")
def test_spark_gives_the_tables_of_duckdb_in_two_loads_and_again(
    pipeline: "Pipeline",
) -> None:
    sample, out = pipeline.folder / "sample", pipeline.folder / "out"
    write_sample(sample, EVENTS, seed=1, dirt=True)

    land_sample(pipeline, sample, load=0)
    pipeline.dbt("build", *MODELS_ONLY)
    run_on_spark(pipeline, "-", "build", *NO_MARTS, *MODELS_ONLY)

    land_sample(pipeline, sample, load=1)
    land_oddities(pipeline)
    pipeline.dbt("build", *MODELS_ONLY)
    console = run_on_spark(
        pipeline,
        *("-", "build", "--exclude", "test_type:generic"),
        *("--then", str(out), "run"),
        *("--then", "-", "source", "freshness"),
    )
    assert differences(duckdb_tables(pipeline), spark_tables(out)) == []

    assert re.findall(r"^.* WARN [A-Z]\w+:.*|^\tat .*", console, re.MULTILINE) == []
    left_behind = ("metastore_db", "derby.log", "spark-warehouse")
    assert [name for name in left_behind if (ROOT / name).exists()] == []
