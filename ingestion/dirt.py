"""What else arrives: every kind of dirt that a sample can hold, with its counts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from ingestion.records import KEY_FIELDS

COUNTS_FILE: Final = "counts.json"


@dataclass
class RecordCounts:
    """What one file of the sample holds.

    lines = blank + not_utf8 + disputed + rejected + valid; valid = newest + superseded.
    """

    lines: int = 0
    blank: int = 0
    not_utf8: int = 0
    disputed: int = 0
    rejected: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("not_json", "not_object", "no_key", "foreign"), 0
        )
    )
    valid: int = 0
    newest: int = 0
    superseded: int = 0
    incomplete_posts: int = 0


@dataclass
class SampleCounts:
    """What a sample holds, known from how it was made."""

    events: int
    records: dict[str, RecordCounts]
    unidentified_posts: int = 0
    out_of_range: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)


def clean_counts(events: int) -> SampleCounts:
    """Return the counts of a clean sample: every event has its three records."""
    return SampleCounts(
        events,
        {
            record_type: RecordCounts(lines=events, valid=events, newest=events)
            for record_type in KEY_FIELDS
        },
    )


def write_dirty(
    connection: duckdb.DuckDBPyConnection, folder: Path, events: int
) -> SampleCounts:
    """Replace the clean files in `folder` by dirty ones."""
    raise NotImplementedError
