"""The tables of reports on a page, as text."""

from html.parser import HTMLParser
from pathlib import Path


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] | None = None
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        report = dict(attrs).get("data-report")
        if tag == "table" and report:
            self._rows = self.tables[report] = []
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in {"td", "th"} and self._rows is not None:
            self._rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._rows = None
        elif tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._rows is not None and self._in_cell:
            self._rows[-1][-1] += data


def page_tables(page: Path) -> dict[str, list[list[str]]]:
    """Return the rows of each report, the columns' names first."""
    parser = _Tables()
    parser.feed(page.read_text("utf-8"))
    return parser.tables
