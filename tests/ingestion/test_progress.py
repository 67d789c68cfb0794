"""Progress: lines for people and machines, a bar on a terminal."""

import json

import pytest

from ingestion.progress import Bar, Lines, choose_progress


def run(progress: Lines | Bar) -> None:
    with progress:
        progress.phase("checking, bytes", 2000)
        progress.advance(1500)
        progress.phase("landing, records", None)
        progress.advance(3)


def test_plain_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    run(Lines(json=False, every=0))
    out, error = capsys.readouterr()
    assert out == ""
    assert error == "checking, bytes: 1,500 of 2,000\nlanding, records: 3\n"


def test_json_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    run(Lines(json=True, every=0))
    out, error = capsys.readouterr()
    assert error == ""
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "progress", "phase": "checking, bytes", "done": 1500, "total": 2000},
        {"event": "progress", "phase": "landing, records", "done": 3, "total": None},
    ]


def test_a_short_run_writes_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    run(Lines(json=False))
    assert capsys.readouterr() == ("", "")


def test_a_bar_shows_nothing_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(Bar())
    assert capsys.readouterr().out == ""


def test_without_a_terminal_there_are_lines() -> None:
    assert isinstance(choose_progress(json=False), Lines)
    assert isinstance(choose_progress(json=True), Lines)
