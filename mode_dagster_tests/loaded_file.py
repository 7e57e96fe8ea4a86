"""A loaded DuckDB file to be broken in one way at a time.

Here: the small sandbox loaded once, and a copy of the file for each test.
Not here: what must be found in it.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import duckdb
import pytest

from mode_dagster.checks import checks_of
from mode_dagster.checks.loaded import Finding, Loaded
from mode_dagster.extract.destination import DATASET
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import serve
from mode_dagster.settings import Settings
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster_tests.conftest import NOON, SMALL


class File:
    """A copy of the loaded file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def change(self, *statements: str) -> None:
        """Runs statements on the loaded tables; each must change something, or the test would test nothing."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute(f"SET TimeZone = 'UTC'; SET schema = '{DATASET}'")
            for statement in statements:
                changed = connection.execute(statement).fetchone()
                assert changed is None or changed[0], statement

    def look(self, table: str) -> dict[str, Finding]:
        """What every check of a table finds."""
        with duckdb.connect(str(self.path)) as connection:
            loaded = Loaded(DuckDBWarehouse(connection), DATASET, NOON)
            return {check.name: check.find(loaded) for check in checks_of(table)}


@cache
def load_once() -> Path:
    """The loaded file, the same for all modules of a test run."""
    folder = Path(tempfile.mkdtemp(prefix="mode-dagster-loaded-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "mode_analytics.duckdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DESTINATION_TYPE", "duckdb")
        patch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(path))
        load_small(patch)
    return path


def load_small(patch: pytest.MonkeyPatch) -> None:
    """Loads the small sandbox into the destination that the environment names."""
    folder = tempfile.mkdtemp(prefix="mode-dagster-dlt-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    patch.setenv("DLT_DATA_DIR", folder)
    with serve(SMALL) as served:
        settings = Settings(
            **served.access,
            rate_limit_requests=100_000,
            query_run_days=0,
        )
        pipeline = mode_pipeline()
        with Sync(settings, pipeline=pipeline, clock=served.world.now) as sync:
            for info in load(pipeline, sync):
                info.raise_on_failed_jobs()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(Path(shutil.copy(load_once(), tmp_path / "mode_analytics.duckdb")))
