"""The command line: exit codes, one clear sentence for each error, no traceback."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ingestion.emitters
import ingestion.progress
import ingestion.verify  # noqa: F401 - a child without permissions cannot import
from ingestion.cli import main

ROOT = Path(__file__).parents[2]
REAL = Path(__file__).parents[3] / "shared/data/first_500"
INGEST = [sys.executable, "-c", "from ingestion.cli import main; main()"]


def ingest(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def emit(source: object, landing: object, *more: object) -> Result:
    place = ("--source", source, "--landing", landing, "--user-id", "u")
    return ingest("emit", "landing", *place, *more)


def write_source(folder: Path, rows: int = 3) -> Path:
    folder.mkdir()
    for record_type, key in {"pin": "index", "geo": "ind", "user": "ind"}.items():
        lines = [json.dumps({key: n, "of": folder.name}) for n in range(rows)]
        (folder / f"{record_type}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


def objects(landing: Path) -> list[Path]:
    return sorted(landing.glob("topics/*/*/*"))


def json_lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_real_first_500_are_landed_byte_for_byte(landing: Path) -> None:
    if not REAL.exists():
        pytest.skip("the real first 500 emissions are not beside this repository")
    assert emit(REAL, landing).exit_code == 0
    for path in objects(landing):
        name = path.name.split("+")[0].removeprefix("u.") + ".jsonl"
        assert path.read_bytes() == (REAL / name).read_bytes()
    assert "Clean" in ingest("verify", landing).stdout


def test_a_second_run_says_that_there_is_nothing_new(
    source: Path, landing: Path
) -> None:
    assert "9 records landed in" in emit(source, landing).stdout
    again = emit(source, landing)
    assert again.exit_code == 0
    assert "Nothing new" in again.stdout
    assert len(objects(landing)) == 3


def test_another_source_in_the_same_topics_is_told_of(
    source: Path, landing: Path, tmp_path: Path
) -> None:
    emit(source, landing)
    other = tmp_path / "other"
    other.mkdir()
    (other / "pin.jsonl").write_text('{"index": 1, "category": "art"}\n')

    told = emit(other, landing).stdout

    assert "These topics held 3 records from elsewhere" in told
    assert "The source has no geo and no user records." in told
    assert "elsewhere" not in emit(other, landing).stdout
    assert "elsewhere" not in emit(source, landing, "--restart").stdout


def test_verify_shows_what_there_is_and_names_what_there_is_none_of(
    source: Path, landing: Path
) -> None:
    emit(source, landing)

    header, *rows, none_of, clean = ingest("verify", landing).stdout.splitlines()

    assert header.split()[:2] == ["topic", "partition"]
    assert "records" in header
    assert "missing" not in header
    assert len(rows) == 3
    assert none_of.startswith("None of these: ")
    assert clean == "Clean: nothing is lost, doubled or broken."


def test_json_is_one_summary_for_machines(source: Path, landing: Path) -> None:
    (summary,) = json_lines(emit(source, landing, "--json"))
    assert summary["event"] == "summary"
    assert summary["topics"][0] == {
        "topic": "u.pin",
        "landed": 3,
        "links": 1,
        "landed_before": 0,
        "set_aside": 0,
    }
    lines = json_lines(ingest("verify", landing, "--json"))
    assert [line["event"] for line in lines] == ["ledger"] * 3 + ["verified"]
    assert lines[0]["topic"] == "u.geo"
    assert lines[-1]["clean"] is True


def test_emulator_order_lands_the_draws(source: Path, landing: Path) -> None:
    order = ("--order", "emulator", "--bound", 2, "--limit", 20)
    assert "60 records" in emit(source, landing, *order).stdout
    assert "Nothing new" in emit(source, landing, *order).stdout


def test_lines_that_cannot_be_landed_are_set_aside_with_exit_code_3(
    source: Path, landing: Path
) -> None:
    with (source / "geo.jsonl").open("ab") as file:
        file.write(b"\nno json\n\xff\n")
    refused = emit(source, landing)
    assert refused.exit_code == 1
    assert "geo.jsonl line 4 is not JSON" in refused.stderr
    assert objects(landing) == []
    for _ in range(2):
        result = emit(source, landing, "--bad-lines", "land")
        assert result.exit_code == 3
        (path,) = landing.glob("_ingest/set_aside/*/rejected.jsonl")
        assert str(path) in result.stdout
        assert json.loads(path.read_text()) == {
            "file": "geo.jsonl",
            "line_number": 5,
            "reason": "not_utf8",
            "bytes": "/w==",
        }
    assert ingest("verify", landing).exit_code == 0


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s, _: shutil.rmtree(s), "There is no folder"),
        (lambda s, _: [p.unlink() for p in s.iterdir()], "has none of pin.jsonl"),
        (
            lambda s, _: (s / "pin.jsonl").write_text("{"),
            "pin.jsonl line 1 is not JSON",
        ),
        (lambda _, d: d.write_text("a file"), "a part of the path is a file"),
        (
            lambda _, d: (d / "topics/t/partition=0/f").mkdir(parents=True),
            "something else",
        ),
    ],
)
def test_an_error_is_one_sentence_and_nothing_is_landed(
    source: Path,
    landing: Path,
    spoil: Callable[[Path, Path], object],
    sentence: str,
) -> None:
    spoil(source, landing)
    result = emit(source, landing, "--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr
    assert json_lines(result)[-1]["event"] == "error"
    assert list(landing.glob("topics/*/*/*.json")) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--user-id", "a/b"), "no topic name"),
        (("--landing", "https://bucket/raw"), "takes s3://bucket/prefix"),
        (("--landing", "s3://b1b", "--s3-endpoint", "nonsense"), "or endpoint, then"),
        (("--order", "emulator"), "--bound 2"),
        (("--source", "nowhere"), "There is no folder nowhere"),
    ],
)
def test_options_that_cannot_work_say_why(
    source: Path, landing: Path, more: tuple[str, ...], sentence: str
) -> None:
    result = emit(source, landing, *more)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert objects(landing) == []


def test_a_landing_with_another_compression_is_refused(
    source: Path, landing: Path
) -> None:
    emit(source, landing, "--compression", "gzip")
    result = emit(source, landing, "--compression", "none")
    assert result.exit_code == 1
    assert "leave --compression out" in result.stderr


def test_verify_exits_with_1_and_names_what_is_wrong(
    source: Path, landing: Path
) -> None:
    emit(source, landing)
    objects(landing)[0].unlink()
    result = ingest("verify", landing)
    assert result.exit_code == 1
    assert "NOT CLEAN" in result.stdout
    assert "u.geo partition 0: the link at 0 has no object" in result.stderr
    assert ingest("verify", landing / "nowhere").exit_code == 1


def in_child(
    work: Callable[[], Result], limit: Callable[[], object]
) -> tuple[int, str]:
    """Run in a forked process under a limit; return its exit code and output."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            limit()
            result = work()
            os.write(writing, result.output.encode())
            os._exit(result.exit_code)
        finally:
            os._exit(70)
    os.close(writing)
    with os.fdopen(reading) as file:
        output = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(
    tmp_path: Path, landing: Path
) -> None:
    source = write_source(tmp_path / "many", rows=2000)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    code, output = in_child(lambda: emit(source, landing), full)
    assert code == 1
    assert "a file may not grow that large here" in output
    assert output.count("\n") == 1
    assert emit(source, landing).exit_code == 0
    assert ingest("verify", landing).exit_code == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


@pytest.mark.parametrize("locked", ["landing", "source", "source/pin.jsonl"])
def test_missing_permission_is_one_sentence(open_folder: Path, locked: str) -> None:
    source = write_source(open_folder / "source")
    landing = open_folder / "landing"
    landing.mkdir()
    (open_folder / locked).chmod(0)
    code, output = in_child(lambda: emit(source, landing), become_nobody)
    (open_folder / locked).chmod(0o755)
    assert code == 1
    assert "permission is missing" in output
    assert output.count("\n") == 1


def test_a_landing_may_lie_in_a_folder_that_cannot_be_listed(open_folder: Path) -> None:
    source = write_source(open_folder / "source")
    landing = open_folder / "landing"
    landing.mkdir()
    landing.chmod(0o777)
    open_folder.chmod(0o711)
    code, output = in_child(lambda: emit(source, landing), become_nobody)
    assert (code, "9 records landed" in output) == (0, True)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lands_what_was_taken_and_says_so(
    source: Path, landing: Path, signum: int
) -> None:
    place = ["--source", source, "--landing", landing, "--user-id", "u", "--rate", "1"]
    endless = ["--order", "emulator", "--bound", "2", "--json"]
    with subprocess.Popen(
        [*INGEST, "emit", "landing", *map(str, place), *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (landing / "_ingest/landing.json").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signum)
        out, error = process.communicate(timeout=20)
    assert process.returncode == 128 + signum
    assert error == "Error: Interrupted. Run the same command again to continue.\n"
    assert json.loads(out.splitlines()[-2])["topics"][0]["landed"] == 1
    assert ingest("verify", landing).exit_code == 0


def test_an_interrupt_while_duckdb_works_is_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        [*INGEST, "sample", "--events", "20000000", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not any(path.is_file() for path in tmp_path.rglob("*")):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert error.endswith("Interrupted. Run the same command again to continue.\n")
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "command", [["sample"], ["emit", "landing"], ["verify"], ["emit"], []]
)
def test_every_command_has_help_and_every_leaf_an_example(command: list[str]) -> None:
    text = ingest(*command, "--help").stdout
    assert "Usage: main" in text
    assert ("Example" in text) == (command not in ([], ["emit"]))


@pytest.mark.parametrize("destination", ["landing", "kafka-rest", "kinesis"])
def test_exit_codes_are_documented_in_the_help_and_on_the_page(
    destination: str,
) -> None:
    told = ingest("emit", destination, "--help").stdout.partition("Exit codes:")[2]
    page = (ROOT / "docs/emitting.md").read_text("utf-8")
    documented = page.partition("## Exit codes")[2].partition("##")[0]
    for code in (0, 1, 2, 3, 4, 130, 143):
        assert re.search(rf"\b{code}\b", told)
        assert re.search(rf"\b{code}\b", documented)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, ingestion.cli; "
        "heavy = {'rich', 'duckdb', 'numpy', 'orjson'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sample_is_landed_once(landing: Path) -> None:
    sample = ("--events", 20)
    assert "60 records" in emit("sample", landing, *sample).stdout
    assert "Nothing new" in emit("sample", landing, *sample).stdout
    assert "60 records" in emit("sample", landing, *sample, "--sample-seed", 2).stdout


def test_a_sample_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = ingest("sample", "--events", 5, "--out", tmp_path / "file/sample")
    assert result.exit_code == 1
    assert "Cannot write the sample to" in result.stderr
    assert result.stderr.count("\n") == 1
