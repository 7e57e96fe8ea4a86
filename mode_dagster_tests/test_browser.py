"""The asset page as a person sees it: Dagster's webserver and a real browser."""

from pathlib import Path

import dagster as dg
import pytest

from mode_dagster.assets import build_assets
from mode_dagster.build import RESOURCES
from mode_dagster.workspace import Workspace
from mode_dagster_tests.browser import CHROMIUM, browser, devtools_port, plain, webserver

ROOT = Path(__file__).parent.parent
REPORTS = Workspace().table_key("reports")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Dagster's home as `make ui` makes it."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.local.yaml").read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found")
def test_the_page_of_a_table_shows_what_it_is_and_what_is_in_it(home, sandbox, reads, tmp_path, query):
    reads(sandbox)
    with dg.DagsterInstance.get() as instance:
        dg.materialize([build_assets()], selection=[REPORTS], resources=RESOURCES, instance=instance)
    (rows,) = query("SELECT count(*) FROM mode_analytics_data.reports")[0]
    (newest,) = query("SELECT name FROM mode_analytics_data.reports ORDER BY edited_at DESC NULLS LAST LIMIT 1")[0]
    expected = (
        *("Every report of every collection", "/spaces/{space_token}/reports", "Row count", "completeness", "sample"),
        *("Freshness policy", "Source code", "endpoints.py"),
    )
    with webserver(tmp_path, "webserver") as address, browser(tmp_path / "profile") as page:
        shown = plain(page.open(f"{address}/assets/{'/'.join(REPORTS.path)}", *expected))
    assert f"Row count {rows} " in shown
    assert f"{newest} " in shown[shown.index(" sample ") :]


def test_a_browser_that_has_not_yet_written_its_port_is_waited_for(tmp_path):
    assert devtools_port(tmp_path) is None

    file = tmp_path / "DevToolsActivePort"
    file.touch()
    assert devtools_port(tmp_path) is None

    file.write_text("40123\n/devtools/browser/1")
    assert devtools_port(tmp_path) == "40123"
