"""Reports and traces as tables on a terminal."""

from datetime import datetime
from textwrap import shorten
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ingestion.answers import Report, Trace

CELL_CHARACTERS: Final = 60
"""Longer texts are cut in a table of many rows; `--json` has them whole."""


def text(value: Any) -> str:  # noqa: ANN401 - any value of a table
    """Write a value as a person reads it: thousands with commas, `-` for null."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.15g}" if abs(value) >= 1 else f"{value:.4g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)


def _cell(column: str, value: Any) -> str:  # noqa: ANN401 - any value of a table
    if isinstance(value, str):
        return shorten(value, CELL_CHARACTERS, placeholder="…") or value[:1]
    grouped = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if grouped and "year" not in column else text(value)


def print_report(report: Report) -> None:
    """Print the question, the rows, and how many there are beyond those shown."""
    console = Console()
    table = Table()
    for index, column in enumerate(report.columns):
        numeric = any(isinstance(row[index], int | float) for row in report.rows)
        table.add_column(
            column.replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
        )
    for row in report.rows:
        table.add_row(*(_cell(c, v) for c, v in zip(report.columns, row, strict=True)))
    console.print(report.question, style="bold", markup=False, highlight=False)
    console.print(table)
    shown = len(report.rows)
    console.print(
        f"{shown:,} of {report.row_count:,} rows, all: ingest answers {report.name}\n"
        if shown < report.row_count
        else f"{report.row_count:,} rows: {report.name}\n",
        style="dim",
        highlight=False,
    )


def print_trace(event: int, found: Trace) -> None:
    """Print the copies of an event, then the post and the user they made."""
    console = Console()
    copies = Table(title=f"Landed copies of event {event}", title_justify="left")
    for column in ("record", "file:line", "landed at (UTC)", "verdict"):
        copies.add_column(column, overflow="fold")
    for copy in found.copies:
        where = f"{copy.file_path}:{copy.line}"
        copies.add_row(copy.record_type, where, text(copy.landed_at), copy.verdict)
    console.print(copies)
    for title, row in (("Post", found.post), ("User", found.user)):
        if row is None:
            console.print(f"{title}: none")
            continue
        table = Table(title=title, title_justify="left", show_header=False)
        for column, value in row.items():
            table.add_row(column, text(value))
        console.print(table)
