"""The catalogue as a dlt source: one resource per table.

Here: what dlt must know of a table (key, columns, how to merge).
Not here: where the rows come from (`sync`), where they go (`pipeline`).
"""

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common.schema.typing import TColumnSchema
from dlt.extract import DltResource

from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint
from mode_dagster.extract.sync import Sync


@dlt.source(name="mode_analytics_source", max_table_nesting=0)
def mode_analytics_source(sync: Any = None) -> Iterator[DltResource]:
    """Everything that Mode lists, one resource per table, merged on the key.

    Building it reads no settings and asks nothing.

    Args:
        sync: The `Sync` that fetches; None makes one from the settings when rows are first asked for.
    """
    sync = sync or Sync()
    for endpoint in ENDPOINTS:
        yield _resource(endpoint, sync)


def _resource(endpoint: Endpoint, sync: Sync) -> DltResource:
    def rows() -> Iterator[Any]:
        yield dlt.mark.materialize_table_schema()
        yield from sync.pages(endpoint.name, frozenset(dlt.current.source().selected_resources))

    return dlt.resource(
        rows,
        name=endpoint.name,
        primary_key=list(endpoint.key),
        write_disposition="merge",
        columns=column_hints(endpoint),
        file_format="parquet",
    )


def column_hints(endpoint: Endpoint) -> dict[str, TColumnSchema]:
    """Column hints for every documented column, so that it exists, with its type, before any value was met."""
    return {
        column.name: {
            "name": column.name,
            "data_type": column.data_type,
            "nullable": column.name not in endpoint.key,
            "description": column.description,
        }
        for column in endpoint.all_columns
    }
