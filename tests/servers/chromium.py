"""Debian's Chromium, driven by Playwright: no browser but the system's is fetched.

Playwright brings its own driver in its package and speaks to any Chromium of these
years; Selenium would want a second package of exactly the browser's version.

python tests/servers/chromium.py data/dashboard.html …: opens files as one would who got
them by mail, and fails where one complains or asks for anything but itself.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from processes import SERVERS

_AXE = SERVERS / "axe" / "node_modules" / "axe-core" / "axe.min.js"

_DBTS_OWN = ("getIcon(", "require(")
"""dbt's docs site asks for files named so: templates that are not filled in (yet)."""

_FEW_ROWS = """
for (const details of document.querySelectorAll("details")) details.open = true;
for (const body of document.querySelectorAll("tbody"))
  for (const row of [...body.rows].slice(3)) row.remove();
"""


def missing() -> str | None:
    """Say what is missing and how to get it."""
    if not shutil.which("chromium"):
        return "the page needs Chromium: apt-get install chromium"
    if not _AXE.is_file():
        return "axe-core is not installed: make servers"
    return None


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser with a profile of its own; stop it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


class Visit:
    """A page that is open, what it asked for, and what it complained about."""

    def __init__(
        self, browser: Browser, path: Path, width: int = 1280, scheme: str = "light"
    ) -> None:
        """Open a file, and wait until its charts are drawn."""
        dark = scheme == "dark"
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
        )
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.evaluate("window.drawn?.then(() => null)")

    def _heard(self, said: ConsoleMessage) -> None:
        complaint = f"{said.text.strip()} {said.location.get('url', '')}"
        if not any(name in complaint for name in _DBTS_OWN):
            self.complaints.append(complaint)

    def outside(self) -> list[str]:
        """Return what was asked for beyond files of this machine."""
        ours = ("file:", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(ours)]

    def texts(self, selector: str) -> list[str]:
        """Return the texts of what is visible, in order."""
        found = self.page.locator(selector).filter(visible=True)
        return found.all_text_contents()

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong, each rule with where it is broken.

        Tables are opened; their first rows stand for all: it looks at each cell.
        """
        self.page.evaluate(_FEW_ROWS)
        self.page.evaluate(_AXE.read_text("utf-8") + "; null")
        found = self.page.evaluate("axe.run()")
        return [
            f"{rule['id']}: {node['html'][:200]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]


def main(paths: list[str]) -> None:
    """Open each file, and exit with what is wrong with any."""
    wrong = []
    with chromium() as browser:
        for path in paths:
            visit = Visit(browser, Path(path).resolve())
            visit.page.locator("h1").filter(visible=True).first.wait_for()
            wrong += [f"{path}: {e}" for e in (*visit.complaints, *visit.outside())]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main(sys.argv[1:])
