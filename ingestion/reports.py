"""Reads reports through dbt's own connection, on whatever target dbt is on."""

import json
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from ingestion.answers import ORDERS
from ingestion.errors import (
    INTERRUPTED,
    IngestError,
    InterruptError,
    RetryError,
    StopError,
)

if TYPE_CHECKING:
    from dbt_common.events.base_types import EventMsg

Row = dict[str, Any]


@dataclass(frozen=True)
class Read:
    """A report to read: all of it, its first `limit` rows, or counted by `group_by`.

    With a limit or a group each row also has `row_count`: how many rows the whole
    report has, or the group.
    """

    report: str
    limit: int | None = None
    group_by: str | None = None

    @property
    def order_by(self) -> str | None:
        """What its rows are ordered by, where that is not all columns in turn."""
        return None if self.group_by else ORDERS.get(self.report)


@dataclass(frozen=True)
class Column:
    """A column of a report, with its type and description from dbt."""

    name: str
    data_type: str
    description: str


@dataclass(frozen=True)
class Table:
    """The rows of a report in order, with what dbt says of it."""

    name: str
    description: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    @property
    def is_cut(self) -> bool:
        """Tell whether the report has more rows than are here."""
        return any(row.get("row_count", 0) > len(self.rows) for row in self.rows[:1])


@dataclass(frozen=True)
class Target:
    """Where dbt's tables are, and after how many hours a landing is no longer fresh."""

    name: str
    type: str
    freshness_warn_hours: float
    freshness_error_hours: float


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "bigint": int,
    "int": int,
    "double": float,
    "date": lambda text: date.fromisoformat(text[:10]),
    "timestamp": lambda text: datetime.fromisoformat(text).replace(tzinfo=None),
}


@dataclass
class _Told:
    """What dbt's log tells, line by line."""

    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __call__(self, event: "EventMsg") -> None:
        """Keep an event of dbt's if it is one of ours."""
        if event.info.name == "JinjaLogInfo":
            kind, _, text = event.data.msg.partition(" ")
            if kind == "report":
                self.tables.append(_table(json.loads(text)))
            elif kind == "target":
                self.targets.append(Target(**json.loads(text)))
        elif event.info.name.startswith("RunningOperation"):
            self.errors.append(event.data.exc)


def _table(told: dict[str, Any]) -> Table:
    columns = [Column(*column) for column in told["columns"]]
    readers = [_READERS.get(column.data_type, str) for column in columns]
    names = [column.name for column in columns]
    rows = [
        dict(
            zip(
                names,
                [
                    None if text is None else reader(text)
                    for reader, text in zip(readers, row, strict=True)
                ],
                strict=True,
            )
        )
        for row in told["rows"]
    ]
    return Table(told["report"], " ".join(told["description"].split()), columns, rows)


def read_reports(
    reads: Sequence[Read], target: str | None = None
) -> tuple[list[Table], Target]:
    """Read reports as dbt's connection sees them, with the types of their contracts.

    `target` is one of profiles.yml, by default what dbt would choose. Nothing of what
    is read is written to dbt's logs. Raises `StopError` where a report is not built
    or dbt cannot connect, `RetryError` while a build holds the DuckDB file,
    `InterruptError` at Ctrl-C.
    """
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - takes a second

    told = _Told()
    asked = [asdict(read) | {"order_by": read.order_by} for read in reads]
    options = ["--log-level", "none", "--log-level-file", "none", "--no-write-json"]
    operation = [
        "run-operation",
        "tell_reports",
        "--args",
        json.dumps({"reads": asked}),
    ]
    where = ["--target", target] if target else []
    done = dbtRunner(callbacks=[told]).invoke([*options, *operation, *where])
    if not done.success:
        said = "; ".join(told.errors) or str(done.exception)
        if isinstance(done.exception, KeyboardInterrupt) or INTERRUPTED in said:
            raise InterruptError(signal.SIGINT)
        raise _explained(said)
    return told.tables, told.targets[0]


def _explained(said: str) -> IngestError:
    """Turn what dbt says, over lines with a heading, into one sentence."""
    lines = [line.strip() for line in said.splitlines()]
    sentence = " ".join(line for line in lines if line and not line.startswith(">"))
    sentence = re.sub(r"^[\w ]*Error(?: in [^)]*\))? ?:? ?", "", sentence)
    sentence = re.sub(r" in macro \w+ \([^)]*\).*", "", sentence)
    kind = RetryError if "in use by another program" in sentence else StopError
    return kind(f"The page needs the reports: {sentence}")
