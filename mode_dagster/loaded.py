"""What the last load of each table brought, read back from Dagster's event log.

Here: `mode-dagster loaded`.
Not here: what is recorded (`materialization`).
"""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.pipeline import database_path, destination_type
from mode_dagster.workspace import Workspace


@dataclass(frozen=True)
class Load:
    """The latest materialization of one table."""

    table: str
    rows: int
    fetched: int
    requests: int
    seconds: float
    note: str


def last_loads(workspace: Workspace) -> list[Load]:
    """The latest materialization of every table that has one, in the catalogue's order.

    A key prefix of somebody else's project is not known here.
    """
    loads = []
    with dg.DagsterInstance.get() as instance:
        for endpoint in ENDPOINTS:
            event = instance.get_latest_materialization_event(workspace.table_key(endpoint.name))
            if event is None or event.asset_materialization is None:
                continue
            found = {name: value.value for name, value in event.asset_materialization.metadata.items()}
            loads.append(_load(endpoint.name, found))
    return loads


def destination() -> str:
    """Where the tables go now, in words."""
    kind = destination_type()
    return f"DuckDB file: {database_path()}" if kind == "duckdb" else f"Destination: {kind}"


def _load(table: str, found: dict[str, Any]) -> Load:
    notes = [str(found[name]) for name in ("note", "refused_by_status") if found.get(name)]
    return Load(
        table=table,
        rows=int(found.get("dagster/row_count") or 0),
        fetched=int(found.get("rows_fetched") or 0),
        requests=int(found.get("requests") or 0),
        seconds=float(found.get("seconds") or 0),
        note="; ".join(notes),
    )
