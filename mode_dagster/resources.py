"""What assets need at run time: dlt as a resource, and the tables.

Here: dagster-dlt and dagster-duckdb, with their known faults of these versions worked around, and the destination.
Not here: settings of Mode (`settings`), assets, how a destination is asked (`warehouse`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import duckdb
from dagster_dlt import DagsterDltResource
from dagster_duckdb import DuckDBResource

from mode_dagster.extract.destination import database_path, destination_type, is_duckdb_file
from mode_dagster.extract.pipeline import make_file
from mode_dagster.warehouse import DuckDBWarehouse, Warehouse, open_warehouse
from mode_dagster.workspace import Workspace


class ModeDltResource(DagsterDltResource):
    """dagster-dlt's resource without its metadata, in whose place are those of `materialization`.

    dagster-dlt 0.29.27 reads the whole schema again for each table of each load, which takes a fifth of a run in which
    nothing is new, and takes keys off the live schema (dagster#34052).
    """

    def extract_resource_metadata(self, *_: Any, **__: Any) -> Mapping[str, Any]:
        """Nothing."""
        return {}


class ModeDuckDBResource(DuckDBResource):
    """The DuckDB file that the tables are in, for SQL assets of your own."""

    database: str = ""
    """The file; empty means the one that the tables are loaded into, as it is set when a connection is opened."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that closes whatever happens, so that the file is never left locked.

        dagster-duckdb 0.29.27 leaves it open when the body raises.

        Raises:
            dagster.Failure: The tables are not in a DuckDB file.
        """
        if not self.database and not is_duckdb_file():
            raise dg.Failure(
                f"Could not open a DuckDB file: the tables are in {destination_type()}. "
                "Use the resource mode_warehouse, or that destination's own.",
                allow_retries=False,
            )
        if not self.database:
            make_file(database_path())  # else the first sync would find one with DuckDB's large blocks
        located = DuckDBResource(database=self.database or database_path(), connection_config=self.connection_config)
        with located.get_connection() as connection:
            try:
                yield connection
            finally:
                connection.close()


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """The tables, in whichever destination is set."""

    @contextmanager
    def open(self, workspace: Workspace) -> Iterator[Warehouse]:
        """The destination with the tables of a workspace, as long as the context lasts."""
        if is_duckdb_file():
            with ModeDuckDBResource().get_connection() as connection:
                yield DuckDBWarehouse(connection)
        else:
            with open_warehouse(workspace.pipeline()) as warehouse:
                yield warehouse
