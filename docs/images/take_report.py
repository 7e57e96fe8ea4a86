"""Takes the pictures of the workspace report: `python docs/images/take_report.py mode_workspace_report.html`.

Here: a page that is there already, on a desk and on a phone at night.
Not here: pictures of Dagster's UI (`take`), making the page (the asset `mode_marts/workspace_report`).
"""

import sys
import tempfile
from pathlib import Path

from mode_dagster_tests.browser import Page, browser

HERE = Path(__file__).parent
DESK = (1100, 1700)
PHONE = (390, 1560)
AT_NIGHT = "[...document.styleSheets[0].cssRules].find(rule => rule.media?.mediaText.includes('dark')).media.mediaText"


def main(path: Path) -> None:
    """Takes both."""
    with tempfile.TemporaryDirectory(prefix="mode-dagster-pictures-") as folder, browser(Path(folder)) as page:
        page.resize(*DESK)
        page.open(path.absolute().as_uri(), "Health over time")
        take(page, "workspace_report")
        page.run(f"{AT_NIGHT} = 'all'")
        page.resize(*PHONE)
        page.run("document.getElementById('hours').scrollIntoView()")
        take(page, "workspace_report_phone_dark")


def take(page: Page, name: str) -> None:
    """Writes what is to be seen."""
    file = HERE / f"{name}.png"
    file.write_bytes(page.picture())
    print(f"{file.name}: {file.stat().st_size // 1024} kB")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
