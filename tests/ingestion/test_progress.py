"""Progress: lines for people and machines, a bar on a terminal."""

import io
import json

import pytest
from rich.console import Console

from ingestion.progress import Bar, BoardLines, Lines, LiveBoard, choose_progress


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


def board_rows() -> list[dict[str, object]]:
    return [{"topic": "u.pin", "acknowledged": 1500, "of": None, "waiting_for": ""}]


def test_a_board_of_lines_says_a_line_for_each_topic(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with BoardLines(json=False, every=0) as board:
        board.show(board_rows)
    said = capsys.readouterr().err
    assert said == "topic u.pin, acknowledged 1,500, of -, waiting for -\n"


def test_a_board_of_json_is_one_line_for_all_and_silent_at_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with BoardLines(json=True, every=0) as board:
        board.show(board_rows)
    with BoardLines(json=True, every=1000) as board:
        board.show(board_rows)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"event": "progress", "topics": board_rows()}


def test_the_live_table_has_a_row_for_each_topic() -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(LiveBoard.table(board_rows()))
    text = console.export_text()
    assert "waiting for" in text
    assert "1,500" in text
