"""When a row is gone from Mode, and the mark (`deleted_at`) on it.

A row is gone where
* a list that it would be in was read to its end later than the row was last seen, unless it may have moved to another
  list of the table, one that the newest sync has not read to its end; or
* what it hangs on is gone; in a table whose lists are read in every sync, not before they were read and believed.
What happened stays: rows of history are never gone. What is found again is loaded anew, without the mark.

The whole statement for `charts`, but for the name of the dataset before each table:

    UPDATE charts SET deleted_at = TIMESTAMPTZ '…' WHERE deleted_at IS NULL AND (
      EXISTS (
        SELECT 1 FROM sync_ledger AS l
        JOIN _dlt_loads AS d ON d.load_id = l._dlt_load_id AND d.status = 0
        WHERE l.endpoint = 'charts' AND l.outcome IN ('complete', 'empty')
        AND charts._dlt_load_id < coalesce(l.first_load_id, l._dlt_load_id)
        AND l.parent = charts.query_token)
      OR charts.query_token IN (
        SELECT token FROM queries WHERE deleted_at IS NOT NULL
        AND token NOT IN (SELECT token FROM queries WHERE deleted_at IS NULL)))

Here: the marks, and what the ledger forgets with them.
Not here: what is asked of the destination during a sync (`stored`).
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint, Listing, Route
from mode_dagster.extract.ledger import COMPLETE, EMPTY, LEDGER, REFUSED, completed, is_listing
from mode_dagster.warehouse import Warehouse, open_warehouse
from mode_dagster.warehouse.sql import literal, sql_time


def mark_deleted(pipeline: Pipeline, listing: Listing, now: datetime) -> Mapping[str, int]:
    """Marks what is gone.

    The ledger forgets the lists of what is gone, so that they are read again if it returns. Everything follows from
    what is loaded, so it can be done at any time and any number of times.

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
        parents = self._gone_parents(endpoint)
        self._forget_lists(endpoint, parents)
        route = endpoint.route(self._listing)
        if endpoint.history or route is None:
            return 0
        gone = []
        if not self._may_have_moved(endpoint, route):
            gone.append(self._is_missing(endpoint, route))
        if parents:
            gone.append(self._with_parent(endpoint, parents))
        where = f"deleted_at IS NULL AND ({' OR '.join(gone)})"
        return self._warehouse.update(self._table(endpoint.name), {"deleted_at": sql_time(now)}, where)

    def _is_missing(self, endpoint: Endpoint, route: Route) -> str:
        """The condition that a list was read to its end without the row, which it had before."""
        parent = f"{self._table(endpoint.name)}.{route.owner}" if route.owner else "''"
        return f"EXISTS ({self._read_since(endpoint)} AND l.parent = {parent}){self._unlisted(endpoint, route)}"

    def _read_since(self, endpoint: Endpoint) -> str:
        """The lists of an endpoint that were read to their end after the row was last seen."""
        return (
            f"SELECT 1 FROM {self._table(LEDGER)} AS l JOIN {self._table('_dlt_loads')} AS d "  # noqa: S608
            f"ON d.load_id = l._dlt_load_id AND d.status = 0 WHERE l.endpoint = {literal(endpoint.name)} "
            f"AND l.outcome IN ({literal(COMPLETE)}, {literal(EMPTY)}) "
            f"AND {self._table(endpoint.name)}._dlt_load_id < coalesce(l.first_load_id, l._dlt_load_id)"
        )

    def _unlisted(self, endpoint: Endpoint, route: Route) -> str:
        """The condition that a row is none of a dataset's, which Discovery by its description leaves out."""
        is_of_report = endpoint.rest is not None and "report_token" in endpoint.rest.placeholders
        if not (route.batch and is_of_report and "datasets" in self._loaded):
            return ""
        datasets = f"SELECT 1 FROM {self._table('datasets')} AS s WHERE s.deleted_at IS NULL"  # noqa: S608
        return f" AND NOT EXISTS ({datasets} AND s.token = {self._table(endpoint.name)}.report_token)"

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

    def _gone_parents(self, endpoint: Endpoint) -> str:
        """The tokens of the parents that are gone; nothing where parents can't go."""
        parent = BY_NAME.get(endpoint.parent or "")
        if (
            parent is None
            or parent.name not in self._loaded
            or parent.history
            or endpoint.rest is None
            or endpoint.rest.names_person
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

    def _forget_lists(self, endpoint: Endpoint, parents: str) -> None:
        """Has lists read again whose parents are gone, should they return.

        And those that were read one by one before a flat list gave the same rows with other columns.
        """
        ledger, which = self._table(LEDGER), f"endpoint = {literal(endpoint.name)}"
        if parents:
            self._warehouse.delete(ledger, f"{which} AND parent IN ({parents})")
        if not (endpoint.rest and endpoint.rest.placeholders and (endpoint.flat or endpoint.discovery)):
            return
        flat = (
            f"SELECT max(coalesce(l.first_load_id, l._dlt_load_id)) FROM {ledger} AS l "  # noqa: S608
            f"WHERE l.{which} AND l.parent = '' AND l.outcome <> {literal(REFUSED)}"
        )
        self._warehouse.delete(ledger, f"{which} AND parent <> '' AND _dlt_load_id < ({flat})")

    def _table(self, name: str) -> str:
        return f"{self._dataset}.{name}"
