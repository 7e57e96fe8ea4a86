"""The warehouse's tables that Mode reads as external assets, upstream of `mode/queries`. Off unless asked for.

Here: from the loaded references to specs, and to the lineage of `mode/queries`.
Not here: finding the references (`tables`).

What is known at load time is what the last run wrote. The file is only opened for a moment and only for reading, and a
location loads without it: nothing loaded yet, or a file that another program has open, means no external assets.
"""

import logging
from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from mode_dagster.extract.errors import ModeError, first_line
from mode_dagster.references.tables import TABLES
from mode_dagster.warehouse import WarehouseError
from mode_dagster.workspace import Workspace

KeyOf = Callable[[str | None, str | None, str], Sequence[str]]
"""From database, schema and table to an asset key; names are in the case in which the database keeps them.

An empty key leaves the table out.
"""

logger = logging.getLogger(__name__)


def by_pattern(pattern: str) -> KeyOf:
    """Keys after a pattern such as `{schema}/{table}`, in lower case; parts that are not known are left out."""

    def key(database: str | None, schema: str | None, table: str) -> Sequence[str]:
        made = pattern.format(database=database or "", schema=schema or "", table=table)
        return [part.lower() for part in made.split("/") if part]

    return key


def build_external_tables(workspace: Workspace, key: KeyOf) -> list[dg.AssetSpec]:
    """The tables that Mode's queries read, as specs of assets that something else makes.

    A spec whose key an asset of the same code location has must not be given to its Definitions; for
    `with_external_tables` it is right.

    Args:
        key: Which asset a table is, to meet those of dbt or ingestion: for example
            `lambda database, schema, table: [schema.lower(), table.lower()]`. Tables with the same key become one.
    """
    found: dict[dg.AssetKey, dg.AssetSpec] = {}
    for warehouse, database, schema, table, queries, reports in _read_tables(workspace):
        parts = key(database, schema, table)
        if parts and (asset := dg.AssetKey(list(parts))) not in found:
            found[asset] = dg.AssetSpec(
                asset,
                description=f"Read by {queries:,} queries of {reports:,} reports in Mode, from {warehouse}.",
                kinds={warehouse.partition("://")[0]},
                metadata={"dagster/table_name": ".".join(filter(None, (database, schema, table)))},
            )
    return list(found.values())


def with_external_tables(
    assets: dg.AssetsDefinition, workspace: Workspace, tables: Sequence[dg.AssetSpec]
) -> dg.AssetsDefinition:
    """The loaded tables' definition with `mode/queries` downstream of the warehouse's tables.

    Args:
        assets: What `mode_dagster.assets.build_assets` gives.
        tables: What `build_external_tables` gives.
    """
    if not tables:
        return assets
    queries, keys = workspace.table_key("queries"), [table.key for table in tables]
    return assets.map_asset_specs(lambda spec: spec.merge_attributes(deps=keys) if spec.key == queries else spec)


def _read_tables(workspace: Workspace) -> Iterator[tuple[str, str | None, str | None, str, int, int]]:
    try:
        with workspace.read() as warehouse:
            yield from warehouse.query(f"""
                SELECT warehouse, database_name, schema_name, table_name, count(DISTINCT query_token) AS queries,
                  count(DISTINCT report_token) AS reports
                FROM {workspace.marts}.{TABLES}
                WHERE kind = 'read' AND NOT is_guessed
                GROUP BY warehouse, database_name, schema_name, table_name
                ORDER BY warehouse, database_name, schema_name, table_name
            """).rows  # noqa: S608 - names of this project
    except (WarehouseError, ModeError) as error:
        logger.warning("No external tables of %s this time: %s", workspace.marts, first_line(error))
