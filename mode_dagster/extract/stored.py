"""What the destination holds, as far as a sync must know it; and the marks on what is gone.

Here: all SQL that a sync needs.
Not here: what follows from it (`ledger`, `sync`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, FINISHED, Endpoint, Listing, Route
from mode_dagster.extract.ledger import COMPLETE, EMPTY, LEDGER, REFUSED, Entry, Values, completed, is_listing
from mode_dagster.warehouse import Warehouse, is_made, open_warehouse
from mode_dagster.warehouse.base import literal

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
        self._columns: dict[str, set[str]] = defaultdict(set)
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
        columns = sorted(set(wanted) & self._columns[endpoint.name] - {"token"})
        return self._values(endpoint, columns, self._live(endpoint))

    def runs_without_query_runs(self, since: datetime | None) -> Iterator[Values]:
        """Finished runs, created after `since`, whose query runs were not read since they finished, or were refused."""
        runs = self._table("runs")
        unread = [f"state IN ({_texts(FINISHED)})"]
        if since is not None:
            unread.append(f"created_at >= TIMESTAMPTZ {literal(since.isoformat())}")
        if "query_runs" in self:
            unread.append(
                f"NOT EXISTS (SELECT 1 FROM ({self._complete}) c WHERE c.endpoint = 'query_runs' "  # noqa: S608
                f"AND c.outcome <> {literal(REFUSED)} AND c.parent = {runs}.token "
                f"AND json_extract_string(c.version, '$.state') = {runs}.state)"
            )
        return self._values(BY_NAME["runs"], ["created_at", "report_token", "state"], f"WHERE {' AND '.join(unread)}")

    def newest_finished(self, endpoint: Endpoint) -> Mapping[str, str]:
        """Of each report (or dataset), the newest run that is stored and will not change any more."""
        (parent,) = endpoint.list_columns
        newest = f"row_number() OVER (PARTITION BY {parent} ORDER BY created_at DESC, token) AS place"
        table = self._table(endpoint.name)
        finished = f"SELECT {parent}, token, {newest} FROM {table} WHERE state IN ({_texts(FINISHED)})"  # noqa: S608
        return dict(self._query(f"SELECT {parent}, token FROM ({finished}) t WHERE place = 1", endpoint.name))  # noqa: S608

    def unfinished(self, endpoint: Endpoint, now: datetime) -> Mapping[str, set[str]]:
        """Of each report (or dataset), the stored runs that had not finished and still may."""
        (parent,) = endpoint.list_columns
        recent = f"created_at >= TIMESTAMPTZ {literal((now - STUCK).isoformat())} AND state NOT IN ({_texts(FINISHED)})"
        sql = f"SELECT {parent}, token FROM {self._table(endpoint.name)} WHERE {recent}"  # noqa: S608
        found: dict[str, set[str]] = defaultdict(set)
        for key, token in self._query(sql, endpoint.name):
            found[key].add(token)
        return found

    def newest_audit_log(self) -> datetime | None:
        """When the newest event that is stored happened, by Mode's clock."""
        sql = f"SELECT max(timestamp) FROM {self._table('audit_logs')}"  # noqa: S608
        ((newest,),) = self._query(sql, "audit_logs") or [(None,)]
        return newest.astimezone(UTC) if newest else None

    def counts(self, endpoint: Endpoint, column: str) -> Mapping[str, int]:
        """How many rows that are not gone each parent has; without a column, how many the table has."""
        parent = column or "''"
        table = self._table(endpoint.name)
        sql = f"SELECT {parent}, count(*) FROM {table} {self._live(endpoint)} GROUP BY 1"  # noqa: S608
        return {key: int(count) for key, count in self._query(sql, endpoint.name)}

    def _live(self, endpoint: Endpoint) -> str:
        return "WHERE deleted_at IS NULL" if "deleted_at" in self._columns[endpoint.name] else ""

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
        self._columns.update({table: set(names) for table, names in columns.items()})
        if not {LEDGER, "_dlt_loads"} <= self._columns.keys():
            return
        last = f"SELECT endpoint, workspace, max(read_at) FROM ({self._complete}) c GROUP BY 1, 2"  # noqa: S608
        for endpoint, workspace, read_at in warehouse.query(last).rows:
            self.workspaces.add(workspace)
            self._read_at[endpoint] = max(_utc(read_at), self._read_at.get(endpoint, _utc(read_at)))


def mark_deleted(pipeline: Pipeline, listing: Listing, now: datetime) -> Mapping[str, int]:
    """Marks what is gone: rows whose list was read to its end later than they were last seen in it.

    What hangs on something that is gone is gone too, and its ledger with it, so that it is read again if it returns.
    Everything follows from what is loaded, so it can be done at any time and any number of times.

    Returns:
        How many rows were marked, by table.
    """
    with open_warehouse(pipeline) as warehouse:
        loaded = warehouse.tables(pipeline.dataset_name)
        if LEDGER not in loaded:
            return {}
        marks = _Marks(warehouse, pipeline.dataset_name, listing, loaded)
        in_order = sorted(ENDPOINTS, key=_depth)
        marked = {endpoint.name: marks.set(endpoint, now) for endpoint in in_order if endpoint.name in loaded}
        warehouse.tidy(pipeline.dataset_name)
    return {table: count for table, count in marked.items() if count}


def _depth(endpoint: Endpoint) -> int:
    """How many tables hang above one another over this one."""
    above = {endpoint.parent, endpoint.rest.also if endpoint.rest else None} - {None, ""}
    return 1 + max((_depth(BY_NAME[name]) for name in above if name), default=0)


class _Marks:
    """The conditions under which rows are gone, in SQL."""

    def __init__(self, warehouse: Warehouse, dataset: str, listing: Listing, loaded: Collection[str]) -> None:
        self._warehouse = warehouse
        self._dataset = dataset
        self._listing = listing
        self._loaded = loaded

    def set(self, endpoint: Endpoint, now: datetime) -> int:
        """Marks one table's rows; gives how many."""
        table = self._table(endpoint.name)
        parents = self._gone_parents(endpoint)
        self._forget_lists(endpoint)
        if parents:
            self._warehouse.delete(
                self._table(LEDGER), f"endpoint = {literal(endpoint.name)} AND parent IN ({parents})"
            )
        route = endpoint.route(self._listing)
        if endpoint.history or route is None:
            return 0
        parent = f"{table}.{route.owner}" if route.owner else "''"
        gone = []
        if not self._may_have_moved(endpoint, route):
            gone.append(
                f"EXISTS ({self._read_since(endpoint)} AND l.parent = {parent}){self._unlisted(endpoint, route)}"
            )
        if parents:
            gone.append(self._with_parent(endpoint, parents))
        where = f"deleted_at IS NULL AND ({' OR '.join(gone)})"
        return self._warehouse.update(table, {"deleted_at": f"TIMESTAMPTZ {literal(now.isoformat())}"}, where)

    def _may_have_moved(self, endpoint: Endpoint, route: Route) -> bool:
        """Whether rows that one list lacks may be in another one that the newest sync has not read to its end.

        A list that Mode refuses, and of which there are no rows, is out of sight for good, and so is what moves there.
        """
        parent = BY_NAME.get(route.parent or "")
        if parent is None or parent.name not in self._loaded or not is_listing(endpoint, self._listing):
            return False
        rows, lists, column = self._table(endpoint.name), self._table(parent.name), route.owner
        read = (
            "SELECT parent, outcome, coalesce(first_load_id, _dlt_load_id) AS load_id "  # noqa: S608
            f"FROM ({completed(self._table(LEDGER), self._table('_dlt_loads'))}) c "
            f"WHERE endpoint = {literal(endpoint.name)}"
        )
        in_sight = f"SELECT 1 FROM {rows} AS o WHERE o.{column} = s.token AND o.deleted_at IS NULL"  # noqa: S608
        ((unread,),) = self._warehouse.query(
            f"WITH done AS ({read}) SELECT count(*) FROM {lists} AS s WHERE s.deleted_at IS NULL AND NOT EXISTS ("  # noqa: S608
            "SELECT 1 FROM done WHERE done.parent = s.token AND done.load_id >= (SELECT max(load_id) FROM done) "
            f"AND (done.outcome <> {literal(REFUSED)} OR NOT EXISTS ({in_sight})))"
        ).rows
        return bool(unread)

    def _forget_lists(self, endpoint: Endpoint) -> None:
        """Has lists read again that were read one by one before a flat list gave the same rows with other columns."""
        if not (endpoint.rest and endpoint.rest.placeholders and (endpoint.flat or endpoint.discovery)):
            return
        ledger, which = self._table(LEDGER), f"endpoint = {literal(endpoint.name)}"
        flat = (
            f"SELECT max(coalesce(l.first_load_id, l._dlt_load_id)) FROM {ledger} AS l "  # noqa: S608
            f"WHERE l.{which} AND l.parent = '' AND l.outcome <> {literal(REFUSED)}"
        )
        self._warehouse.delete(ledger, f"{which} AND parent <> '' AND _dlt_load_id < ({flat})")

    def _unlisted(self, endpoint: Endpoint, route: Route) -> str:
        """The condition that a row is none of a dataset's, which Discovery leaves out (mode-api.md, 7)."""
        is_of_report = endpoint.rest is not None and "report_token" in endpoint.rest.placeholders
        if not (route.batch and is_of_report and "datasets" in self._loaded):
            return ""
        datasets = f"SELECT 1 FROM {self._table('datasets')} AS s WHERE s.deleted_at IS NULL"  # noqa: S608
        return f" AND NOT EXISTS ({datasets} AND s.token = {self._table(endpoint.name)}.report_token)"

    def _read_since(self, endpoint: Endpoint) -> str:
        """The lists of an endpoint that were read to their end after the row was last seen."""
        return (
            f"SELECT 1 FROM {self._table(LEDGER)} AS l JOIN {self._table('_dlt_loads')} AS d "  # noqa: S608
            f"ON d.load_id = l._dlt_load_id AND d.status = 0 WHERE l.endpoint = {literal(endpoint.name)} "
            f"AND l.outcome IN ({_texts((COMPLETE, EMPTY))}) "
            f"AND {self._table(endpoint.name)}._dlt_load_id < coalesce(l.first_load_id, l._dlt_load_id)"
        )

    def _gone_parents(self, endpoint: Endpoint) -> str:
        """The tokens of the parents that are gone; nothing where parents can't go."""
        parent = BY_NAME.get(endpoint.parent or "")
        if (
            parent is None
            or parent.name not in self._loaded
            or parent.history
            or endpoint.rest is None
            or "username" in endpoint.rest.placeholders
        ):
            return ""
        tables = [self._table(table) for table in (parent.name, endpoint.rest.also) if table in self._loaded]
        # a report may become a dataset, and the other way round: it is gone where neither table has it
        lives = [f"SELECT token FROM {table} WHERE deleted_at IS NULL" for table in tables]  # noqa: S608
        live = " UNION ALL ".join(lives)
        gone = (f"SELECT token FROM {table} WHERE deleted_at IS NOT NULL AND token NOT IN ({live})" for table in tables)  # noqa: S608
        return " UNION ALL ".join(gone)

    def _with_parent(self, endpoint: Endpoint, parents: str) -> str:
        """The condition that a row went with its parent."""
        parent = BY_NAME[endpoint.parent or ""]
        gone = f"{self._table(endpoint.name)}.{parent.noun}_token IN ({parents})"
        if not is_listing(endpoint, self._listing):
            return f"({gone})"
        # not before the listing itself was read again and believed: it may have shrunk with the parent's
        last = f"NOT EXISTS (SELECT 1 FROM {self._table(parent.name)} WHERE deleted_at IS NULL)"  # noqa: S608
        return f"({gone} AND (EXISTS ({self._read_since(endpoint)}) OR {last}))"

    def _table(self, name: str) -> str:
        return f"{self._dataset}.{name}"


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _texts(values: Iterable[str]) -> str:
    return ", ".join(map(literal, values))
