"""What a load adds to the page of each asset: numbers, and whether all is there.

Here: from a sync's tallies and the loaded tables to Dagster metadata, and back from Dagster's event log.
Not here: loading (`assets`), looking into the tables (`contents`), what is known before a load (`translator`).

Numbers show as plots over time under "Plots" of the asset's page; `mode-dagster loaded` shows some of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import dagster as dg
from dlt.pipeline.pipeline import Pipeline

from mode_dagster.contents import Contents
from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.sync import Sync
from mode_dagster.extract.tally import Tally
from mode_dagster.markdown import markdown_table
from mode_dagster.settings import Settings
from mode_dagster.translator import documented_columns
from mode_dagster.wording import words
from mode_dagster.workspace import Workspace

FAILED = "failed_tables"
"""Metadata of the ledger: what stopped each table that could not be read in that sync."""
TABLE_FACTS = ("table", "fetched", "requests", "lists read", "unchanged", "note")
MODE = "mode.com"
SHORTEST = 0.1
"""Seconds; a rate over less tells nothing."""


def load_metadata(pipeline: Pipeline, table: str, sync: Sync, contents: Contents) -> Mapping[str, Any]:
    """Metadata of one materialization."""
    tally = sync.tallies[table]
    metadata = {
        "completeness": dg.MetadataValue.md(completeness(tally)),
        **_stored(pipeline, table, contents),
        "dagster/column_schema": _real_columns(table, contents),
        **_effort(tally.requests, tally.seconds),
        "rows_fetched": tally.rows,
        "lists_read": tally.lists,
        "lists_unchanged": tally.unchanged,
        "lists_known_empty": tally.empty,
        "lists_refused": tally.skipped.total(),
        "lists_failed": tally.failed,
        **page_in_mode(sync.settings),
    }
    if sync.plan is not None:
        metadata["plan"] = str(sync.plan)
    if tally.counted is not None:
        metadata["rows_by_mode_counter"] = tally.counted
        metadata["rows_of_counted_lists"] = tally.counted_rows
    if tally.missed:
        metadata["rows_missed_before"] = tally.missed
    if tally.skipped:
        metadata["refused_by_status"] = tally.refused
    if note := tally.unread or tally.note:
        metadata["note"] = note
    return metadata


def ledger_metadata(pipeline: Pipeline, sync: Sync, contents: Contents, seconds: float) -> Mapping[str, Any]:
    """Metadata of the ledger's materialization: the sync as a whole.

    Args:
        seconds: How long it took, loading included.
    """
    failed = {FAILED: {table: str(error) for table, error in sync.failures.items()}} if sync.failures else {}
    return {
        **failed,
        "tables": dg.MetadataValue.md(markdown_table(TABLE_FACTS, [_facts(*item) for item in sync.tallies.items()])),
        **_stored(pipeline, LEDGER, contents),
        "dagster/column_schema": documented_columns(LEDGER),
        **_effort(sync.requests, seconds),
        "refused_429": sync.client.adapter.refused,
        "plan": str(sync.plan),
        **page_in_mode(sync.settings),
    }


def last_loads(workspace: Workspace) -> Mapping[str, Mapping[str, Any]]:
    """Metadata of the latest materialization of each table that has one, in the catalogue's order.

    A key prefix of somebody else's project is not known here.
    """
    with dg.DagsterInstance.get() as instance:
        tables = [endpoint.name for endpoint in ENDPOINTS]
        events = {table: instance.get_latest_materialization_event(workspace.table_key(table)) for table in tables}
    return {
        table: {name: value.value for name, value in event.asset_materialization.metadata.items()}
        for table, event in events.items()
        if event is not None and event.asset_materialization is not None
    }


def completeness(tally: Tally) -> str:
    """Whether all is there, and how that is known; Markdown."""
    lists = [
        f"{words(tally.lists, 'list')} read to the end",
        f"{tally.unchanged:,} unchanged since the last load" if tally.unchanged else "",
        f"{tally.empty:,} empty by Mode's counter" if tally.empty else "",
        f"{tally.skipped.total():,} refused by Mode ({tally.refused})" if tally.skipped else "",
    ]
    missed = f"{words(tally.missed, 'row')} had been missed by earlier loads" if tally.missed else ""
    facts = [", ".join(filter(None, lists)), _counted(tally), missed, tally.unread, tally.note]
    return "\n".join(f"- {fact}" for fact in facts if fact)


def _counted(tally: Tally) -> str:
    if tally.counted is None:
        return ""
    verdict = "the same" if tally.counted == tally.counted_rows else f"**{tally.counted_rows:,} were read**"
    return f"Mode's counters say {words(tally.counted, 'row')} for the lists that have one: {verdict}"


def _stored(pipeline: Pipeline, table: str, contents: Contents) -> Mapping[str, Any]:
    """What the table holds now."""
    metadata = {
        "dagster/row_count": contents.rows,
        "dagster/table_name": f"{pipeline.dataset_name}.{table}",
        "sample": dg.MetadataValue.md(markdown_table(contents.columns, contents.sample)),
    }
    if contents.live is not None:
        metadata |= {"rows_live": contents.live, "rows_deleted": contents.rows - contents.live}
    return metadata


def _effort(requests: int, seconds: float) -> Mapping[str, Any]:
    rate = {"requests_per_second": round(requests / seconds, 1)} if seconds >= SHORTEST else {}
    return {"requests": requests, "seconds": round(seconds, 2), **rate}


def page_in_mode(settings: Settings) -> Mapping[str, Any]:
    """The workspace in Mode's app; nothing where something else answers in Mode's place."""
    host = urlsplit(settings.base_url).hostname or ""
    if host != MODE and not host.endswith(f".{MODE}"):
        return {}
    return {"workspace_in_mode": dg.MetadataValue.url(f"https://{host}/{quote(settings.workspace)}")}


def _facts(table: str, tally: Tally) -> Sequence[Any]:
    found = tally.error or tally.note or tally.refused
    return (table, tally.rows, tally.requests, tally.lists, tally.unchanged, found)


def _real_columns(table: str, contents: Contents) -> dg.TableSchema:
    """The documented columns and whatever else Mode sent, as they are in the destination."""
    documented = documented_columns(table)
    known = {column.name for column in documented.columns}
    others = [
        dg.TableColumn(name=name, type=str(column.get("data_type")), description="Not documented by Mode.")
        for name, column in contents.described.items()
        if name not in known and not name.startswith("_dlt_")
    ]
    return dg.TableSchema(columns=[*documented.columns, *others])
