"""The page in a real browser: right, complete by itself, and for everybody."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chromium
import pytest
from processes import require

from ingestion.dashboard import library, reads, render
from ingestion.reports import Column, Table, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Pipeline
    from playwright.sync_api import Browser

SHOTS = Path(__file__).parents[2] / ".ci" / "output" / "page"
EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    require(chromium.missing())
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: "Browser", built: "Pipeline") -> Path:
    assert browser  # first: without one the page is not needed
    built.ingest("dashboard")
    return built.page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 375])
def test_it_is_accessible_and_asks_nobody_at_any_width_in_either_theme(
    browser: "Browser", page: Path, width: int, scheme: str
) -> None:
    visit = chromium.Visit(browser, page, width, scheme)

    SHOTS.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=SHOTS / f"{width}-{scheme}.png", full_page=True)

    assert visit.complaints == []
    assert visit.requests == [page.as_uri()]
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    assert len(visit.page.locator(".chart svg").all()) > 20
    assert visit.violations() == []
    visit.page.close()


def drawn(visit: chromium.Visit, question: str) -> list[str]:
    """Return the values written in the chart that answers a question."""
    panel = visit.page.locator("article", has_text=question)
    return panel.locator(".mark-text.role-mark text").all_text_contents()


def numbers(built: "Pipeline", report: str, *columns: str) -> list[str]:
    rows = built.rows(report, ", ".join(columns))
    return sorted(f"{value:,}".removesuffix(".0") for row in rows for value in row)


def test_what_is_drawn_equals_the_reports(
    browser: "Browser", page: Path, built: "Pipeline"
) -> None:
    visit = chromium.Visit(browser, page)
    medians = ("median_follower_count", "median_follower_count_per_post")

    for question, report, *columns in (
        ("followers in each age group?", "rpt_median_followers_by_age_group", *medians),
        ("followers by year joined?", "rpt_median_followers_by_join_year", *medians),
        ("joined each year?", "rpt_users_joined_by_year", "number_users_joined"),
        ("popular each year?", "rpt_category_counts_by_year", "category_count"),
        (
            "popular in each age group?",
            "rpt_top_category_by_age_group",
            "category_count",
        ),
        ("of the landed lines?", "rpt_pipeline_health", "landed_count"),
    ):
        found = sorted(drawn(visit, question))
        assert found == numbers(built, report, *columns), question
    users = sum(row[0] for row in built.rows("dim_users", "count(*)"))
    assert visit.texts(".figures dd:not(.from)")[1] == f"{users:,}"
    visit.page.close()


def test_another_category_shows_its_tags(
    browser: "Browser", page: Path, built: "Pipeline"
) -> None:
    visit = chromium.Visit(browser, page)

    before = drawn(visit, "Which tags are most used")
    visit.page.locator(".vega-bind select").select_option("travel")
    visit.page.wait_for_timeout(500)

    tags = built.rows("rpt_top_tags_by_category", "category, tag_rank, post_count")
    counts = [(rank, f"{count:,}") for name, rank, count in tags if name == "travel"]
    expected = [count for _, count in sorted(counts)[:12]]
    found = drawn(visit, "Which tags are most used")
    assert sorted(found) == sorted(expected) != sorted(before)
    visit.page.close()


def test_the_countries_can_be_searched_and_sorted_from_the_keyboard(
    browser: "Browser", page: Path, built: "Pipeline"
) -> None:
    visit = chromium.Visit(browser, page)
    table = ".sortable tbody tr"
    countries = {row[0] for row in built.rows("rpt_top_category_by_country", "country")}
    assert set(visit.texts(f"{table} td:first-child")) == countries

    search = visit.page.get_by_label("Search")
    search.focus()
    visit.page.keyboard.type("nor")

    found = visit.texts(table)
    assert 0 < len(found) < len(countries)
    assert all("nor" in text.lower() for text in found)
    assert visit.texts("[role=status]") == [f"{len(found)} of {len(countries)} rows"]

    search.fill("")
    for way in ("descending", "ascending"):
        visit.page.get_by_role("button", name="followers").press("Enter")
        header = visit.page.get_by_role("columnheader", name="followers")
        assert header.get_attribute("aria-sort") == way
        cells = visit.texts(f"{table} td:nth-child(5)")
        counts = [int(c.replace(",", "")) for c in cells if c != "-"]
        assert len(counts) > 100
        assert counts == sorted(counts, reverse=way == "descending")
    visit.page.close()


def made_up(rows: dict[str, list[dict[str, Any]]], path: Path) -> Path:
    """Write a page of rows made up for some reports; the others have none."""
    tables = {}
    for read in reads():
        found = rows.get(read.report, [])
        columns = [Column(name, "", EVIL) for name in found[0]] if found else []
        tables[read] = Table(read.report, EVIL, columns, found)
    now = datetime.now(UTC).replace(tzinfo=None)
    text = render(tables, Target(EVIL, "", 24, 72), library(path.parent), now)
    path.write_text(text, "utf-8")
    return path


def test_markup_in_the_data_is_text(browser: "Browser", tmp_path: Path) -> None:
    landed_at = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=3)
    topic = {"topic": EVIL, "record_type": EVIL, "landed_at": landed_at}
    counts = ("landed_count", "rejected_count", "dead_letter_count", "superseded_count")
    tag = {"category": EVIL, "tag": EVIL, "post_count": 3, "tag_rank": 1}
    country = {"country": EVIL, "category": EVIL, "category_count": 2}
    user = {"country": EVIL, "poster_name": EVIL, "follower_count": 9}
    page = made_up(
        {
            "rpt_pipeline_health": [topic | dict.fromkeys(counts, 1)],
            "rpt_top_tags_by_category": [tag],
            "rpt_top_category_by_country": [country],
            "rpt_top_user_by_country": [user],
            "rpt_country_of_top_user": [user],
        },
        tmp_path / "page.html",
    )

    visit = chromium.Visit(browser, page)
    for bar in visit.page.locator(".mark-rect.role-mark path").all():
        bar.hover()

    assert visit.complaints == []
    assert visit.page.evaluate("window.evil") is None
    assert visit.page.locator("img").count() == 0
    assert visit.page.locator("article td", has_text="window.evil").count() > 3
    assert EVIL in visit.texts(".sortable td")
    assert visit.violations() == []
    visit.page.close()
