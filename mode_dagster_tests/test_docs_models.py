"""docs/models.md is true: every query in it gives the answer that is printed below it.

The answers are those of the bundled sandbox at a fixed time, so they depend on no date.
`RENEW_DOCS=yes .venv/bin/pytest mode_dagster_tests/test_docs_models.py` writes them anew.
"""

import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.models import MODELS, run_model
from mode_dagster.references.tables import DESCRIBED, DESCRIPTIONS, answer_all, loaded_queries, write_tables
from mode_dagster.settings import SANDBOX, Settings
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
NOW = datetime(2026, 6, 17, 12, 20, tzinfo=UTC)
WEEK_BEFORE = NOW - timedelta(days=7)
ANSWERED = re.compile(r"```sql\n(?P<sql>.*?)```\n+```text\n(?P<answer>.*?)```", re.S)


@pytest.fixture
def models(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """All models of the bundled sandbox; its counters were looked at a week before, too."""
    sync(WEEK_BEFORE, "spaces", "reports", "report_stats")
    make(tmp_path, WEEK_BEFORE, "report_snapshots")
    sync(NOW)
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        queries = loaded_queries(DuckDBWarehouse(connection), Workspace())
        write_tables(DuckDBWarehouse(connection), Workspace(), queries, answer_all(queries, {}, NOW))
    make(tmp_path, NOW, *MODELS)
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def sync(now: datetime, *tables: str) -> None:
    pipeline = mode_pipeline()
    with Sync(Settings(base_url=SANDBOX), pipeline=pipeline, clock=lambda: now) as sync:
        for info in load(pipeline, sync, tables or None):
            info.raise_on_failed_jobs()


def make(folder: Path, now: datetime, *names: str) -> None:
    with duckdb.connect(str(folder / "mode_analytics.duckdb")) as connection:
        for name in names:
            run_model(DuckDBWarehouse(connection), MODELS[name], Workspace(), now)


def as_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns side by side, numbers to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, values)) for values in zip(columns, *cells, strict=True)]
    numbers = [any(isinstance(row[place], int | float) for row in rows) for place in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        padded = (
            value.rjust(width) if is_number else value.ljust(width)
            for value, width, is_number in zip(values, widths, numbers, strict=True)
        )
        return "  ".join(padded).rstrip()

    lines = [line(values) for values in (columns, *cells)]
    return "".join(f"{text}\n" for text in (lines if rows else [*lines, "(no rows)"]))


def cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.1f}".removesuffix(".0")
        case int():
            return f"{value:,}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


@pytest.mark.slow
def test_every_answer_on_the_page_is_what_the_query_gives(models):
    def answered(block: re.Match[str]) -> str:
        result = models.execute(block["sql"])
        columns = [column[0] for column in result.description]
        return f"```sql\n{block['sql']}```\n\n```text\n{as_text(columns, result.fetchall())}```"

    written = PAGE.read_text(encoding="utf-8")
    renewed = ANSWERED.sub(answered, written)
    if os.environ.get("RENEW_DOCS"):
        PAGE.write_text(renewed, encoding="utf-8")
    else:
        assert written == renewed, "RENEW_DOCS=yes .venv/bin/pytest mode_dagster_tests/test_docs_models.py"


@pytest.mark.parametrize("name", [*MODELS, *DESCRIBED])
def test_every_table_of_answers_is_on_the_page_with_its_question_and_a_query(name):
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert section, f"docs/models.md has no section {name}"
    told = MODELS[name].question if name in MODELS else DESCRIPTIONS[name]
    assert told in section[1].replace("\n", " ")
    block = ANSWERED.search(section[1])
    assert block, "a ```sql block with a ```text block below it"
    assert f"mode_marts.{name}" in block["sql"]
