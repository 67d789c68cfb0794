"""Draw the top of the page as a PNG, in the system's Chromium: `make pictures`.

python scripts/page_picture.py docs/pictures/page.png data/dashboard.html
"""

import shutil
from pathlib import Path

import click
from playwright.sync_api import sync_playwright


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("page", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(out: Path, page: Path) -> None:
    """Draw the top of PAGE to OUT."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise click.ClickException("This needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        tab = browser.new_page(viewport={"width": 1000, "height": 1130})
        tab.goto(page.resolve().as_uri())
        tab.evaluate("window.drawn.then(() => null)")
        out.parent.mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=out)
        browser.close()
    click.echo(out)


if __name__ == "__main__":
    main()
