"""The page in a real browser: right, complete by itself, and for everybody."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chromium
import pytest
from conftest import Pipeline, Row
from playwright.sync_api import Browser
from processes import require

from ingestion.dashboard import library, reads, render
from ingestion.reports import Column, Table, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHOTS = Path(__file__).parents[2] / ".ci" / "output" / "page"
SHARES = """
path => {
  const items = path.__data__.mark.items;
  return items.map(i => [new Date(i.datum.post_month).toISOString(), 1 - i.y / 90]);
}
"""
"""The months of a small chart, 90 pixels high, each with the height that is drawn."""
CUT = """
[...document.querySelectorAll(".panel, .scroll, .chart svg, .figures dd, td, h3, p")]
  .filter(e => e.checkVisibility() && (e.getBoundingClientRect().right > innerWidth
    || (e.tagName !== "svg" && e.scrollWidth > e.clientWidth + 1)
    || (e.matches(".scroll") && e.scrollHeight > e.clientHeight + 1)))
  .map(e => e.outerHTML.slice(0, 100))
"""
COLOURS = """
[...document.querySelectorAll("h1, h2, h3, dd:not(.from), td, .chart text")]
  .filter(e => e.checkVisibility())
  .map(e => getComputedStyle(e)[e.tagName === "text" ? "fill" : "color"])
"""
EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    require(chromium.missing())
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The sample, with lines that are rejected and a value that is not readable."""
    pipeline = Pipeline(tmp_path_factory.mktemp("built"))
    pipeline.emit(Path("sample"))
    pipeline.land("pin", 10_000, ["{", "[]", "7", '{"index": 1, "ind": 2}'])
    pipeline.land("user", 10_000, ['{"ind": 1, "age": "34.5", "first_name": "A"}'])
    pipeline.dbt("build", "--exclude-resource-type", "unit_test", "test")
    return pipeline


@pytest.fixture(scope="module")
def page(browser: "Browser", built: Pipeline) -> Path:
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


def numbers(built: Pipeline, report: str, *columns: str) -> list[str]:
    rows = built.rows(report, ", ".join(columns))
    return sorted(f"{value:,}".removesuffix(".0") for row in rows for value in row)


def test_what_is_drawn_equals_the_reports(
    browser: "Browser", page: Path, built: Pipeline
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
    visit.page.close()


def test_the_figures_above_all_panels_equal_the_marts(
    browser: Browser, page: Path, built: Pipeline
) -> None:
    visit = chromium.Visit(browser, page)

    counts = [
        ("fct_posts", "count(*)"),
        ("dim_users", "count(*)"),
        ("fct_posts", "count(distinct category) filter (where posted_at is not null)"),
        ("fct_posts", "count(distinct country) filter (where category is not null)"),
    ]
    expected = [f"{built.rows(table, count)[0][0]:,}" for table, count in counts]
    ((newest,),) = built.rows("fct_posts", "max(posted_at)")
    figures = visit.texts(".figures dd:not(.from)")
    assert figures == [*expected, f"{newest:%Y-%m-%d}"]
    visit.page.close()


def test_what_is_drawn_of_some_rows_equals_those_rows(
    browser: Browser, page: Path, built: Pipeline
) -> None:
    visit = chromium.Visit(browser, page)
    medians = "median_follower_count, median_follower_count_per_post"
    joined = "rpt_median_followers_by_join_year_and_age_group"
    changes = built.rows("rpt_follower_change_by_user", "follower_change")
    leaders = set(built.rows("rpt_top_user_by_country", "poster_name, follower_count"))
    reasons = built.rows(
        "(select count(*) from rejected_records group by record_type, reason)"
    )
    missing = built.rows(
        "rpt_missing_counts", "missing_share, unreadable_count / record_count"
    )
    greatest = sorted((abs(change) for (change,) in changes), reverse=True)

    cells = [value for row in built.rows(joined, medians) for value in row]
    for question, values in (
        ("year joined and age group?", [f"{v / 1000:.3g}k" for v in cells]),
        ("Which user has most", [f"{v:,}" for v in top(v for _, v in leaders)]),
        ("counts change most?", [f"{v:,}" for v in greatest[:12]]),
        ("Why are lines rejected?", [f"{count:,}" for (count,) in reasons]),
        ("How much is missing?", [f"{v:.1%}" for r in missing if any(r) for v in r]),
        ("have all their parts?", numbers(built, "rpt_event_health", "event_count")),
    ):
        found = [text.lstrip("\u2212") for text in drawn(visit, question)]
        assert sorted(found) == sorted(values), question
        assert values, question
    visit.page.close()


def top(values: "Iterable[int]") -> list[int]:
    return sorted(values, reverse=True)[:12]


def test_each_category_moves_as_its_months_do(
    browser: Browser, page: Path, built: Pipeline
) -> None:
    visit = chromium.Visit(browser, page)
    rows = built.rows(
        "rpt_category_counts_by_month", "category, post_month, category_count"
    )
    months = {(name, f"{month:%Y-%m}"): count for name, month, count in rows}
    greatest = max(months.values())
    panel = visit.page.locator("article", has_text="How do categories move?")

    found: dict[tuple[str, str], int] = {}
    for figure in panel.locator("figure").all():
        name, total = (figure.locator("figcaption").text_content() or "").split(": ")
        shares = figure.locator(".mark-area path").evaluate(SHARES)
        counts = {(name, at[:7]): round(share * greatest) for at, share in shares}
        assert f"{sum(counts.values()):,}" == total
        found |= {at: count for at, count in counts.items() if count}
    assert found == months
    visit.page.close()


def test_each_country_has_the_rows_of_both_its_reports(
    browser: Browser, page: Path, built: Pipeline
) -> None:
    visit = chromium.Visit(browser, page)
    categories = built.rows(
        "rpt_top_category_by_country", "country, category, category_count"
    )
    users = built.rows(
        "rpt_top_user_by_country", "country, poster_name, follower_count"
    )

    found = [
        [cell.text_content() for cell in row.locator("td").all()]
        for row in visit.page.locator(".sortable tbody tr").all()
    ]

    assert found == [
        [country, *first(categories, country), *first(users, country)]
        for country in sorted({row[0] for row in [*categories, *users]})
    ]
    visit.page.close()


def first(rows: list[Row], country: str) -> tuple[str, str]:
    """Return the leaders of a country as the page should name them, and their count."""
    names = sorted(name for place, name, _ in rows if place == country)
    counts = {count for place, _, count in rows if place == country}
    if not names:
        return "-", "-"
    if names[3:]:
        names = [*names[:2], f"{len(names) - 2} others"]
    said = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    return said, f"{counts.pop():,}"


def test_the_print_has_everything_in_light_colours_and_cuts_nothing(
    browser: Browser, page: Path
) -> None:
    visit = chromium.Visit(browser, page, scheme="dark")
    visit.page.emulate_media(media="print")
    visit.page.set_viewport_size({"width": 720, "height": 1000})  # A4 less its margins

    assert visit.page.pdf(format="A4").count(b"/Type /Page\n") > 3
    for selector in (".panel", ".panel h3", ".chart svg", ".figures div", "tbody tr"):
        shown = visit.page.locator(f"{selector}:not(details *)")
        assert shown.count() == shown.filter(visible=True).count() > 0, selector
    assert visit.page.evaluate(CUT) == []
    colours = visit.page.evaluate(COLOURS)
    assert {brightness(colour) < 80 for colour in colours} == {True}
    assert visit.texts("details, nav, input") == []
    visit.page.close()


def brightness(colour: str) -> float:
    """Return how bright a colour of CSS is, from 0 to 255."""
    red, green, blue, *_ = map(float, re.findall(r"[0-9.]+", colour))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_another_category_shows_its_tags(
    browser: "Browser", page: Path, built: Pipeline
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
    browser: "Browser", page: Path, built: Pipeline
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
