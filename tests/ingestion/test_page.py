"""What the page says is worked out from the rows, whatever they are."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion import charts
from ingestion.dashboard import Freshness, freshness, library, reads, render
from ingestion.drawing import PANELS, Panel, bars, lead, listed, specs, written
from ingestion.reports import Column, Read, Row, Table, Target

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).replace(tzinfo=None)
TARGET = Target("duckdb", "duckdb", 24, 72)
TOPIC = {
    "topic": "a.pin",
    "record_type": "pin",
    "landed_count": 3,
    "rejected_count": 1,
    "dead_letter_count": 0,
    "superseded_count": 0,
    "landed_at": NOW,
}


def page(rows: dict[str, list[Row]]) -> str:
    """Render a page of the rows of some reports; the others have none."""
    tables = {}
    for read in reads():
        found = rows.get(read.report, [])
        columns = [Column(name, "", "") for name in found[0]] if found else []
        tables[read] = Table(read.report, "", columns, found)
    return render(tables, TARGET, "", NOW)


def year(name: int, *counts: tuple[str, int]) -> list[Row]:
    return [
        {"post_year": name, "category": category, "category_count": count}
        for category, count in counts
    ]


def test_one_row_several_and_ties_each_have_their_sentence() -> None:
    one = {"category": "art", "posts": 1_000}
    less = {"category": "quotes", "posts": 3}
    tied = {"category": "travel", "posts": 1_000}

    assert lead([one], "category", "posts", "post") == (
        "art alone is known, with 1,000 posts"
    )
    assert lead([less, one], "category", "posts", "post") == (
        "art leads with 1,000 posts"
    )
    assert lead([{"category": "art", "posts": 1}], "category", "posts", "post") == (
        "art alone is known, with 1 post"
    )
    assert lead([one, less, tied], "category", "posts", "post") == (
        "art and travel tie at 1,000 posts"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d"], "a, b and 2 others"),
    ],
)
def test_a_list_is_cut_after_three(words: list[str], expected: str) -> None:
    assert listed(words) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (31_000.0, "31,000"),
        (31_000.5, "31,000.5"),
        (0.09911, "0.09911"),
        (12_345_678, "12,345,678"),
        (date(2018, 8, 1), "2018-08-01"),
        (datetime(2018, 8, 1, 9, 5), "2018-08-01 09:05 UTC"),  # noqa: DTZ001 - UTC
        ("<b>", "<b>"),
    ],
)
def test_a_value_is_written_in_full(value: object, expected: str) -> None:
    assert written(value) == expected


def test_ties_of_the_latest_year_and_of_the_years_are_all_named() -> None:
    tops = [*year(2018, ("art", 2)), *year(2019, ("quotes", 5), ("travel", 5))]

    panel = charts.categories_by_year(tops, tops)

    assert panel.finding == (
        "In 2019, quotes and travel tie with 5 posts; art, quotes and travel each led "
        "in 1 of 2 years"
    )


def test_categories_that_lead_equally_often_do_not_tie() -> None:
    def top(group: str, category: str) -> Row:
        return {"age_group": group, "category": category, "category_count": 2}

    two = [top("18-24", "art"), top("25-35", "travel")]

    assert charts.categories_by_age_group(two).finding == (
        "art and travel each lead in 1 of 2 age groups"
    )
    assert charts.categories_by_age_group(two[:1]).finding == (
        "art leads in 1 of 1 age groups"
    )


def test_one_user_in_two_countries_and_two_users_in_one_are_told_apart() -> None:
    def top(country: str, name: str) -> Row:
        return {"country": country, "poster_name": name, "follower_count": 8_000_000}

    one = [top("American Samoa", "Ada"), top("Angola", "Ada")]
    two = [top("Angola", "Ada"), top("Angola", "Bob")]

    assert charts.top_users(one, one).finding == (
        "Ada leads with 8,000,000 followers, in American Samoa and Angola"
    )
    assert charts.top_users(two, two).finding == (
        "Ada and Bob tie at 8,000,000 followers, in Angola"
    )


def test_a_month_without_posts_is_drawn_as_none() -> None:
    months = [
        {"post_month": date(2019, month, 1), "category": "art", "category_count": month}
        for month in (11, 12)
    ] + [{"post_month": date(2020, 2, 1), "category": "art", "category_count": 5}]

    (spec,) = specs(charts.categories_by_month(months))

    assert spec.caption == "art: 28"
    (values,) = spec.content["datasets"].values()
    assert [(row["post_month"], row["category_count"]) for row in values] == [
        ("2019-11-01", 11),
        ("2019-12-01", 12),
        ("2020-01-01", 0),
        ("2020-02-01", 5),
    ]


def test_users_of_one_name_have_a_bar_each() -> None:
    rows = [{"name": "Ada", "count": 3}, {"name": "Ada", "count": 2}]

    (spec,) = specs(Panel("", "", bars(rows, "name", "count")))

    (values,) = spec.content["datasets"].values()
    assert [row["name"] for row in values] == ["Ada", "Ada (2)"]


@pytest.mark.parametrize(
    ("hours", "state", "age"),
    [
        (-1, "fresh", "0 minutes"),
        (0.02, "fresh", "1 minute before"),
        (24, "fresh", "24 hours"),
        (25, "late", "25 hours"),
        (73, "stale", "3 days"),
    ],
)
def test_the_record_type_that_waits_longest_tells_how_fresh_all_is(
    hours: float, state: str, age: str
) -> None:
    old = TOPIC | {"landed_at": NOW - timedelta(hours=hours + 9)}
    pins = TOPIC | {"landed_at": NOW - timedelta(hours=hours)}
    others = [
        TOPIC | {"record_type": each, "landed_at": NOW + timedelta(hours=2)}
        for each in ("geo", "user")
    ]
    dead = TOPIC | {"landed_count": 0, "landed_at": NOW + timedelta(hours=1)}
    unknown = dead | {"record_type": None, "landed_at": NOW - timedelta(days=9)}

    found = freshness([pins, old, dead, unknown, *others], TARGET, NOW)

    assert found.state == state
    assert age in found.says
    assert "pin" in found.says


def test_a_record_type_that_never_landed_is_stale_whatever_became_dead_letters() -> (
    None
):
    users = TOPIC | {"record_type": "user"}
    dead = TOPIC | {"record_type": "geo", "landed_count": 0}

    assert freshness([users, dead], TARGET, NOW) == Freshness(
        "stale", "no pin or geo file has landed yet"
    )


@pytest.mark.parametrize(
    ("row_count", "others"), [(12, "10 others"), (40, "10 or more others")]
)
def test_a_tie_beyond_the_rows_that_are_read_is_said(
    row_count: int, others: str
) -> None:
    rows = [
        {"poster_name": f"U{place}", "follower_change": 5, "row_count": row_count}
        for place in range(12)
    ]

    assert f"(U0, U1 and {others})" in charts.follower_changes(rows).finding


def test_made_up_events_are_called_so() -> None:
    said = "These events are made up"

    assert said in page({"rpt_pipeline_health": [TOPIC | {"topic": "sample.pin"}]})
    mixed = [TOPIC | {"topic": "sample.pin"}, TOPIC]
    assert said not in page({"rpt_pipeline_health": mixed})


def test_a_question_without_rows_has_no_answer_and_the_others_have() -> None:
    text = page({"rpt_pipeline_health": [TOPIC]})

    assert text.count("No answer yet") == len(PANELS) - 2
    assert "Of 3 landed lines 1 (33.3%) are rejected" in text


def test_nothing_landed_is_a_page_that_says_so() -> None:
    text = page({})

    assert "Nothing has landed yet" in text
    assert "<script" not in text


def test_markup_in_a_value_is_text() -> None:
    evil = "</script><script>alert(1)</script>"
    rows: list[dict[str, Any]] = [
        {"category": evil, "tag": evil, "post_count": 1, "tag_rank": 1}
    ]

    text = page({"rpt_pipeline_health": [TOPIC], "rpt_top_tags_by_category": rows})

    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 3


def test_a_row_of_a_cut_report_tells_how_many_there_are() -> None:
    read = Read("rpt_follower_change_by_user", limit=12)
    assert read in reads()
    rows = [{"user_id": "a", "row_count": 3}]

    assert Table("", "", [], rows).is_cut
    assert not Table("", "", [], rows * 3).is_cut


def test_the_javascript_is_kept_for_the_next_page(tmp_path: Path) -> None:
    made = library(tmp_path / "target")

    (kept,) = (tmp_path / "target").iterdir()
    kept.write_text("kept", "utf-8")

    assert "vegaEmbed" in made
    assert "</script" not in made
    assert library(tmp_path / "target") == "kept"
