"""Tables keep numbers whole where the terminal is narrow."""

import pytest

from ingestion.answers import Report
from ingestion.tables import print_report

COLUMNS = ("topic", *(f"superseded_count_{number}" for number in range(8)))
ROWS = [("u.pin", *(1_000_000 + number for number in range(8)))] * 2
REPORT = Report("rpt_pipeline_health", "What happened?", COLUMNS, ROWS, 2)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_number_is_broken(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_report(REPORT)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    for number in ROWS[0][1:]:
        assert shown.count(f"{number:,} ") == len(ROWS)
