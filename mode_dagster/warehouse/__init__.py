"""The loaded tables and the SQL models, wherever the destination keeps them, asked in DuckDB's SQL.

Here: opening the right `Warehouse`.
Not here: loading (`extract`), what is asked (`models`, `checks`). Dagster is not known here.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import duckdb
from dlt.common.exceptions import DltException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
from dlt.pipeline.pipeline import Pipeline

from mode_dagster.warehouse.duckdb_file import DuckDBWarehouse
from mode_dagster.warehouse.interface import MissingError, NoWarehouseError, Rows, Warehouse, WarehouseError

__all__ = [
    "DuckDBWarehouse",
    "MissingError",
    "NoWarehouseError",
    "Rows",
    "Warehouse",
    "WarehouseError",
    "is_made",
    "open_warehouse",
]

DUCKDB = ("duckdb", "motherduck")
"""Destinations that are DuckDB itself."""


def is_made(pipeline: Pipeline) -> bool:
    """Whether there is anything to be opened: a DuckDB file that is missing would be made by it."""
    file = pipeline.destination.config_params.get("credentials")
    return not isinstance(file, DuckDbCredentials) or Path(file.database).exists()


@contextmanager
def open_warehouse(pipeline: Pipeline) -> Iterator[Warehouse]:
    """The destination of a pipeline, as long as the context lasts.

    Raises:
        DestinationConnectionError: It can't be reached; dlt's words.
    """
    kind = pipeline.destination.destination_type.rpartition(".")[2]
    if kind == "filesystem":
        from mode_dagster.warehouse.files import FilesWarehouse  # pyarrow takes half a second to load

        if not pipeline.default_schema_name:
            pipeline.sync_destination()
        with pipeline.destination_client() as files, duckdb.connect() as connection:
            yield FilesWarehouse(pipeline, cast("Any", files), connection)
        return
    if kind in DUCKDB:
        with pipeline.sql_client() as client:
            yield DuckDBWarehouse(client.native_connection)
        return
    from mode_dagster.warehouse.server import ServerWarehouse  # the engines' libraries are extras

    with ExitStack() as stack:
        try:
            client = stack.enter_context(cast("Any", pipeline.sql_client()))
        except DltException:
            raise
        except Exception as error:  # each driver has its own
            raise DestinationConnectionError(kind, pipeline.dataset_name, str(error), error) from error
        yield ServerWarehouse(kind, client)
