"""Reports and traces as tables on a terminal."""

from datetime import datetime
from textwrap import shorten
from typing import Any, Final, Literal

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


def _least_width(header: list[str], rows: list[list[str]], numeric: list[bool]) -> int:
    """Return the width below which a word of the header or a number is broken."""
    widths = [max(map(len, name.split())) for name in header]
    for row in rows:
        widths = [
            max(width, len(cell)) if is_number else width
            for width, cell, is_number in zip(widths, row, numeric, strict=True)
        ]
    return sum(widths) + 3 * len(widths) + 1


def print_report(report: Report) -> None:
    """Print the question, the rows, and how many there are beyond those shown.

    Where numbers would break, the rows stand side by side, each a column of values.
    """
    console = Console()
    header = [column.replace("_", " ") for column in report.columns]
    numeric = [
        any(isinstance(row[index], int | float) for row in report.rows)
        for index in range(len(header))
    ]
    rows = [
        [_cell(c, v) for c, v in zip(report.columns, row, strict=True)]
        for row in report.rows
    ]
    table = Table()
    if rows and _least_width(header, rows, numeric) > console.width:
        table.show_header = False
        for _ in range(len(rows) + 1):
            table.add_column(overflow="fold")
        for name, *cells in zip(header, *rows, strict=True):
            table.add_row(name, *cells)
    else:
        for name, is_number in zip(header, numeric, strict=True):
            justify: Literal["right", "left"] = "right" if is_number else "left"
            table.add_column(name, justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*row)
    console.print(report.question, style="bold", markup=False, highlight=False)
    console.print(table)
    shown = len(report.rows)
    unit = "row" if report.row_count == 1 else "rows"
    console.print(
        f"{shown:,} of {report.row_count:,} rows, all: ingest answers {report.name}\n"
        if shown < report.row_count
        else f"{report.row_count:,} {unit}: {report.name}\n",
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
