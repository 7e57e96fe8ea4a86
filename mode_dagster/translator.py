"""How a table looks as an asset: key, lineage, group, columns.

Here: everything that Dagster shows of a table before it was ever loaded, taken from the catalogue.
Not here: loading (`assets`), what a load adds to the asset's page (`materialization`), names (`workspace`).

dagster-dlt's own translation hangs every table on a phantom root; here the lineage is Mode's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData

from mode_dagster.extract.endpoints import BY_NAME, Column, Endpoint
from mode_dagster.extract.ledger import LEDGER, LEDGER_COLUMNS, LEDGER_KEY, LEDGER_MEANING
from mode_dagster.workspace import Workspace


def column_schema(columns: Iterable[Column], key: Sequence[str]) -> dg.TableSchema:
    """The documented columns with their types and meaning."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.data_type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.name not in key),
            )
            for column in columns
        ]
    )


def documented_columns(table: str) -> dg.TableSchema:
    """The documented columns of a loaded table."""
    if table == LEDGER:
        return column_schema(LEDGER_COLUMNS, LEDGER_KEY)
    return column_schema(BY_NAME[table].all_columns, BY_NAME[table].key)


@dataclass
class ModeTranslator(DagsterDltTranslator):
    """Table → asset spec."""

    workspace: Workspace = field(default_factory=Workspace)

    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        """The spec of the asset for one dlt resource of our source."""
        table = data.resource.name
        metadata: dict[str, Any] = {
            "dagster/column_schema": documented_columns(table),
            "dagster/table_name": f"{self.workspace.dataset}.{table}",
        }
        spec = super().get_asset_spec(data)
        if table == LEDGER:
            return self._ledger(spec, metadata)
        endpoint = BY_NAME[table]
        routes = [route for route in (endpoint.rest, endpoint.discovery) if route is not None]
        return spec.replace_attributes(
            key=self.workspace.table_key(table),
            deps=[self.workspace.table_key(above) for above in upstream(endpoint)],
            group_name=self.workspace.group(endpoint.family),
            description=endpoint.description,
            owners=[],
        ).merge_attributes(metadata={**metadata, "mode/path": f"GET {routes[0].path}"})

    def _ledger(self, spec: dg.AssetSpec, metadata: dict[str, Any]) -> dg.AssetSpec:
        return spec.replace_attributes(
            key=self.workspace.table_key(LEDGER),
            deps=[],
            group_name=self.workspace.group(),
            description=LEDGER_MEANING,
            owners=[],
        ).merge_attributes(metadata=metadata)


def upstream(endpoint: Endpoint) -> Sequence[str]:
    """The tables that an endpoint's rows hang on or point to."""
    return [*([endpoint.parent] if endpoint.parent else []), *endpoint.references]
