"""The loaded tables and the SQL models, wherever the destination keeps them, asked in DuckDB's SQL.

Here: opening the right `Warehouse`.
Not here: loading (`extract`), what is asked (`models`, `checks`). Dagster is not known here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from dlt.pipeline.pipeline import Pipeline

from mode_dagster.warehouse.base import MissingError, NoWarehouseError, Rows, Warehouse, WarehouseError
from mode_dagster.warehouse.duckdb_file import DuckDBWarehouse, duckdb_errors

__all__ = [
    "DuckDBWarehouse",
    "MissingError",
    "NoWarehouseError",
    "Rows",
    "Warehouse",
    "WarehouseError",
    "duckdb_errors",
    "open_warehouse",
]

DUCKDB = ("duckdb", "motherduck")
"""Destinations that are DuckDB itself."""


@contextmanager
def open_warehouse(pipeline: Pipeline) -> Iterator[Warehouse]:
    """The destination of a pipeline, as long as the context lasts.

    Raises:
        DestinationConnectionError: It can't be reached; dlt's words.
    """
    kind = pipeline.destination.destination_type.rpartition(".")[2]
    with pipeline.sql_client() as client:
        if kind in DUCKDB:
            yield DuckDBWarehouse(client.native_connection)
        else:
            from mode_dagster.warehouse.server import ServerWarehouse  # its engines' libraries are extras

            yield ServerWarehouse(kind, client)
