"""How a table looks as an asset: key, lineage, group, columns.

Here: everything that Dagster shows of a table before it was ever loaded, taken from the catalogue.
Not here: loading (`assets`), what a load adds to the asset's page (`materialization`), names (`workspace`).

dagster-dlt's own translation hangs every table on a phantom root; here the lineage is Mode's.
"""

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData

from mode_dagster.extract import endpoints, ledger
from mode_dagster.extract.endpoints import BY_NAME, Column, Endpoint, Listing, Route
from mode_dagster.extract.ledger import LEDGER, LEDGER_COLUMNS, LEDGER_KEY, LEDGER_MEANING
from mode_dagster.freshness import HOURLY, LIMITS
from mode_dagster.workspace import Workspace


def documented_columns(table: str) -> dg.TableSchema:
    """The documented columns of a loaded table, with their types and meaning."""
    columns: Sequence[Column] = LEDGER_COLUMNS
    key: Sequence[str] = LEDGER_KEY
    if table != LEDGER:
        columns, key = BY_NAME[table].all_columns, BY_NAME[table].key
    return table_schema(((column.name, column.data_type, column.description) for column in columns), key)


def table_schema(columns: Iterable[tuple[str, str, str]], key: Collection[str] = ()) -> dg.TableSchema:
    """Columns by name, type and meaning, as an asset's page lists them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=kind,
                description=meaning,
                constraints=dg.TableColumnConstraints(nullable=name not in key),
            )
            for name, kind, meaning in columns
        ]
    )


LEDGER_GROUP = "mode_sync"
"""The ledger belongs to no family: it tells of the lists of all."""


@dataclass
class ModeTranslator(DagsterDltTranslator):
    """Table → asset spec."""

    workspace: Workspace = field(default_factory=Workspace)

    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        """The spec of the asset for one dlt resource of our source."""
        table = data.resource.name
        spec = super().get_asset_spec(data).replace_attributes(key=self.workspace.table_key(table), owners=[])
        spec = spec.merge_attributes(
            metadata={
                "dagster/column_schema": documented_columns(table),
                "dagster/table_name": f"{self.workspace.dataset}.{table}",
            }
        )
        if table == LEDGER:
            return spec.replace_attributes(
                deps=[],
                group_name=self.workspace.group_name or LEDGER_GROUP,
                description=LEDGER_MEANING,
                freshness_policy=HOURLY.policy,
            ).merge_attributes(metadata=code_reference(Path(ledger.__file__), 1))
        endpoint = BY_NAME[table]
        return spec.replace_attributes(
            deps=[self.workspace.table_key(above) for above in upstream(endpoint)],
            group_name=self.workspace.group(endpoint.family),
            description=_description(endpoint),
            freshness_policy=LIMITS[endpoint.family].policy,
        ).merge_attributes(
            metadata=code_reference(Path(endpoints.__file__), lines_of_endpoints()[table]),
            tags={"mode/family": endpoint.family.value, "mode/paging": _routes(endpoint)[0][1].pager.name.lower()},
        )


def upstream(endpoint: Endpoint) -> Sequence[str]:
    """The tables that an endpoint's rows hang on or point to."""
    return [*([endpoint.parent] if endpoint.parent else []), *endpoint.references]


def _description(endpoint: Endpoint) -> str:
    facts = "\n".join(f"- {fact}" for fact in how_it_is_read(endpoint))
    # the catalog shows the beginning on one line, so that words come first
    return f"{endpoint.description}\n\nHow it is read:\n\n{facts}"


def how_it_is_read(endpoint: Endpoint) -> Sequence[str]:
    """Which request fills a table, and when it is sent again; Markdown, a fact each."""
    routes = _routes(endpoint)
    whatever = len(routes) == 1 and endpoint.rest is not None
    return [*(_request(route, "" if whatever else f"`listing = {mode}`: ") for mode, route in routes), _when(endpoint)]


def _routes(endpoint: Endpoint) -> Sequence[tuple[Listing, Route]]:
    """The different routes, each under the first listing mode that takes it."""
    routes: list[tuple[Listing, Route]] = []
    for listing in Listing:
        route = endpoint.route(listing)
        if route is not None and all(route is not other for _, other in routes):
            routes.append((listing, route))
    return routes


def _request(route: Route, mode: str) -> str:
    return f"{mode}`GET {'/batch' if route.batch else '/api'}{route.path}`, paging: {route.pager}"


def _when(endpoint: Endpoint) -> str:
    if endpoint.version:
        return f"read again when its parent's {', '.join(f'`{name}`' for name in endpoint.version)} moves"
    return "read again after `reread_hours`" if endpoint.daily else "read in every sync"


@cache
def lines_of_endpoints() -> Mapping[str, int]:
    """Where each table stands in the catalogue."""
    source = Path(endpoints.__file__).read_text(encoding="utf-8")
    found = re.finditer(r'^\w+ = Endpoint\(\s+name="(\w+)"', source, flags=re.M)
    return {match[1]: source.count("\n", 0, match.start()) + 1 for match in found}


def code_reference(file: Path, line: int) -> Mapping[str, Any]:
    """Metadata that lets the asset's page open the code that it comes from; where that is, is known at load time."""
    with warnings.catch_warnings():
        # beta in dagster 1.13, and the only form that its UI shows
        warnings.simplefilter("ignore", dg.BetaWarning)
        found = dg.LocalFileCodeReference(file_path=str(file.resolve()), line_number=line, label=file.name)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[found])}
