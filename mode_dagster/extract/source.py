"""The catalogue as a dlt source: one resource per table.

Here: what dlt must know of a table (key, columns, how to merge), and the ledger beside its rows.
Not here: where the rows come from (`sync`), where they go (`pipeline`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import dlt
from dlt.common.schema.typing import TColumnSchema, TSimpleRegex
from dlt.common.schema.utils import new_table
from dlt.extract import DltResource

from mode_dagster.extract.endpoints import ENDPOINTS, Column, Endpoint
from mode_dagster.extract.ledger import LEDGER, LEDGER_COLUMNS, LEDGER_KEY
from mode_dagster.extract.rows import Row
from mode_dagster.extract.sync import Sync


@dlt.source(name="mode_analytics_source", max_table_nesting=0)
def mode_analytics_source(sync: Any = None) -> Iterator[DltResource]:
    """Everything that Mode lists, one resource per table, merged on the key.

    Building it reads no settings and asks nothing.

    Args:
        sync: The `Sync` that fetches, or another `Reader`; None makes a sync, from the settings and what the running
            pipeline has loaded before, when rows are first asked for.
    """

    @cache
    def reader() -> Reader:
        return sync if sync is not None else Sync(pipeline=dlt.current.pipeline())

    @cache
    def is_files() -> bool:
        # once, for dlt 1.31 resolves the pipeline's configuration each time: a twentieth of a small first load
        return dlt.current.pipeline().destination.destination_type.endswith(".filesystem")

    schema = dlt.current.source_schema()
    # by name and not by the first value: dlt 1.31 fails where a column that it took for times meets something else
    schema.remove_type_detection("iso_timestamp")
    schema.update_preferred_types({TSimpleRegex("re:_at$"): "timestamp"}, normalize_identifiers=False)
    for endpoint in ENDPOINTS:
        # in the schema and not in the resource's hints: the ledger's hints would inherit them
        schema.update_table(new_table(endpoint.name, columns=column_hints(endpoint.all_columns, endpoint.key)))
        yield _resource(endpoint, reader, is_files)
    schema.update_table(new_table(LEDGER, columns=column_hints(LEDGER_COLUMNS, LEDGER_KEY)))
    yield _ledger(reader, is_files)


class Reader(Protocol):
    """What gives the rows: a `Sync`, or what stands in for one."""

    def pages(self, name: str, selected: frozenset[str]) -> Iterator[list[Row] | None]:
        """The rows of a table, list by list."""

    def ledger_rows(self, name: str, load_id: str) -> list[dict[str, Any]]:
        """What the ledger is to note of them."""

    def must_make(self, table: str, columns: Collection[str]) -> bool:
        """Whether the destination may lack the table, or one of its columns."""


def _resource(endpoint: Endpoint, reader: Callable[[], Reader], is_files: Callable[[], bool]) -> DltResource:
    def rows() -> Iterator[Any]:
        yield from _new_table(reader(), is_files, endpoint.name, endpoint.all_columns)
        selected = frozenset(dlt.current.source().selected_resources) - {LEDGER}
        yield from reader().pages(endpoint.name, selected)
        # beside the rows and not in a resource of its own: they are loaded together or not at all
        if lines := reader().ledger_rows(endpoint.name, dlt.current.load_package_state()["load_id"]):
            yield dlt.mark.with_hints(lines, _ledger_hints(), create_table_variant=True)

    return dlt.resource(
        rows,
        name=endpoint.name,
        primary_key=list(endpoint.key),
        write_disposition="merge",
    )


def _new_table(reader: Reader, is_files: Callable[[], bool], table: str, columns: Sequence[Column]) -> Iterator[Any]:
    """Makes dlt create a table, or add columns to it, before there are any rows.

    A table that is as documented gets none of it: an empty file takes as long to load as a full one. On files there is
    no need for it, for a table is known by the schema; dlt 1.31 would write an empty file, and fails on it with Delta.
    """
    if reader.must_make(table, [column.name for column in columns]) and not is_files():
        yield dlt.mark.materialize_table_schema()


def _ledger(reader: Callable[[], Reader], is_files: Callable[[], bool]) -> DltResource:
    """The ledger as a table of its own; its rows come beside those of the tables."""

    def rows() -> Iterator[Any]:
        yield from _new_table(reader(), is_files, LEDGER, LEDGER_COLUMNS)

    return dlt.resource(rows, name=LEDGER, primary_key=list(LEDGER_KEY), write_disposition="merge")


def _ledger_hints() -> Any:
    return dlt.mark.make_hints(
        table_name=LEDGER,
        primary_key=list(LEDGER_KEY),
        write_disposition="merge",
        columns=column_hints(LEDGER_COLUMNS, LEDGER_KEY),
    )


def column_hints(columns: Iterable[Column], key: Iterable[str]) -> list[TColumnSchema]:
    """Column hints, so that each column exists, with its type, before any value was met."""
    keys = set(key)
    return [
        {
            "name": column.name,
            "data_type": column.data_type,
            "nullable": column.name not in keys,
            "description": column.description,
        }
        for column in columns
    ]
