"""What assets need at run time: dlt as a resource, and the DuckDB file.

Here: dagster-dlt and dagster-duckdb, with their known faults of these versions worked around.
Not here: settings of Mode (`settings`), assets.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import duckdb
from dagster_dlt import DagsterDltResource
from dagster_duckdb import DuckDBResource
from dlt.common.schema import Schema

from mode_dagster.extract.pipeline import database_path


class ModeDltResource(DagsterDltResource):
    """dagster-dlt's resource, usable more than once in a process."""

    def _extract_table_schema_metadata(self, table_name: str, schema: Schema) -> dg.TableSchema:
        # dagster-dlt 0.29.27 takes keys off the live schema (dagster#34052); remove when that is fixed
        return super()._extract_table_schema_metadata(table_name, schema.clone())


class WarehouseResource(DuckDBResource):
    """The DuckDB file that the tables are in, for SQL assets of your own."""

    database: str = ""
    """The file; empty means the one that the tables are loaded into, as it is set when a connection is opened."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that closes whatever happens, so that the file is never left locked.

        dagster-duckdb 0.29.27 leaves it open when the body raises.
        """
        located = DuckDBResource(database=self.database or database_path(), connection_config=self.connection_config)
        with located.get_connection() as connection:
            try:
                yield connection
            finally:
                connection.close()
