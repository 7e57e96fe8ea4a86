"""What the destination holds, as far as a sync must know it; and the marks on what is gone.

Here: all SQL on the loaded tables.
Not here: what follows from it (`ledger`, `sync`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dlt.common.json import json
from dlt.destinations.sql_client import SqlClientBase
from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, FINISHED, Endpoint, Listing
from mode_dagster.extract.ledger import COMPLETE, EMPTY, LEDGER, Entry, Values, is_listing

STUCK = timedelta(days=7)
"""A run that has not finished after so long never will; it is not looked at again."""


class Stored:
    """Reads the destination; without a pipeline there is nothing stored."""

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self._pipeline = pipeline
        self._columns: dict[str, set[str]] = defaultdict(set)
        self.workspaces: set[str] = set()
        self._ledger: dict[str, dict[str, Entry]] = defaultdict(dict)
        if pipeline is not None:
            with pipeline.sql_client() as client:
                self._look(client)

    def __contains__(self, table: str) -> bool:
        """Whether the table is there and a list of it was read to its end."""
        return table in self._columns and bool(self._ledger[table])

    def entry(self, endpoint: Endpoint, parent: str) -> Entry | None:
        """What the ledger holds of one list; only lists whose load was completed count."""
        return self._ledger[endpoint.name].get(parent)

    def read_at(self, table: str) -> datetime | None:
        """When a list of the table was last read."""
        return max((entry.read_at for entry in self._ledger[table].values()), default=None)

    def rows(self, endpoint: Endpoint, wanted: Iterable[str]) -> list[Values]:
        """The rows that are not gone, as their children need them: `<noun>_token` and the columns that are there."""
        columns = sorted(set(wanted) & self._columns[endpoint.name] - {"token"})
        return self._values(endpoint, columns, self._live(endpoint))

    def runs_without_query_runs(self, since: datetime | None) -> list[Values]:
        """Finished runs, created after `since`, whose query runs were not read since they finished."""
        unread = [f"state IN ({_texts(FINISHED)})"]
        if since is not None:
            unread.append(f"created_at >= {_text(since.isoformat())}")
        runs = self._values(BY_NAME["runs"], ["created_at", "report_token", "state"], f"WHERE {' AND '.join(unread)}")
        read = self._ledger["query_runs"]
        return [
            run
            for run in runs
            if (entry := read.get(run["run_token"])) is None or entry.version.get("state") != run["state"]
        ]

    def newest_finished(self, endpoint: Endpoint) -> Mapping[str, str]:
        """Of each report (or dataset), the newest run that is stored and will not change any more."""
        (parent,) = endpoint.list_columns
        newest = f"row_number() OVER (PARTITION BY {parent} ORDER BY created_at DESC, token) AS place"
        finished = f"SELECT {parent}, token, {newest} FROM {{0}} WHERE state IN ({_texts(FINISHED)})"  # noqa: S608
        return dict(self._query(f"SELECT {parent}, token FROM ({finished}) t WHERE place = 1", endpoint.name))  # noqa: S608

    def unfinished(self, endpoint: Endpoint, now: datetime) -> Mapping[str, set[str]]:
        """Of each report (or dataset), the stored runs that had not finished and still may."""
        (parent,) = endpoint.list_columns
        recent = f"created_at >= {_text((now - STUCK).isoformat())} AND state NOT IN ({_texts(FINISHED)})"
        found: dict[str, set[str]] = defaultdict(set)
        for key, token in self._query(f"SELECT {parent}, token FROM {{0}} WHERE {recent}", endpoint.name):  # noqa: S608
            found[key].add(token)
        return found

    def newest_audit_log(self) -> datetime | None:
        """When the newest event that is stored happened, by Mode's clock."""
        ((newest,),) = self._query("SELECT max(timestamp) FROM {0}", "audit_logs") or [(None,)]
        return newest.astimezone(UTC) if newest else None

    def counts(self, endpoint: Endpoint, column: str) -> Mapping[str, int]:
        """How many rows that are not gone each parent has; without a column, how many the table has."""
        parent = column or "''"
        sql = f"SELECT {parent}, count(*) FROM {{0}} {self._live(endpoint)} GROUP BY 1"  # noqa: S608
        return {key: int(count) for key, count in self._query(sql, endpoint.name)}

    def _live(self, endpoint: Endpoint) -> str:
        return "WHERE deleted_at IS NULL" if "deleted_at" in self._columns[endpoint.name] else ""

    def _values(self, endpoint: Endpoint, columns: list[str], where: str) -> list[Values]:
        sql = f"SELECT {', '.join(['token', *columns])} FROM {{0}} {where}"  # noqa: S608
        names = [f"{endpoint.noun}_token", *columns]
        return [dict(zip(names, row, strict=True)) for row in self._query(sql, endpoint.name)]

    def _query(self, sql: str, table: str) -> list[tuple[Any, ...]]:
        if self._pipeline is None or table not in self:
            return []
        with self._pipeline.sql_client() as client:
            return [tuple(row) for row in client.execute_sql(sql.format(client.make_qualified_table_name(table))) or []]

    def _look(self, client: SqlClientBase[Any]) -> None:
        self._columns.update(columns_of(client))
        if not {LEDGER, "_dlt_loads"} <= self._columns.keys():
            return
        ledger, loads = (client.make_qualified_table_name(name) for name in (LEDGER, "_dlt_loads"))
        complete = client.execute_sql(
            f"SELECT l.endpoint, l.parent, l.workspace, l.version, l.outcome, l.read_at FROM {ledger} l "  # noqa: S608
            f"JOIN {loads} d ON d.load_id = l._dlt_load_id WHERE d.status = 0"
        )
        for endpoint, parent, workspace, version, outcome, read_at in complete or []:
            self.workspaces.add(workspace)
            version = json.loads(version) if isinstance(version, str) else version
            moment = read_at.replace(tzinfo=read_at.tzinfo or UTC)
            self._ledger[endpoint][parent] = Entry(version or {}, outcome, moment)


def columns_of(client: SqlClientBase[Any]) -> dict[str, set[str]]:
    """The tables of the dataset and their columns, as they are in the destination."""
    found: dict[str, set[str]] = defaultdict(set)
    rows = client.execute_sql(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s", client.dataset_name
    )
    for table, column in rows or []:
        found[str(table)].add(str(column))
    return found


def mark_deleted(pipeline: Pipeline, listing: Listing, now: datetime) -> Mapping[str, int]:
    """Marks what is gone: rows whose list was read to its end later than they were last seen in it.

    What hangs on something that is gone is gone too, and its ledger with it, so that it is read again if it returns.
    Everything follows from what is loaded, so it can be done at any time and any number of times.

    Returns:
        How many rows were marked, by table.
    """
    marked: dict[str, int] = {}
    with pipeline.sql_client() as client:
        columns = columns_of(client)
        if LEDGER not in columns:
            return marked
        for endpoint in ENDPOINTS:
            if endpoint.name in columns:
                marked[endpoint.name] = _mark(client, endpoint, listing, now, columns)
    return {table: count for table, count in marked.items() if count}


def _mark(
    client: SqlClientBase[Any], endpoint: Endpoint, listing: Listing, now: datetime, columns: Mapping[str, set[str]]
) -> int:
    table = client.make_qualified_table_name(endpoint.name)
    ledger, loads = (client.make_qualified_table_name(name) for name in (LEDGER, "_dlt_loads"))
    route = endpoint.route(listing)
    above = BY_NAME[endpoint.parent] if endpoint.parent and endpoint.parent in columns else None
    gone_above = ""
    if above is not None and not above.history and endpoint.rest and "username" not in endpoint.rest.placeholders:
        parents = client.make_qualified_table_name(above.name)
        gone_above = f"SELECT token FROM {parents} WHERE deleted_at IS NOT NULL"  # noqa: S608
        if endpoint.rest.also in columns:
            others = client.make_qualified_table_name(endpoint.rest.also)
            gone_above += f" UNION ALL SELECT token FROM {others} WHERE deleted_at IS NOT NULL"  # noqa: S608
        forget = f"DELETE FROM {ledger} WHERE endpoint = {_text(endpoint.name)} AND parent IN ({gone_above})"  # noqa: S608
        client.execute_sql(forget)
    if endpoint.history or route is None:
        return 0
    parent = f"{table}.{route.placeholders[-1]}" if route.placeholders else "''"
    read_since = (
        f"SELECT 1 FROM {ledger} l JOIN {loads} d ON d.load_id = l._dlt_load_id AND d.status = 0 "  # noqa: S608
        f"WHERE l.endpoint = {_text(endpoint.name)} "
        f"AND l.outcome IN ({_texts((COMPLETE, EMPTY))}) AND {table}._dlt_load_id < l._dlt_load_id"
    )
    gone = [f"EXISTS ({read_since} AND l.parent = {parent})"]
    if gone_above and above is not None:
        with_parent = f"{table}.{above.noun}_token IN ({gone_above})"
        if is_listing(endpoint, listing):
            # not before the listing itself was read again and believed: it may have shrunk with the parent's
            last = f"NOT EXISTS (SELECT 1 FROM {parents} WHERE deleted_at IS NULL)"  # noqa: S608
            with_parent = f"{with_parent} AND (EXISTS ({read_since}) OR {last})"
        gone.append(f"({with_parent})")
    where = f"deleted_at IS NULL AND ({' OR '.join(gone)})"
    found = client.execute_sql(f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608
    count = int(found[0][0]) if found else 0
    if count:
        client.execute_sql(f"UPDATE {table} SET deleted_at = {_text(now.isoformat())} WHERE {where}")  # noqa: S608
    return count


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _texts(values: Iterable[str]) -> str:
    return ", ".join(_text(value) for value in values)
