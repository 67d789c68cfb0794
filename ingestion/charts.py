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
            finding=lead(rows, "weekday", "post_count", "posts"),
            unit="Posts by weekday, UTC",
            charts=columns(rows, "weekday", "post_count"),
        )
"""

from ingestion.drawing import (
    Figure,
    Panel,
    Rows,
    columns,
    figures_of,
    heatmap,
    lead,
    leaders,
    listed,
    paired_bars,
    panel,
    written,
)

GRAINS = {
    "median_follower_count": "each user once",
    "median_follower_count_per_post": "a user once per post",
}


@figures_of(
    "rpt_event_health",
    "rpt_users_joined_by_year",
    "rpt_category_counts_by_year",
    "rpt_pipeline_health",
)
def figures(events: Rows, joined: Rows, years: Rows, topics: Rows) -> list[Figure]:
    """Show what stands above all panels."""
    posts = max(
        (row["event_count"] + row["incomplete_post_count"] for row in events), default=0
    )
    users = sum(row["number_users_joined"] for row in joined)
    categories = len({row["category"] for row in years})
    made = [row["newest_event_at"] for row in events if row["newest_event_at"]]
    newest = max(made).date() if made else None
    landed = max(row["landed_at"] for row in topics)
    return [
        Figure("Posts", written(posts), "rpt_event_health"),
        Figure("Users", written(users), "rpt_users_joined_by_year"),
        Figure("Categories", written(categories), "rpt_category_counts_by_year"),
        Figure("Newest post", written(newest), "rpt_event_health"),
        Figure("Newest file landed", written(landed.date()), "rpt_pipeline_health"),
    ]


@panel(
    "Categories",
    "How many posts does each category have, by year?",
    "rpt_category_counts_by_year",
)
def categories_by_year(years: Rows) -> Panel:
    """Show each category in each year."""
    latest = max(row["post_year"] for row in years)
    rows = [row for row in years if row["post_year"] == latest]
    return Panel(
        finding=f"In {latest}, {lead(rows, 'category', 'category_count', 'posts')}",
        unit="Posts by category and year they were made, UTC",
        charts=heatmap(
            sorted(years, key=lambda row: row["category"]),
            "post_year",
            "category",
            "category_count",
        ),
    )


@panel(
    "People",
    "What is the median of followers by age group?",
    "rpt_median_followers_by_age_group",
)
def medians_by_age_group(groups: Rows) -> Panel:
    """Show the medians of users and of posts, side by side."""
    first = leaders(groups, "median_follower_count")
    names = listed([row["age_group"] for row in first])
    return Panel(
        finding=f"Age group {names}: the highest median, "
        f"{written(first[0]['median_follower_count'])} followers",
        unit="Median followers by age group",
        charts=paired_bars(groups, "age_group", GRAINS),
    )


@panel("People", "How many users joined each year?", "rpt_users_joined_by_year")
def users_joined(years: Rows) -> Panel:
    """Show users by the year they joined."""
    first = lead(years, "join_year", "number_users_joined", "users")
    return Panel(
        finding=f"By year joined, {first}",
        unit="Users by the year they joined, UTC",
        charts=columns(years, "join_year", "number_users_joined"),
    )
