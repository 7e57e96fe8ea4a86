"""How an endpoint looks as an asset: key, lineage, group, columns.

Here: everything that Dagster shows of a table before it was ever loaded, taken from the catalogue.
Not here: loading (`assets`), what a load adds to the asset's page (`materialization`).

dagster-dlt's own translation hangs every table on a phantom root; here the lineage is Mode's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData

from mode_dagster.extract.endpoints import BY_NAME, Endpoint

KEY_PREFIX = "mode"


def asset_key(table: str) -> dg.AssetKey:
    """The asset of a table: `mode/<table>`."""
    return dg.AssetKey([KEY_PREFIX, table])


def column_schema(endpoint: Endpoint) -> dg.TableSchema:
    """The documented columns with their types and meaning."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.data_type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.name not in endpoint.key),
            )
            for column in endpoint.all_columns
        ]
    )


@dataclass
class ModeTranslator(DagsterDltTranslator):
    """Endpoint of the catalogue → asset spec."""

    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        """The spec of the asset for one dlt resource of our source."""
        endpoint = BY_NAME[data.resource.name]
        metadata: dict[str, Any] = {"dagster/column_schema": column_schema(endpoint)}
        if data.pipeline is not None:
            metadata["dagster/table_name"] = f"{data.pipeline.dataset_name}.{endpoint.name}"
        routes = [route for route in (endpoint.rest, endpoint.discovery) if route is not None]
        return (
            super()
            .get_asset_spec(data)
            .replace_attributes(
                key=asset_key(endpoint.name),
                deps=[asset_key(table) for table in upstream(endpoint)],
                group_name=endpoint.family.value,
                description=endpoint.description,
                owners=[],
            )
            .merge_attributes(metadata={**metadata, "mode/path": f"GET {routes[0].path}"})
        )


def upstream(endpoint: Endpoint) -> Sequence[str]:
    """The tables that an endpoint's rows hang on or point to."""
    return [*([endpoint.parent] if endpoint.parent else []), *endpoint.references]
