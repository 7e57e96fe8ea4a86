"""The plan of a sync: what is due, and how long it takes.

Here: counting what is due, and saying it.
Not here: deciding what is due (`ledger`, `table`), counting what was done (`table`), showing it (`materialization`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mode_dagster.extract.client import PAGE, FetchedList
from mode_dagster.extract.endpoints import Endpoint
from mode_dagster.extract.ledger import Values, is_before, is_known_empty, moment
from mode_dagster.extract.limiter import WINDOW_MARGIN
from mode_dagster.wording import words

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync
    from mode_dagster.extract.table import TableSync

SAMPLED = 40
"""Lists of runs of which a page is looked at for an estimate; so many give it to a third (benchmarks/README.md)."""


@dataclass(frozen=True)
class PlannedTable:
    """What one table costs."""

    table: str
    lists: int
    """Lists that there are, one a parent."""
    due: int
    """Lists that must be read; of tables below tables that are read themselves, an estimate."""
    requests: int
    """Requests that this takes; first pages are certain, further ones estimated from Mode's counters."""
    settled: int
    """Due lists that Mode's counters say are empty: noted without a request."""


@dataclass(frozen=True)
class Plan:
    """What is due after the listings were read."""

    tables: Sequence[PlannedTable]
    reports: int
    """Reports that are listed."""
    reports_changed: int
    """Reports of which any list is due."""
    per_second: float
    """Requests that the rate limit permits."""
    max_requests: int

    @property
    def requests(self) -> int:
        """Requests for all tables."""
        return sum(table.requests for table in self.tables)

    @property
    def settles(self) -> bool:
        """Whether lists must be noted as empty, which takes a load but no request."""
        return any(table.settled for table in self.tables)

    def __str__(self) -> str:
        bound = f"; stops at max_requests = {self.max_requests:,}" if self.max_requests else ""
        return (
            f"plan: {self.reports_changed:,} of {words(self.reports, 'report')} changed, "
            f"{words(self.requests, 'request')}, "
            f"{duration(self.requests / self.per_second)}{bound}"
        )

    def progress(self, done: int, seconds: float) -> str:
        """How far it is, where this is what is left after so many requests in so many seconds."""
        rate = done / seconds if seconds > 0 else 0.0
        left = duration(self.requests / (rate or self.per_second))
        return f"progress: {done:,} of {done + self.requests:,} requests, {rate:.1f} a second, {left} left"


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def make_plan(sync: "Sync", tables: Sequence["TableSync"], *, looks_ahead: bool) -> Plan:
    """Counts what is due, and not read yet, for these tables.

    Args:
        looks_ahead: Whether a page of some lists of runs is asked for where a first load can't be counted.
    """
    reports = sync.parents.report_tokens()
    changed: set[str] = set()
    planned = []
    for table in tables:
        route = table.due_lists.route
        if table.done or route.parent is None or table.due_lists.is_listing:
            continue
        is_of_people = route.names_person
        # what is due below parents that are read in the same sync can only be estimated
        parent = next((above for above in tables if above.endpoint.name == route.parent and not above.done), None)
        if parent is not None or is_of_people:
            requests = len(table.due_lists.preview(sync.table(route.parent)))
            if parent is not None and not is_of_people:
                requests += _estimate_below(sync, table, parent, looks_ahead=looks_ahead)
            planned.append(PlannedTable(table.endpoint.name, requests, requests, requests, 0))
            continue
        asked = [values for values in table.left if not is_known_empty(table.endpoint, values)]
        changed |= {str(values["report_token"]) for values in table.due if "report_token" in values}
        planned.append(
            PlannedTable(
                table=table.endpoint.name,
                lists=len(table.due) + table.tally.unchanged,
                due=len(table.due),
                requests=sum(_pages(sync, table, values) for values in asked),
                settled=len(table.left) - len(asked),
            )
        )
    return Plan(
        tables=planned,
        reports=len(reports),
        reports_changed=len(changed & reports),
        per_second=sync.settings.rate_limit_requests / (sync.settings.rate_limit_seconds * WINDOW_MARGIN),
        max_requests=sync.settings.max_requests,
    )


def _estimate_below(sync: "Sync", table: "TableSync", parent: "TableSync", *, looks_ahead: bool) -> int:
    """How many lists rows that are still to be read will bring, by Mode's counters; one each where there is none."""
    asked = [
        values
        for values in parent.due
        if not is_known_empty(parent.endpoint, values) and not is_known_empty(table.endpoint, values)
    ]
    estimate = 0
    if looks_ahead and parent.endpoint.history:
        first = [values for values in asked if not parent.due_lists.is_incremental(values)]
        estimate = _estimate_by_sample(sync, table, parent, first)
        asked = [values for values in asked if parent.due_lists.is_incremental(values)]
    for values in asked:
        count = parent.due_lists.counter(values)
        before = parent.due_lists.counted_before(values) if parent.due_lists.is_incremental(values) else 0
        new = 1 if count is None or before is None else max(count - before, 0)
        # runs that are not read have no query runs to be read
        share = min(_share_in_window(sync, each.endpoint, values) for each in (table, parent))
        estimate += math.ceil(new * share) if before == 0 else new
    return estimate


def _estimate_by_sample(sync: "Sync", table: "TableSync", parent: "TableSync", first: Sequence[Values]) -> int:
    """How many lists the runs of reports that were never read will bring, by the newest page of some of them.

    Mode's counter of runs is of a report's whole life, and nothing tells which of them are recent.
    """
    # the lists are in the order of their last run: an even choice has its share of busy and of idle reports
    sampled = first[:: -(-len(first) // SAMPLED) or 1]
    pages = [page for page in sync.executor.map(parent.list_reader.first_page, sampled) if page is not None]
    if not pages:
        return 0
    bounds = [since for each in (table, parent) if each.endpoint.days and (since := sync.since(each.endpoint.days))]
    recent = sum(_recent_rows(sync, page, max(bounds, default=None)) for page in pages)
    return math.ceil(recent / len(pages) * len(first))


def _recent_rows(sync: "Sync", page: FetchedList, since: datetime | None) -> float:
    """How many rows of a list are not older, by its newest page, whose pace those before it are taken to have."""
    recent = sum(not is_before(row, since) for row in page.rows)
    if recent < len(page.rows) or not page.is_cut:
        return recent
    oldest = moment(page.rows[-1].get("created_at"))
    if since is None or oldest is None or oldest >= sync.now():
        return page.total_count or recent
    by_pace = recent * ((sync.now() - since) / (sync.now() - oldest))
    return min(by_pace, page.total_count or by_pace)


def _share_in_window(sync: "Sync", endpoint: Endpoint, values: Values) -> float:
    """Which share of all runs a report has had may fall into the endpoint's days, were they spread evenly."""
    created, since = moment(values.get("created_at")), sync.since(endpoint.days) if endpoint.days else None
    if created is None or since is None:
        return 1.0
    age, window = sync.now() - created, sync.now() - since
    return min(1.0, window / age) if age > timedelta(0) else 1.0


def _pages(sync: "Sync", table: "TableSync", values: Values) -> int:
    """Requests for one list."""
    rows = table.due_lists.counter(values)
    if rows is None or table.due_lists.is_incremental(values) or not table.endpoint.history:
        return 1
    # after the pages full of rows that are recent enough comes one that ends in an older row: it is read, too
    wanted = int(rows * _share_in_window(sync, table.endpoint, values) / PAGE) + 1
    return max(1, min(wanted, -(-rows // PAGE)))
