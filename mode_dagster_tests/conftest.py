"""A clean machine for every test: own folder, own dlt home, no settings, no network beyond loopback."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# dlt looks for .dlt/ when it is first imported: an empty folder keeps the project's own config out of the tests
os.environ["DLT_PROJECT_DIR"] = tempfile.mkdtemp(prefix="mode-dagster-tests-")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # `pytest … &` in a script: the programs that the tests start would not hear Ctrl-C either
    signal.signal(signal.SIGINT, signal.default_int_handler)

import duckdb
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from mode_dagster.extract.endpoints import BY_NAME, Listing
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Sandbox, SandboxOptions, serve
from mode_dagster.settings import ENV_PREFIX, Settings

pytest_plugins = ["mode_dagster_tests.living"]

NOON = datetime(2026, 6, 17, 12, 20, tzinfo=UTC)
SMALL = SandboxOptions(reports=12, spaces=4, days=10, rate_limit_requests=100_000, clock=lambda: NOON)


@pytest.fixture(autouse=True)
def clean_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith((ENV_PREFIX, "DESTINATION_", "DAGSTER_HOME")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "mode_analytics.duckdb"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "3")
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.01")
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small workspace whose clock stands still."""
    with serve(SMALL) as served:
        yield served


@pytest.fixture
def flat_sandbox() -> Iterator[Sandbox]:
    """The same one, answering the flat lists too."""
    with serve(replace(SMALL, flat=True)) as served:
        yield served


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Points the environment, as a user would, and a Settings object at a sandbox."""

    def point(served: Sandbox, listing: Listing = Listing.COLLECTIONS, **more: object) -> Settings:
        values = {
            **served.access,
            "listing": listing,
            "rate_limit_requests": 100_000,
            "query_run_days": 0,
            **more,
        }
        for name, value in values.items():
            monkeypatch.setenv(ENV_PREFIX + name.upper(), str(value))
        return Settings(**values)

    return point


@pytest.fixture
def load_from(reads: Callable[..., Settings]) -> Callable[..., Sync]:
    """Loads tables (all without any) of a sandbox at the sandbox's own time, as `python -m mode_dagster.extract`."""

    def run(served: Sandbox, *tables: str, listing: Listing = Listing.COLLECTIONS, **options: Any) -> Sync:
        how = {name: options.pop(name) for name in ("reconcile", "accept_shrunk", "isolate") if name in options}
        settings = reads(served, listing, **options)
        pipeline = mode_pipeline()
        with Sync(settings, pipeline=pipeline, clock=lambda: served.world.now(), **how) as sync:
            for info in load(pipeline, sync, tables or None):
                info.raise_on_failed_jobs()
            return sync

    return run


@pytest.fixture
def dlt_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes `.dlt/<name>.toml` of a project and has dlt read them again."""
    context = Container()[PluggableRunContext]

    def write(**files: str) -> None:
        (tmp_path / ".dlt").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / ".dlt" / f"{name}.toml").write_text(text)
        context.reload(str(tmp_path))

    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    yield write
    monkeypatch.undo()
    context.reload()


@pytest.fixture
def query(tmp_path: Path) -> Callable[[str], list[tuple]]:
    """Rows of an SQL query on the loaded file."""

    def run(sql: str) -> list[tuple]:
        with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
            return connection.execute(sql).fetchall()

    return run


@pytest.fixture
def keys(query: Callable[[str], list[tuple]]) -> Callable[[str], list]:
    """The keys of a loaded table, with repetition, in the form of the sandbox's truth."""

    def run(table: str) -> list:
        columns = BY_NAME[table].key
        rows = query(f"SELECT {', '.join(columns)} FROM mode_analytics_data.{table}")
        return [row[0] for row in rows] if len(columns) == 1 else rows

    return run
