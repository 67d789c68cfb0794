"""The panels of the page, in the order of the page. This is the place to add one.

A panel is a function below `@panel(section, question, report, …)`. It gets the rows of
each report, as a list of dicts in the order of `ingest answers`, and returns the
finding, as a sentence worked out from the rows, the unit, and a chart: `bars`,
`paired_bars`, `columns`, `heatmap`, `sparkline`, or any chart of Altair. The rows of
every report stand below the chart on their own. Then name the report in the exposure
`dashboard` of `models/exposures.yml`: what a panel reads and what is named there must
agree.

    @panel("Posts", "On which weekday do people post most?", "rpt_posts_by_weekday")
    def posts_by_weekday(rows: Rows) -> Panel:
        return Panel(
            finding=lead(rows, "weekday", "post_count", "post"),
            unit="Posts by weekday, UTC",
            charts=columns(rows, "weekday", "post_count"),
        )
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from ingestion.drawing import (
    Figure,
    Panel,
    Rows,
    bars,
    bars_of_choice,
    columns,
    counted,
    figures_of,
    heatmap,
    lead,
    leaders,
    listed,
    paired_bars,
    panel,
    sparkline,
    written,
)
from ingestion.reports import Read, Row

T = TypeVar("T")
GRAINS = {
    "median_follower_count": "each user once",
    "median_follower_count_per_post": "a user once per post",
}
MOST_ROWS = 24
"""More are not drawn: the note says how many there are, and the table has all."""
MOST_YEARS = 12
MOST_BARS = 12


@figures_of(
    "rpt_event_health",
    "rpt_users_joined_by_year",
    "rpt_category_counts_by_year",
    "rpt_top_category_by_country",
)
def figures(events: Rows, joined: Rows, years: Rows, countries: Rows) -> list[Figure]:
    """Show what stands above all panels."""
    posts = max(
        (row["event_count"] + row["incomplete_post_count"] for row in events), default=0
    )
    users = sum(row["number_users_joined"] for row in joined)
    made = [row["newest_event_at"] for row in events if row["newest_event_at"]]
    newest = max(made).date() if made else None
    return [
        Figure("Posts", written(posts), "rpt_event_health"),
        Figure("Users", written(users), "rpt_users_joined_by_year"),
        Figure("Categories", _kinds(years, "category"), "rpt_category_counts_by_year"),
        Figure(
            "Countries", _kinds(countries, "country"), "rpt_top_category_by_country"
        ),
        Figure("Newest post", written(newest), "rpt_event_health"),
    ]


def _kinds(rows: Rows, column: str) -> str:
    return written(len({row[column] for row in rows}))


def _cut(rows: Sequence[T], most: int, what: str) -> tuple[Sequence[T], str]:
    """Return the first `most` rows, and a note where there are more."""
    if len(rows) <= most:
        return rows, ""
    return rows[:most], f"The first {most} of {len(rows):,} {what}; the rows have all."


# --- categories --------------------------------------------------------------------


@panel(
    "Categories",
    "Which category is most popular each year?",
    "rpt_category_counts_by_year",
    "rpt_top_category_by_year",
)
def categories_by_year(years: Rows, tops: Rows) -> Panel:
    """Show each category in each year."""
    latest = max(row["post_year"] for row in tops)
    ahead = [row for row in tops if row["post_year"] == latest]
    posts = counted(ahead[0]["category_count"], "post")
    finding = f"In {latest}, {_leads([r['category'] for r in ahead])} with {posts}"
    led = Counter(row["category"] for row in tops)
    most = max(led.values())
    count = len({row["post_year"] for row in tops})
    if count > 1:
        names = sorted(name for name, wins in led.items() if wins == most)
        each = " each" if names[1:] else ""
        finding += f"; {listed(names)}{each} led in {most} of {count} years"
    shown, note = _busiest(years, latest - MOST_YEARS)
    return Panel(
        finding=finding,
        unit="Posts by category and the year they were made, UTC",
        charts=heatmap(shown, "post_year", "category", "category_count"),
        note=note,
    )


def _leads(names: list[str]) -> str:
    return f"{listed(names)} {'tie' if names[1:] else 'leads'}"


def _most_often(names: list[str]) -> str:
    return f"{listed(names)} {'each lead' if names[1:] else 'leads'}"


def _totals(rows: Rows) -> Counter[str]:
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row["category"]] += row["category_count"]
    return totals


def _busiest(years: Rows, after: int) -> tuple[list[Row], str]:
    totals = _totals(years)
    kept, note = _cut(totals.most_common(), MOST_ROWS, "categories by posts")
    names = {name for name, _ in kept}
    shown = [r for r in years if r["category"] in names and r["post_year"] > after]
    shown.sort(key=lambda row: (-totals[row["category"]], row["category"]))
    if any(row["post_year"] <= after for row in years):
        note = f"{note} The latest {MOST_YEARS} years; the rows have all.".strip()
    return shown, note


@panel("Categories", "How do categories move?", "rpt_category_counts_by_month")
def categories_by_month(months: Rows) -> Panel:
    """Show each category over the months, on one scale; a month without posts is 0."""
    first = leaders(months, "category_count")
    peaks = [f"{row['category']} in {row['post_month']:%Y-%m}" for row in first]
    greatest = first[0]["category_count"]
    kept, note = _cut(_totals(months).most_common(), MOST_ROWS, "categories by posts")
    times = _months(months)
    counts = {(row["category"], row["post_month"]): row for row in months}
    charts = {}
    for name, total in kept:
        found = [
            counts.get((name, time), {"post_month": time, "category_count": 0})
            for time in times
        ]
        chart = sparkline(found, "post_month", "category_count", greatest)
        charts[f"{name}: {written(total)}"] = chart
    return Panel(
        finding=f"The busiest month of a category: {listed(peaks)}, "
        f"with {counted(greatest, 'post')}",
        unit="Posts by month, UTC, on one scale; beside each category its total",
        charts=charts,
        note=note,
    )


def _months(rows: Rows) -> list[date]:
    first = min(row["post_month"] for row in rows)
    last = max(row["post_month"] for row in rows)
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    places = [first.year * 12 + first.month - 1 + place for place in range(count)]
    return [date(place // 12, place % 12 + 1, 1) for place in places]


@panel(
    "Categories",
    "Which category is most popular in each age group?",
    "rpt_top_category_by_age_group",
)
def categories_by_age_group(tops: Rows) -> Panel:
    """Show the first category of each age group."""
    led = Counter(row["category"] for row in tops)
    most = max(led.values())
    names = sorted(name for name, wins in led.items() if wins == most)
    groups = len({row["age_group"] for row in tops})
    named = [{**row, "group": f"{row['age_group']}: {row['category']}"} for row in tops]
    shown, note = _cut(named, MOST_ROWS, "leading categories")
    return Panel(
        finding=f"{_most_often(names)} in {most} of {groups} age groups",
        unit="Posts in the most popular category, by age group of their users",
        charts=bars(shown, "group", "category_count"),
        note=note,
    )


# --- countries ---------------------------------------------------------------------


@panel(
    "Countries",
    "What is most popular, and who has most followers, in each country?",
    "rpt_top_category_by_country",
    "rpt_top_user_by_country",
)
def countries(categories: Rows, users: Rows) -> Panel:
    """List each country with its first categories and users, ties beside each other."""
    led = Counter(row["category"] for row in categories)
    most = max(led.values())
    names = sorted(name for name, wins in led.items() if wins == most)
    known = sorted({row["country"] for row in [*categories, *users]})
    count = len({row["country"] for row in categories})
    return Panel(
        finding=f"{_most_often(names)} in {most:,} of {count:,} countries",
        unit="By country the posts came from; where many tie, two are named",
        rows=[
            {
                "country": country,
                **_firsts(categories, country, "category", "category_count", "posts"),
                **_firsts(users, country, "poster_name", "follower_count", "followers"),
            }
            for country in known
        ],
    )


def _firsts(rows: Rows, country: str, name: str, value: str, unit: str) -> Row:
    found = [row for row in rows if row["country"] == country]
    names = listed([row[name] for row in found]) if found else None
    titles = {"category": "top category", "poster_name": "top user"}
    return {titles[name]: names, unit: found[0][value] if found else None}


# --- people ------------------------------------------------------------------------


@panel(
    "People",
    "Which user has most followers, and in which country?",
    "rpt_country_of_top_user",
    "rpt_top_user_by_country",
)
def top_users(tops: Rows, users: Rows) -> Panel:
    """Show the users with most followers among the first of each country."""
    names = list(dict.fromkeys(row["poster_name"] for row in tops))
    places = list(dict.fromkeys(row["country"] for row in tops))
    count = written(tops[0]["follower_count"])
    known = {(row["poster_name"], row["follower_count"]) for row in users}
    ranked = sorted(known, key=lambda user: (-user[1], user[0]))
    shown, note = _cut(ranked, MOST_BARS, "names that lead a country")
    tied = sum(user[1] == ranked[0][1] for user in ranked)
    if tied > MOST_BARS:
        note = f"{MOST_BARS} of the {tied:,} that tie are drawn; the rows have all."
    return Panel(
        finding=f"{listed(names)} {'tie at' if names[1:] else 'leads with'} {count} "
        f"followers, in {listed(places)}",
        unit="Followers, latest known, of users who lead a country",
        charts=bars(
            [{"poster_name": n, "follower_count": c} for n, c in shown],
            "poster_name",
            "follower_count",
        ),
        note=note,
    )


def _highest(rows: Rows, column: str) -> str:
    first = leaders(rows, "median_follower_count")
    names = [str(row[column]) for row in first]
    median = f"{written(first[0]['median_follower_count'])} followers each user once"
    if names[1:]:
        return f"{listed(names)} share the highest median: {median}"
    per_post = written(first[0]["median_follower_count_per_post"])
    return (
        f"{names[0]} has the highest median: {median}, {per_post} counted once per post"
    )


@panel(
    "People",
    "What is the median of followers in each age group?",
    "rpt_median_followers_by_age_group",
)
def medians_by_age_group(groups: Rows) -> Panel:
    """Show the medians of users and of posts, side by side."""
    return Panel(
        finding=_highest(groups, "age_group"),
        unit="Median of latest known followers, by age group",
        charts=paired_bars(groups, "age_group", GRAINS),
    )


@panel(
    "People",
    "What is the median of followers by year joined?",
    "rpt_median_followers_by_join_year",
)
def medians_by_join_year(years: Rows) -> Panel:
    """Show the medians of users and of posts, side by side."""
    return Panel(
        finding=_highest(years, "join_year"),
        unit="Median of latest known followers, by year joined, UTC",
        charts=paired_bars(years[-MOST_YEARS:], "join_year", GRAINS),
        note=_cut(years, MOST_YEARS, "years")[1].replace("first", "latest"),
    )


@panel(
    "People",
    "What is the median of followers by year joined and age group?",
    "rpt_median_followers_by_join_year_and_age_group",
)
def medians_by_join_year_and_age_group(groups: Rows) -> Panel:
    """Show the medians of users, and those of posts."""
    named = [
        {**row, "group": f"{row['age_group']}, joined {row['join_year']}"}
        for row in groups
    ]
    latest = max(row["join_year"] for row in groups)
    shown = [row for row in groups if row["join_year"] > latest - MOST_YEARS]
    charts = {}
    for median, label in GRAINS.items():
        known = [row for row in shown if row[median] is not None]
        chart = heatmap(known, "join_year", "age_group", median)
        charts[label.capitalize()] = chart
    return Panel(
        finding=_highest(named, "group"),
        unit="Median of latest known followers, by year joined, UTC, and age group",
        charts=charts,
    )


@panel("People", "How many users joined each year?", "rpt_users_joined_by_year")
def users_joined(years: Rows) -> Panel:
    """Show users by the year they joined."""
    first = leaders(years, "number_users_joined")
    names = [str(row["join_year"]) for row in first]
    most = written(first[0]["number_users_joined"])
    users = written(sum(row["number_users_joined"] for row in years))
    each = " each" if names[1:] else ""
    return Panel(
        finding=f"Most users joined in {listed(names)}: {most}{each} of {users}",
        unit="Users by the year they joined, UTC",
        charts=columns(years[-MOST_YEARS:], "join_year", "number_users_joined"),
        note=_cut(years, MOST_YEARS, "years")[1].replace("first", "latest"),
    )


@panel(
    "People",
    "Whose follower counts change most?",
    Read("rpt_follower_change_by_user", limit=MOST_BARS),
)
def follower_changes(users: Rows) -> Panel:
    """Show the greatest changes, up and down."""
    count = written(users[0]["row_count"])
    moved = [row for row in users if row["follower_change"]]
    first = leaders(
        [{**row, "size": abs(row["follower_change"])} for row in moved], "size"
    )
    known = f"{count} users with two or more known counts"
    if not first:
        return Panel(f"No count changed, of {known}", "Followers")
    names = [row["poster_name"] or "a user without a name" for row in first]
    who = listed(names)
    if len(first) == len(users) < users[0]["row_count"]:  # the tie may go on
        who = f"{names[0]}, {names[1]} and {len(names) - 2} or more others"
    change = f"{first[0]['size']:,}"
    return Panel(
        finding=f"The greatest change is {change} followers ({who}), of {known}",
        unit="Change from the first known follower count to the latest; greatest first",
        charts=bars(
            [{**row, "poster_name": row["poster_name"] or "-"} for row in moved],
            "poster_name",
            "follower_change",
        ),
    )


# --- tags --------------------------------------------------------------------------


@panel("Tags", "Which tags are most used in each category?", "rpt_top_tags_by_category")
def top_tags(tags: Rows) -> Panel:
    """Show the tags of a category that the reader chooses."""
    first = leaders(tags, "post_count")
    names = listed([f"{row['tag']} ({row['category']})" for row in first])
    kept: dict[str, list[Row]] = {}
    for row in tags:
        kept.setdefault(row["category"], []).append(row)
    shown = [row for rows in kept.values() for row in rows[:MOST_BARS]]
    cut = len(tags) - len(shown)
    posts = counted(first[0]["post_count"], "post")
    return Panel(
        finding=f"Most used of all: {names}, in {posts}{' each' if first[1:] else ''}",
        unit="Posts with the tag, each once, in the category chosen",
        charts=bars_of_choice(shown, "category", "tag", "post_count"),
        note=f"{cut:,} more tags tie at the last rank; the rows have all." * bool(cut),
    )


# --- the pipeline ------------------------------------------------------------------


@panel("Pipeline", "What became of the landed lines?", "rpt_pipeline_health")
def landed_lines(topics: Rows) -> Panel:
    """Show the lines of each topic, and how many are of no use."""
    total = {
        column: sum(row[column] for row in topics)
        for column in ("landed_count", "rejected_count", "superseded_count")
    }
    dead = sum(row["dead_letter_count"] for row in topics)
    shown, note = _cut(topics, MOST_ROWS, "topics")
    return Panel(
        finding=f"Of {written(total['landed_count'])} landed lines "
        f"{_part(total['rejected_count'], total['landed_count'])} are rejected and "
        f"{_part(total['superseded_count'], total['landed_count'])} are replaced by a "
        f"newer copy; {written(dead)} dead letters",
        unit="Landed lines by topic",
        charts=bars(shown, "topic", "landed_count"),
        note=note,
    )


def _part(count: int, whole: int) -> str:
    return f"{count:,} ({count / whole if whole else 0:.1%})"


@panel(
    "Pipeline",
    "Why are lines rejected?",
    "rpt_pipeline_health",
    Read("rejected_records", group_by="record_type, reason"),
)
def rejected_lines(topics: Rows, reasons: Rows) -> Panel:
    """Show how many lines each reason rejects."""
    count = sum(row["row_count"] for row in reasons)
    landed = sum(row["landed_count"] for row in topics)
    if not count:
        return Panel("No line is rejected", f"Of {written(landed)} landed lines")
    named = [{**r, "reason": f"{r['record_type']}: {r['reason']}"} for r in reasons]
    only = f"all as {named[0]['reason']}"
    why = lead(named, "reason", "row_count", "line") if named[1:] else only
    return Panel(
        finding=f"Rejected: {_part(count, landed)} of the lines, {why}",
        unit="Rejected lines by record type and reason",
        charts=bars(named, "reason", "row_count"),
    )


@panel("Pipeline", "Do posts have all their parts?", "rpt_event_health")
def complete_posts(events: Rows) -> Panel:
    """Show the events of each record type, and what posts lack."""
    lacks = [
        f"{counted(row['incomplete_post_count'], 'post')} without a "
        f"{row['record_type']}"
        for row in events
        if row["incomplete_post_count"]
    ]
    unknown = sum(row["unidentified_count"] or 0 for row in events)
    parts = listed(lacks) if lacks else "Every post has all its parts"
    people = f"{counted(unknown, 'post')} without a known person"
    if not unknown:
        people = "every person is known"
    return Panel(
        finding=f"{parts}; {people}",
        unit="Events with a valid record, by record type",
        charts=bars(events, "record_type", "event_count"),
    )


@panel("Pipeline", "How much is missing?", "rpt_missing_counts")
def missing_values(values: Rows) -> Panel:
    """Show the columns in which anything is missing or unreadable."""
    named = [
        {
            "column": f"{row['record_type']}.{row['column_name']}",
            "missing_share": row["missing_share"],
            "unreadable_share": row["unreadable_count"] / row["record_count"],
        }
        for row in values
    ]
    some = [row for row in named if row["missing_share"] or row["unreadable_share"]]
    some.sort(key=lambda row: -row["missing_share"] - row["unreadable_share"])
    unit = "Share of the newest records, by column"
    if not some:
        return Panel("No value is missing or unreadable", unit)
    first = leaders(some, "missing_share")
    names = listed([row["column"] for row in first])
    share = f"{first[0]['missing_share']:.1%}"
    shares = {"missing_share": "missing", "unreadable_share": "unreadable"}
    found = {c: label for c, label in shares.items() if any(row[c] for row in some)}
    return Panel(
        finding=f"{names}: missing most, in {share} of records",
        unit=f"{unit}; the others lack nothing" if named[len(some) :] else unit,
        charts=paired_bars(some, "column", found, ".1%"),
    )
