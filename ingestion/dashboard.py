"""One page of the reports, complete in one file: nothing is fetched to show it."""

import base64
import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jinja2
import vl_convert
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from ingestion.charts import figures
from ingestion.drawing import (
    PANELS,
    Figure,
    Panel,
    PanelOf,
    Rows,
    Spec,
    specs,
    written,
)
from ingestion.errors import explained
from ingestion.records import KEY_FIELDS
from ingestion.reports import Read, Row, Table, Target, read_reports

SAMPLE_TOPICS: Final = "sample."
"""`make run` lands the made-up events in topics that begin so."""


@dataclass(frozen=True)
class Shown:
    """A panel on the page; `panel` is None where there is no answer yet."""

    anchor: str
    of: PanelOf
    panel: Panel | None
    specs: Sequence[Spec]
    tables: Sequence[Table]


def reads() -> list[Read]:
    """Return what the page reads, each once."""
    asked = [read for panel in PANELS for read in panel.reads]
    return list(dict.fromkeys([*asked, *figures.reads]))


def write_dashboard(
    out: Path, target: str | None, cache: Path, now: datetime | None = None
) -> Path:
    """Write the page of the reports of dbt's target to `out`; return its path.

    Readers see the old page or the new one, never a part of it. `cache` is a folder
    that keeps the charts' JavaScript for the next page. Raises what `read_reports`
    does, and `StopError` where the page cannot be written.
    """
    asked = reads()
    tables, found = read_reports(asked, target)
    page = render(
        dict(zip(asked, tables, strict=True)),
        found,
        library(cache),
        now or datetime.now(UTC).replace(tzinfo=None),
    )
    with explained(f"write the page to {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        _replace(out, page)
    return out


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def library(cache: Path) -> str:
    """Return the JavaScript of Vega-Lite, as bundled by vl-convert in seconds: kept."""
    kept = cache / f"vega-lite-{version('vl-convert-python')}.js"
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    with explained(f"keep the charts' JavaScript in {cache}"):
        cache.mkdir(parents=True, exist_ok=True)
        _replace(kept, bundle)
    return bundle


def render(
    tables: dict[Read, Table], target: Target, bundle: str, now: datetime
) -> str:
    """Return the page as HTML; whatever the rows hold is text in it, never markup."""
    shown = [
        _shown(number, panel, [tables[read] for read in panel.reads])
        for number, panel in enumerate(PANELS, 1)
    ]
    health = next(t.rows for t in tables.values() if t.name == "rpt_pipeline_health")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = cell
    environment.globals["numbers"] = numbers
    script = _file("dashboard.js")
    return environment.get_template("dashboard.html").render(
        sections=_sections(shown),
        figures=_figures(tables) if health else [],
        is_empty=not health,
        is_sample=_is_sample(health),
        freshness=freshness(health, target, now) if health else None,
        target=target,
        now=now,
        style=_markup(_file("dashboard.css")),
        scripts=[_markup(text) for text in (bundle, script)],
        hashes=[_hash(text) for text in (bundle, script)],
        specs=_json({s.anchor: [c.content for c in s.specs] for s in shown}),
    )


def _markup(ours: str) -> Markup:
    return Markup(ours)  # noqa: S704 - files of this package and of vl-convert


def _file(name: str) -> str:
    return resources.files("ingestion").joinpath(name).read_text(encoding="utf-8")


def _shown(number: int, of: PanelOf, tables: Sequence[Table]) -> Shown:
    rows = [table.rows for table in tables]
    made = of.make(*rows) if rows[0] else None
    return Shown(f"panel-{number}", of, made, specs(made) if made else [], tables)


def _sections(shown: Iterable[Shown]) -> dict[str, list[Shown]]:
    sections: dict[str, list[Shown]] = {}
    for one in shown:
        sections.setdefault(one.of.section, []).append(one)
    return sections


def _figures(tables: dict[Read, Table]) -> list[Figure]:
    return figures(*[tables[read].rows for read in figures.reads])


def _is_sample(health: Rows) -> bool:
    return bool(health) and all(
        row["topic"].startswith(SAMPLE_TOPICS) for row in health
    )


@dataclass(frozen=True)
class Freshness:
    """Whether records still land: `state` is fresh, late or stale, as dbt would say."""

    state: str
    says: str


def freshness(health: Rows, target: Target, now: datetime) -> Freshness:
    """Tell how long nothing has landed, of the record type that waits longest.

    The limits are those of `dbt source freshness`; dead letters are no landed file, and
    a type that never landed is stale.
    """
    newest: dict[str, datetime] = {}
    for row in health:
        if row["landed_count"]:
            before = newest.get(row["record_type"], row["landed_at"])
            newest[row["record_type"]] = max(before, row["landed_at"])
    never = [each for each in KEY_FIELDS if each not in newest]
    if never:
        return Freshness("stale", f"no {' or '.join(never)} file has landed yet")
    record_type, landed_at = min(newest.items(), key=lambda item: item[1])
    hours = (now - landed_at).total_seconds() / 3600
    state = "fresh"
    if hours > target.freshness_warn_hours:
        state = "stale" if hours > target.freshness_error_hours else "late"
    return Freshness(
        state,
        f"the newest {record_type} file landed {written(landed_at)}, {_age(hours)} "
        "before this page was built",
    )


def _age(hours: float) -> str:
    minutes = max(0, int(hours * 60))
    if minutes < 2 * 60:
        return f"{minutes:,} minute{'s' * (minutes != 1)}"
    if hours < 2 * 24:
        return f"{int(hours):,} hours"
    return f"{int(hours / 24):,} days"


def _hash(script: str) -> str:
    """Return what a content security policy names an inline script by."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(value: object) -> Markup:
    """Write JSON that cannot end the script element it stands in."""
    return htmlsafe_json_dumps(value, dumps=json.dumps)


def cell(value: Any, column: str) -> str:  # noqa: ANN401 - any value of a report
    """Write a value of a table; years and ranks without a comma."""
    if isinstance(value, int) and column.endswith(("year", "rank")):
        return str(value)
    return written(value)


def numbers(rows: Sequence[Row]) -> set[str]:
    """Return the columns that hold numbers, which stand to the right."""
    return {
        column
        for column in (rows[0] if rows else ())
        if any(isinstance(row[column], int | float) for row in rows)
    }
