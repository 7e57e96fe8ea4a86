"""From a DuckDB file to another destination, with the history kept: rows, marks, ledger and snapshots.

Here: reading the file as if it were Mode, so that dlt loads it like any sync.
Not here: where to (`extract.destination`), what is in the tables (`extract.source`).

After it, the next sync into the new destination asks Mode for what has changed since the last one into the file.
"""

# ruff: noqa: S608 - names are of the catalogue and of the models

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mode_dagster.extract.destination import database_path, destination_type, is_duckdb_file, load_options
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.extract.faults import errors_unwrapped
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.pipeline import make_file, no_other_sync, read_file
from mode_dagster.extract.rows import Row
from mode_dagster.extract.source import Reader, mode_analytics_source
from mode_dagster.models import MODELS
from mode_dagster.warehouse import DuckDBWarehouse, is_made, open_warehouse
from mode_dagster.warehouse.reload import loadable
from mode_dagster.workspace import Workspace

BATCH = 5_000
"""Rows that are held in memory at once."""


def move(file: Path, workspace: Workspace) -> Mapping[str, int]:
    """Copies everything that can't be fetched or computed again into the destination that is set; the file stays.

    Args:
        file: The DuckDB file that was loaded into so far.

    Returns:
        How many rows were copied, by table.

    Raises:
        ModeConfigError: The file is not there, is the destination itself or has nothing of this project, or the
            destination is not empty.
        WarehouseError: The file can't be read.
    """
    _refuse_the_same(file)
    pipeline = workspace.pipeline()
    with errors_unwrapped(), no_other_sync(pipeline), read_file(str(file)) as old:
        source = _LoadedFile(old, workspace.dataset)
        if LEDGER not in source.columns:
            raise ModeConfigError(
                f"Could not move anything: {file} has nothing that was loaded into {workspace.dataset}."
            )
        if not is_made(pipeline):
            make_file(database_path())
        # an empty destination makes dlt forget what it knows of the file: its tables, and what is still to be loaded
        pipeline.sync_destination()
        with open_warehouse(pipeline) as warehouse:
            _refuse_rows(warehouse.tables(workspace.dataset), workspace)
        tables = [table for table in BY_NAME if table in source.columns]
        pipeline.run(mode_analytics_source(source).with_resources(*tables, LEDGER), **load_options())
        with open_warehouse(pipeline) as warehouse:
            there = old.columns(workspace.marts)
            for name in (name for name, model in MODELS.items() if model.kept and name in there):
                rows = old.query(f"SELECT * FROM {workspace.marts}.{name}").by_name()
                warehouse.write(f"{workspace.marts}.{name}", there[name], rows)
                source.copied[name] = len(rows)
    return source.copied


class _LoadedFile(Reader):
    """What `extract.source` asks of a sync, answered from a file."""

    def __init__(self, warehouse: DuckDBWarehouse, dataset: str) -> None:
        self._warehouse = warehouse
        self._dataset = dataset
        self.columns = warehouse.columns(dataset)
        self.copied: dict[str, int] = {}

    def pages(self, name: str, selected: frozenset[str]) -> Iterator[list[Row] | None]:
        """A table's rows, in batches."""
        del selected
        yield from self._batches(name, f"SELECT * FROM {self._dataset}.{name}")

    def must_make(self, table: str, columns: Collection[str]) -> bool:
        """Everything is new where it is moved to."""
        del table, columns
        return True

    def ledger_rows(self, name: str, load_id: str) -> list[dict[str, Any]]:
        """What the ledger holds of a table, of completed loads."""
        del load_id
        complete = f"SELECT load_id FROM {self._dataset}._dlt_loads WHERE status = 0"
        lines = f"SELECT * FROM {self._dataset}.{LEDGER} WHERE endpoint = '{name}' AND _dlt_load_id IN ({complete})"
        return [row for batch in self._batches(LEDGER, lines) for row in batch]

    def _batches(self, table: str, sql: str) -> Iterator[list[dict[str, Any]]]:
        documents = {name for name, kind in self.columns[table].items() if kind == "JSON"}
        for batch in self._warehouse.batches(sql, BATCH):
            self.copied[table] = self.copied.get(table, 0) + len(batch.rows)
            yield [loadable(row, documents) for row in batch.by_name()]


def _refuse_the_same(file: Path) -> None:
    if not file.is_file():
        raise ModeConfigError(f"Could not move anything: there is no file {file}.")
    if is_duckdb_file() and Path(database_path()).resolve() == file.resolve():
        raise ModeConfigError(
            f"Could not move {file} into itself. Set the new destination first: DESTINATION_TYPE and its credentials "
            "(docs/destinations.md)."
        )


def _refuse_rows(tables: Collection[str], workspace: Workspace) -> None:
    if LEDGER in tables:
        raise ModeConfigError(
            f"Refused to move into {destination_type()}: {workspace.dataset} is already loaded there. "
            "Name an empty destination, or delete that schema."
        )
