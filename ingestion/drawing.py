"""What the panels of the page are made of: charts that suit any width and either theme.

Colours are CSS variables of `dashboard.css`, so a chart follows the theme as text does.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import altair as alt

from ingestion.reports import Read, Row

Rows = Sequence[Row]

Chart = alt.TopLevelMixin

NUMBER: Final = ",.12~g"
"""All digits, with thousands apart, in the notation of D3."""
_LONG: Final = 10_000
"""Numbers from here on are shortened in the cells of a heatmap: 31k."""
SERIES: Final = ["var(--series-1)", "var(--series-2)"]
_INK, _MUTED, _RULE = "var(--ink)", "var(--muted)", "var(--rule)"
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
CONFIG: Final = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "domainColor": _RULE,
        "gridColor": _RULE,
        "labelColor": _INK,
        "labelFontSize": 12,
        "labelLimit": 150,
        "tickColor": _RULE,
        "title": None,
    },
    "bar": {"color": SERIES[0]},
    "area": {"color": SERIES[0], "fillOpacity": 0.25},
    "legend": {
        "labelColor": _INK,
        "labelFontSize": 12,
        "orient": "top",
        "title": None,
    },
    "range": {"category": SERIES},
    "rect": {"color": SERIES[0]},
    "text": {"color": _INK, "fontSize": 12},
}


@dataclass(frozen=True)
class Panel:
    """One finding, in a sentence worked out from the rows, and what shows it.

    `unit` says what is counted and how. `charts` is one chart, or several small ones by
    their captions; without any the panel is its table alone. `rows` are shown as the
    panel's own table, with search and sort, beside the reports' rows.
    """

    finding: str
    unit: str
    charts: Chart | Mapping[str, Chart] | None = None
    rows: Rows = ()
    note: str = ""


@dataclass(frozen=True)
class PanelOf:
    """A function that makes a panel of reports, and where the panel stands."""

    section: str
    question: str
    reads: Sequence[Read]
    make: Callable[..., Panel]


PANELS: Final[list[PanelOf]] = []


def panel(
    section: str, question: str, *reads: str | Read
) -> Callable[[Callable[..., Panel]], Callable[..., Panel]]:
    """Put a panel on the page, below those written before it in its section.

    The function gets the rows of each report as an argument, in order, as a list of
    dicts. It is called only where the first report has rows; else the page shows
    `question` and says that there is no answer yet.
    """
    asked = [read if isinstance(read, Read) else Read(read) for read in reads]

    def add(make: Callable[..., Panel]) -> Callable[..., Panel]:
        PANELS.append(PanelOf(section, question, asked, make))
        return make

    return add


@dataclass(frozen=True)
class Figure:
    """A figure above all panels; `note` says where it is from."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Figures:
    """A function that works out figures of reports."""

    reads: Sequence[Read]
    make: Callable[..., list[Figure]]

    def __call__(self, *rows: Rows) -> list[Figure]:
        """Work them out of the rows of each report, of which there are some."""
        return self.make(*rows)


def figures_of(*reports: str) -> Callable[[Callable[..., list[Figure]]], Figures]:
    """Give the function below the rows of these reports, which may be none."""
    return lambda make: Figures([Read(report) for report in reports], make)


# --- words -------------------------------------------------------------------------


def written(value: Any) -> str:  # noqa: ANN401 - any value of a report
    """Write a value as a person reads it: 31,000; 2018-08; - for what is not known."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.15g}" if abs(value) >= 1 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return str(value)


def listed(words: Sequence[str], most: int = 3) -> str:
    """Join words: "a", "a and b", "a, b and c", "a, b and 7 others"."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1:,} others"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def leaders(rows: Rows, value: str) -> list[Row]:
    """Return every row with the greatest value: ties are all there."""
    known = [row for row in rows if row[value] is not None]
    greatest = max((row[value] for row in known), default=None)
    return [row for row in known if row[value] == greatest]


def counted(number: int, thing: str) -> str:
    """Write how many: "1 post", "2,000 posts"."""
    return f"{written(number)} {thing}{'' if number == 1 else 's'}"


def lead(rows: Rows, name: str, value: str, thing: str) -> str:
    """Say who leads: "art leads with 20 posts", "art and travel tie at 20 posts"."""
    first = leaders(rows, value)
    names = list(dict.fromkeys(str(row[name]) for row in first))
    amount = counted(first[0][value], thing)
    if len(rows) == 1:
        return f"{names[0]} alone is known, with {amount}"
    if len(names) == 1:
        return f"{names[0]} leads with {amount}"
    return f"{listed(names)} tie at {amount}"


# --- charts ------------------------------------------------------------------------


def data_of(rows: Rows, *columns: str) -> alt.InlineData:
    """Return the columns of rows as the data of a chart; dates as ISO 8601."""
    values = [{column: _plain(row[column]) for column in columns} for row in rows]
    return alt.InlineData(values=values)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a report
    return value.isoformat() if isinstance(value, date) else value


def _titled(column: str) -> str:
    return column.replace("_", " ")


def _tips(name: str, value: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(f"{name}:N", title=_titled(name)),
        alt.Tooltip(f"{value}:Q", title=_titled(value), format=NUMBER),
    ]


def _sized(chart: alt.Chart | alt.LayerChart, height: int) -> Chart:
    sized: Chart = chart.properties(height=height, width="container")
    return sized


def _distinct(rows: Rows, name: str) -> list[Row]:
    """Tell names that are there twice apart: a bar has one row."""
    seen: Counter[str] = Counter()
    distinct = []
    for row in rows:
        label = str(row[name])
        seen[label] += 1
        again = f" ({seen[label]})" if seen[label] > 1 else ""
        distinct.append({**row, name: label + again})
    return distinct


def bars(rows: Rows, name: str, value: str) -> Chart:
    """Draw a bar for each row, in their order, with its value written at its end."""
    return _sized(_bars(_distinct(rows, name), name, value), 28 * len(rows))


def _bars(rows: Rows, name: str, value: str, *others: str) -> alt.LayerChart:
    base = alt.Chart(data_of(rows, name, value, *others)).encode(
        y=alt.Y(f"{name}:N", sort=None, title=None, axis=_names()),
        tooltip=_tips(name, value),
    )
    long = alt.X(
        f"{value}:Q", axis=None, scale=_scale([row[value] for row in rows], ",.0f")
    )
    texts = base.mark_text(align="left", dx=5).encode(
        text=alt.Text(f"{value}:Q", format=NUMBER)
    )
    ends = texts.encode(x=long).transform_filter(alt.datum[value] >= 0)
    # What is below zero is written in the room above it.
    starts = texts.encode(x=alt.XDatum(0)).transform_filter(alt.datum[value] < 0)
    drawn: alt.LayerChart = (
        base.mark_bar(cornerRadiusEnd=3).encode(x=long) + ends + starts
    )
    return drawn


def bars_of_choice(rows: Rows, choice: str, name: str, value: str) -> Chart:
    """Draw the bars of one `choice`, which the reader takes from a list of them."""
    choices = list(dict.fromkeys(row[choice] for row in rows))
    chosen = alt.selection_point(
        fields=[choice],
        value=choices[0],
        bind=alt.binding_select(options=choices, name=f"{_titled(choice)} "),
    )
    most = max(Counter(row[choice] for row in rows).values())
    drawn = _bars(rows, name, value, choice)
    return _sized(drawn.add_params(chosen).transform_filter(chosen), 28 * most)


def paired_bars(
    rows: Rows, name: str, pair: Mapping[str, str], number: str = NUMBER
) -> Chart:
    """Draw two bars for each row; `pair` maps each value column to its label."""
    long = [
        {name: str(row[name]), "series": label, "value": row[column]}
        for row in rows
        for column, label in pair.items()
        if row[column] is not None
    ]
    labels = list(pair.values())
    base = alt.Chart(data_of(long, name, "series", "value")).encode(
        y=alt.Y(f"{name}:N", sort=None, title=None, axis=_names()),
        yOffset=alt.YOffset("series:N", sort=labels),
        x=alt.X(
            "value:Q", axis=None, scale=_scale([row["value"] for row in long], number)
        ),
        tooltip=[
            alt.Tooltip(f"{name}:N", title=_titled(name)),
            alt.Tooltip("value:Q", title=" ", format=number),
        ],
    )
    drawn = base.mark_bar(cornerRadiusEnd=3).encode(
        color=alt.Color("series:N", sort=labels, scale=alt.Scale(range=SERIES))
    )
    texts = base.mark_text(align="left", dx=5).encode(
        text=alt.Text("value:Q", format=number)
    )
    return _sized(drawn + texts, 48 * len(rows))


def _scale(values: Sequence[float], number: str) -> alt.Scale:
    """Return a scale from zero that leaves room for the longest number behind a bar."""
    room = 12 + 8 * max(
        len(format(value, number.replace("~g", "g"))) for value in values
    )
    return alt.Scale(
        domain=[min(0, *values, 0), max(0, *values, 0) or 1],
        range=[0, alt.ExprRef(f"max(20, width - {room})")],
        nice=False,
    )


def _names() -> alt.Axis:
    return alt.Axis(
        domain=False,
        ticks=False,
        grid=False,
        labelPadding=6,
        labelLimit=alt.ExprRef("windowSize()[0] < 600 ? 110 : 220"),
    )


def columns(rows: Rows, name: str, value: str) -> Chart:
    """Draw a column for each row, along a time such as years, its value above it."""
    greatest = max((row[value] for row in rows), default=0) or 1
    base = alt.Chart(data_of(rows, name, value)).encode(
        x=alt.X(f"{name}:O", title=None, axis=alt.Axis(labelAngle=0, grid=False)),
        y=alt.Y(f"{value}:Q", axis=None, scale=alt.Scale(domain=[0, 1.1 * greatest])),
        tooltip=_tips(name, value),
    )
    texts = base.mark_text(dy=-8).encode(text=alt.Text(f"{value}:Q", format=NUMBER))
    drawn = base.mark_bar(cornerRadiusEnd=3, size=40)
    return _sized(drawn + texts, 220)


def heatmap(rows: Rows, across: str, down: str, value: str) -> Chart:
    """Draw a cell for each row, the darker the nearer to the greatest, with its value.

    Each chart has a scale of its own: values are written, and compared by them.
    """
    greatest = max((row[value] for row in rows), default=0) or 1
    base = alt.Chart(data_of(rows, across, down, value)).encode(
        x=alt.X(
            f"{across}:O",
            title=None,
            axis=alt.Axis(
                labelAngle=0, orient="top", domain=False, ticks=False, grid=False
            ),
        ),
        y=alt.Y(
            f"{down}:N",
            sort=None,
            title=None,
            axis=alt.Axis(domain=False, ticks=False, grid=False),
        ),
        tooltip=[
            alt.Tooltip(f"{across}:O", title=_titled(across)),
            *_tips(down, value),
        ],
    )
    cells = base.mark_rect(cornerRadius=2).encode(
        fillOpacity=alt.FillOpacity(
            f"{value}:Q",
            legend=None,
            scale=alt.Scale(domain=[0, greatest], range=[0.04, 0.55]),
        )
    )
    texts = base.mark_text(fontSize=11).encode(
        text=alt.Text(f"{value}:Q", format=",.3~s" if greatest >= _LONG else NUMBER)
    )
    height = 26 * len({row[down] for row in rows})
    return _sized(cells + texts, height)


def sparkline(rows: Rows, time: str, value: str, greatest: float) -> Chart:
    """Draw how a value moves over time, on a scale up to `greatest`."""
    drawn = (
        alt.Chart(data_of(rows, time, value))
        .mark_area(line={"color": SERIES[0], "strokeWidth": 1.5})
        .encode(
            x=alt.X(
                f"{time}:T",
                title=None,
                axis=alt.Axis(format="%Y", tickCount="year", grid=False),
                scale=alt.Scale(type="utc"),
            ),
            y=alt.Y(
                f"{value}:Q",
                title=None,
                axis=alt.Axis(tickCount=2, format=NUMBER),
                scale=alt.Scale(domain=[0, greatest]),
            ),
            tooltip=[
                alt.Tooltip(f"{time}:T", format="%Y-%m", title=_titled(time)),
                alt.Tooltip(f"{value}:Q", format=NUMBER, title=_titled(value)),
            ],
        )
    )
    return _sized(drawn, 90)


@dataclass
class Spec:
    """A chart as Vega-Lite, ready for the page."""

    caption: str
    content: dict[str, Any] = field(default_factory=dict)


def specs(panel: Panel) -> list[Spec]:
    """Return the charts of a panel with the look of the page."""
    charts = panel.charts
    if charts is None:
        return []
    named = charts if isinstance(charts, Mapping) else {"": charts}
    return [Spec(caption, _spec(chart)) for caption, chart in named.items()]


def _spec(chart: Chart) -> dict[str, Any]:
    content: dict[str, Any] = chart.to_dict()
    del content["$schema"]
    content["config"] = CONFIG
    content["autosize"] = {"type": "fit-x", "contains": "padding", "resize": True}
    return content
