"""The notebook runs from its first cell to its last, and says so in a sentence where it can't read."""

import runpy
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from mode_dagster.models import MODELS, run_model
from mode_dagster.references.tables import answer_all, loaded_queries, write_tables
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.known_rows import known_rows

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "explore.py"

# dlt 1.31 on duckdb 1.5
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")


def shown() -> str:
    """What the cells show."""
    outputs, _ = runpy.run_path(str(NOTEBOOK))["app"].run()
    return "\n".join(output.text for output in outputs if output is not None)


def run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_cell_shows_what_is_there(sandbox, load_from, tmp_path):
    load_from(sandbox, "reports", "runs", "queries", "data_sources")
    without_models = shown()
    assert "The last runs" in without_models
    assert without_models.count("Not everything is there yet") == 4

    now = datetime.now(UTC)
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        known_rows(connection)  # the tables that were not loaded, empty
        queries = loaded_queries(DuckDBWarehouse(connection), Workspace())
        write_tables(DuckDBWarehouse(connection), Workspace(), queries, answer_all(queries, {}, now))
        for model in MODELS.values():
            run_model(DuckDBWarehouse(connection), model, Workspace(), now)
    with_models = shown()
    assert "Not everything is there yet" not in with_models
    for heading in ("The last runs", "Health, day by day", "fail", "slow", "nobody uses", "most reports read"):
        assert heading in with_models, heading
    run(str(NOTEBOOK))


@pytest.mark.parametrize("is_there", [False, True], ids=["no file", "an empty file"])
def test_it_says_that_nothing_is_loaded(tmp_path, is_there):
    path = tmp_path / "mode_analytics.duckdb"
    if is_there:
        duckdb.connect(str(path)).close()
    said = shown()
    assert "Nothing is loaded" in said
    assert "Not everything" not in said
    assert path.exists() is is_there


def test_it_is_as_marimo_wants_it():
    run("-m", "marimo", "check", "--strict", str(NOTEBOOK))
