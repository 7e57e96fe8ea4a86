"""What the destination holds, as far as a sync must know it.

Here: all SQL that a sync asks with.
Not here: what follows from it (`ledger`, `sync`), the marks on what is gone (`gone`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.endpoints import BY_NAME, FINISHED, PEOPLE, Endpoint
from mode_dagster.extract.ledger import LEDGER, REFUSED, Entry, Values, completed
from mode_dagster.warehouse import Warehouse, is_made, open_warehouse
from mode_dagster.warehouse.sql import literal, sql_time

STUCK = timedelta(days=7)
"""A run that has not finished after so long never will; it is not looked at again."""
FEW = 1_000
"""Tokens that a question may name; beyond that everything is asked for."""


class Stored:
    """Reads the destination; without a pipeline there is nothing stored."""

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self._pipeline = pipeline if pipeline is not None and is_made(pipeline) else None
        self._scope = ExitStack()
        self._is_opened = False
        self._warehouse: Warehouse | None = None
        self._columns: dict[str, set[str]] = {}
        self._read_at: dict[str, datetime] = {}
        self.workspaces: set[str] = set()
        if self._pipeline is not None:
            with open_warehouse(self._pipeline) as warehouse:
                self._look(self._pipeline, warehouse)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keeps the destination open from the first of several questions to the last.

        Not while Mode is asked, for an open DuckDB file keeps others out.
        """
        if self._is_opened:
            yield
            return
        self._is_opened = True
        with self._scope:
            try:
                yield
            finally:
                self._is_opened, self._warehouse = False, None

    def __contains__(self, table: str) -> bool:
        """Whether the table is there and a list of it was read to its end."""
        return table in self._columns and table in self._read_at

    def has_columns(self, table: str, columns: Collection[str]) -> bool:
        """Whether the table is there with all these columns."""
        return set(columns) <= self._columns.get(table, set())

    def read_at(self, table: str) -> datetime | None:
        """When a list of the table was last read."""
        return self._read_at.get(table)

    def entries(self, endpoint: Endpoint, parents: Collection[str] | None = None) -> Mapping[str, Entry]:
        """What the ledger holds of an endpoint's lists, by parent; only lists whose load was completed count.

        Args:
            parents: The only ones wanted; None means all.
        """
        if endpoint.name not in self or (parents is not None and not parents):
            return {}
        which = f"endpoint = {literal(endpoint.name)}"
        if parents is not None and len(parents) <= FEW:
            which += f" AND parent IN ({_texts(parents)})"
        found = self._query(f"SELECT parent, version, outcome, read_at FROM ({self._complete}) c WHERE {which}", LEDGER)  # noqa: S608
        return {parent: Entry(version, outcome, _utc(read_at)) for parent, version, outcome, read_at in found}

    def rows(self, endpoint: Endpoint, wanted: Iterable[str]) -> Iterator[Values]:
        """The rows that are not gone, as their children need them: `<noun>_token` and the columns that are there."""
        columns = sorted(name for name in wanted if name != "token" and self.has_columns(endpoint.name, [name]))
        return self._values(endpoint, columns, self._live(endpoint))

    def runs_without_query_runs(self, since: datetime | None) -> Iterator[Values]:
        """Finished runs, created after `since`, whose query runs were not read since they finished, or were refused."""
        runs = self._table("runs")
        unread = [f"state IN ({_texts(FINISHED)})"]
        if since is not None:
            unread.append(f"created_at >= {sql_time(since)}")
        if "query_runs" in self:
            unread.append(
                f"NOT EXISTS (SELECT 1 FROM ({self._complete}) c WHERE c.endpoint = 'query_runs' "  # noqa: S608
                f"AND c.outcome <> {literal(REFUSED)} AND c.parent = {runs}.token "
                f"AND json_extract_string(c.version, '$.state') = {runs}.state)"
            )
        return self._values(BY_NAME["runs"], ["created_at", "report_token", "state"], f"WHERE {' AND '.join(unread)}")

    @cached_property
    def people_not_looked_up(self) -> set[str]:
        """Usernames in the tables that `users` was not read for: by syncs of other tables, or ended before it.

        Looked for once: all runs must be gone through for it.
        """
        named = [
            f"SELECT {column} AS name FROM {self._table(table)}"  # noqa: S608
            for table in BY_NAME
            for column in PEOPLE
            if self.has_columns(table, [column])
        ]
        read = f"SELECT parent FROM ({self._complete}) c WHERE endpoint = 'users'"  # noqa: S608
        unread = f"name IS NOT NULL AND name NOT IN ({read})"
        sql = f"SELECT DISTINCT name FROM ({' UNION ALL '.join(named)}) p WHERE {unread}"  # noqa: S608
        return {name for (name,) in self._query(sql, LEDGER)} if named else set()

    def newest_finished(self, endpoint: Endpoint) -> Mapping[str, Mapping[str, datetime]]:
        """Of each report (or dataset), the newest run that is stored and will not change any more, and its time."""
        (parent,) = endpoint.list_columns
        newest = f"row_number() OVER (PARTITION BY {parent} ORDER BY created_at DESC, token) AS place"
        table = self._table(endpoint.name)
        finished = f"state IN ({_texts(FINISHED)}) AND created_at IS NOT NULL"
        ordered = f"SELECT {parent}, token, created_at, {newest} FROM {table} WHERE {finished}"  # noqa: S608
        sql = f"SELECT {parent}, token, created_at FROM ({ordered}) t WHERE place = 1"  # noqa: S608
        return self._runs_by_parent(sql, endpoint)

    def unfinished(self, endpoint: Endpoint, now: datetime) -> Mapping[str, Mapping[str, datetime]]:
        """Of each report (or dataset), the stored runs that had not finished and still may, and their times."""
        (parent,) = endpoint.list_columns
        recent = f"created_at >= {sql_time(now - STUCK)} AND state NOT IN ({_texts(FINISHED)})"
        sql = f"SELECT {parent}, token, created_at FROM {self._table(endpoint.name)} WHERE {recent}"  # noqa: S608
        return self._runs_by_parent(sql, endpoint)

    def _runs_by_parent(self, sql: str, endpoint: Endpoint) -> Mapping[str, Mapping[str, datetime]]:
        found: dict[str, dict[str, datetime]] = defaultdict(dict)
        for parent, token, created_at in self._query(sql, endpoint.name):
            found[parent][token] = _utc(created_at)
        return found

    def newest_audit_log(self) -> datetime | None:
        """When the newest event that is stored happened, by Mode's clock."""
        sql = f"SELECT max(timestamp) FROM {self._table('audit_logs')}"  # noqa: S608
        ((newest,),) = self._query(sql, "audit_logs") or [(None,)]
        return _utc(newest) if newest else None

    def counts(self, endpoint: Endpoint, column: str) -> Mapping[str, int]:
        """How many rows that are not gone each parent has; without a column, how many the table has."""
        parent = column or "''"
        table = self._table(endpoint.name)
        sql = f"SELECT {parent}, count(*) FROM {table} {self._live(endpoint)} GROUP BY 1"  # noqa: S608
        return {key: int(count) for key, count in self._query(sql, endpoint.name)}

    def _live(self, endpoint: Endpoint) -> str:
        return "WHERE deleted_at IS NULL" if self.has_columns(endpoint.name, ["deleted_at"]) else ""

    def _values(self, endpoint: Endpoint, columns: list[str], where: str) -> Iterator[Values]:
        sql = f"SELECT {', '.join(['token', *columns])} FROM {self._table(endpoint.name)} {where}"  # noqa: S608
        names = [f"{endpoint.noun}_token", *columns]
        for row in self._query(sql, endpoint.name):
            yield dict(zip(names, row, strict=True))

    def _query(self, sql: str, table: str) -> list[tuple[Any, ...]]:
        if self._pipeline is None or (table not in self and table != LEDGER):
            return []
        with self.opened():
            if self._warehouse is None:
                self._warehouse = self._scope.enter_context(open_warehouse(self._pipeline))
            return self._warehouse.query(sql).rows

    @property
    def _complete(self) -> str:
        return completed(self._table(LEDGER), self._table("_dlt_loads"))

    def _table(self, name: str) -> str:
        dataset = self._pipeline.dataset_name if self._pipeline else ""
        return f"{dataset}.{name}"

    def _look(self, pipeline: Pipeline, warehouse: Warehouse) -> None:
        columns = warehouse.columns(pipeline.dataset_name)
        self._columns = {table: set(names) for table, names in columns.items()}
        if not {LEDGER, "_dlt_loads"} <= self._columns.keys():
            return
        last = f"SELECT endpoint, workspace, max(read_at) FROM ({self._complete}) c GROUP BY 1, 2"  # noqa: S608
        for endpoint, workspace, read_at in warehouse.query(last).rows:
            self.workspaces.add(workspace)
            self._read_at[endpoint] = max(_utc(read_at), self._read_at.get(endpoint, _utc(read_at)))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def _texts(values: Iterable[str]) -> str:
    return ", ".join(map(literal, values))
