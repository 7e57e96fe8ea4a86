"""Takes the pictures of Dagster's UI that are in this folder: `python docs/images/take.py`, about two minutes.

Here: which pages, and what must be on them before a picture is taken.
Not here: starting Dagster and the browser (`mode_dagster_tests.browser`).

Loads the bundled sandbox into a temporary folder; needs Chromium on PATH.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mode_dagster.extract.endpoints import Family
from mode_dagster.workspace import Workspace
from mode_dagster_tests.browser import Page, browser, webserver

HERE = Path(__file__).parent
SETTLE = 6
"""Seconds for icons and lines to be drawn once the words are there."""


@dataclass(frozen=True)
class Picture:
    """One page and what it must show."""

    name: str
    path: str
    expected: Sequence[str]
    size: tuple[int, int] = (1400, 900)


GROUPS = [*(Workspace().group(family) for family in Family), Workspace().group()]
PICTURES = (
    Picture("groups", "/asset-groups", GROUPS, size=(1800, 800)),
    Picture(
        "lineage",
        "/assets/mode_marts/report_health?view=lineage&lineageScope=upstream",
        ["report_health"],
    ),
    Picture(
        "report_health", "/assets/mode_marts/report_health", ["Answers: Which reports are failing now", "Row count"]
    ),
)


def main(names: Sequence[str]) -> None:
    """Takes all pictures, or those that are named."""
    wanted = [picture for picture in PICTURES if not names or picture.name in names]
    with tempfile.TemporaryDirectory(prefix="mode-dagster-pictures-") as folder:
        prepare(Path(folder))
        with webserver(Path(folder), "dev") as address, browser(Path(folder) / "profile") as page:
            for picture in wanted:
                take(page, address, picture)


def prepare(folder: Path) -> None:
    """A Dagster instance in which the sandbox was loaded."""
    home = folder / "home"
    home.mkdir()
    shutil.copy(HERE.parent.parent / "deploy" / "dagster.local.yaml", home / "dagster.yaml")
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "DLT_DATA_DIR": str(folder / "dlt"),
        "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "mode_analytics.duckdb"),
        "SOURCES__MODE_ANALYTICS_SOURCE__BASE_URL": "sandbox",
    }
    load = [sys.executable, "-m", "dagster", "job", "execute", "-m", "mode_dagster.definitions", "-j", "mode_sync"]
    subprocess.run(load, cwd=folder, check=True, capture_output=True)  # noqa: S603 - our own command


def take(page: Page, address: str, picture: Picture) -> None:
    """Goes there and writes the picture."""
    page.resize(*picture.size)
    page.open(f"{address}{picture.path}", *picture.expected)
    time.sleep(SETTLE)
    file = HERE / f"{picture.name}.png"
    file.write_bytes(page.picture())
    print(f"{file.name}: {file.stat().st_size // 1024} kB")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
