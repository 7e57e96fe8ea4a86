"""A sync in numbers: the plan, which is what is due and how long it takes, and the tally of what was done.

Here: counting what is due, and saying it; the record of what was done.
Not here: deciding what is due (`ledger`, `walk`), counting what was done (`walk`), showing it (`materialization`).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from mode_dagster.extract.client import PAGE
from mode_dagster.extract.endpoints import Endpoint
from mode_dagster.extract.errors import ModeError
from mode_dagster.extract.ledger import Values, is_known_empty, moment
from mode_dagster.extract.limiter import WINDOW_MARGIN
from mode_dagster.extract.rows import whole

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync
    from mode_dagster.extract.walk import EndpointWalk


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
            f"plan: {self.reports_changed:,} of {self.reports:,} reports changed, {self.requests:,} requests, "
            f"{duration(self.requests / self.per_second)}{bound}"
        )

    def progress(self, done: int, seconds: float) -> str:
        """How far it is, where this is what is left after so many requests in so many seconds."""
        rate = done / seconds if seconds > 0 else 0.0
        left = duration(self.requests / (rate or self.per_second))
        return f"progress: {done:,} of {done + self.requests:,} requests, {rate:.1f} a second, {left} left"


@dataclass
class Tally:
    """What one sync did for one endpoint."""

    rows: int = 0
    """Rows fetched."""
    lists: int = 0
    """Lists read to their end: one, or one a parent."""
    unchanged: int = 0
    """Lists not asked for, because nothing moved since they were loaded."""
    empty: int = 0
    """Lists not asked for, because Mode's counter says that they are empty."""
    skipped: Counter[int] = field(default_factory=Counter)
    """Lists that Mode refused with a tolerated status, by status."""
    counted: int | None = None
    """Rows by Mode's own counters, over the lists that have one and were read in full; None where none was."""
    counted_rows: int = 0
    """Rows fetched from those same lists."""
    missed: int = 0
    """Rows by which lists that seemed unchanged differ from what is stored; only a reconciling sync looks."""
    requests: int = 0
    """Requests made, retries included."""
    seconds: float = 0.0
    """From the first request to the last row."""
    note: str = ""
    """Why there is nothing, or not everything; empty if all is there."""
    error: ModeError | None = None
    """What stopped it."""

    @property
    def refused(self) -> str:
        """How many lists were refused with which status; empty for none."""
        return ", ".join(f"{lists} x HTTP {status}" for status, lists in sorted(self.skipped.items()))


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def make_plan(sync: "Sync", walks: Sequence["EndpointWalk"]) -> Plan:
    """Counts what is due, and not read yet, for the tables of `walks`."""
    reports = sync.report_tokens()
    changed: set[str] = set()
    tables = []
    for walk in walks:
        route = walk.lists.route
        if walk.done or route.parent is None or walk.lists.is_listing:
            continue
        is_of_people = "username" in route.placeholders
        # what is due below parents that are read in the same sync can only be estimated
        parent = next((above for above in walks if above.endpoint.name == route.parent and not above.done), None)
        if parent is not None or is_of_people:
            requests = len(walk.lists.preview(sync.walk(route.parent)))
            if parent is not None and not is_of_people:
                requests += _estimate_below(sync, walk, parent)
            tables.append(PlannedTable(walk.endpoint.name, requests, requests, requests, 0))
            continue
        asked = [values for values in walk.left if not is_known_empty(walk.endpoint, values)]
        changed |= {str(values["report_token"]) for values in walk.due if "report_token" in values}
        tables.append(
            PlannedTable(
                table=walk.endpoint.name,
                lists=len(walk.due) + walk.tally.unchanged,
                due=len(walk.due),
                requests=sum(_pages(walk, values) for values in asked),
                settled=len(walk.left) - len(asked),
            )
        )
    return Plan(
        tables=tables,
        reports=len(reports),
        reports_changed=len(changed & reports),
        per_second=sync.settings.rate_limit_requests / (sync.settings.rate_limit_seconds * WINDOW_MARGIN),
        max_requests=sync.settings.max_requests,
    )


def _estimate_below(sync: "Sync", walk: "EndpointWalk", parent: "EndpointWalk") -> int:
    """How many lists rows that are still to be read will bring, by Mode's counters; one each where there is none."""
    estimate = 0
    for values in parent.due:
        if is_known_empty(parent.endpoint, values) or is_known_empty(walk.endpoint, values):
            continue
        count = parent.lists.counter(values)
        before = whole(parent.lists.counted_before(values)) if parent.lists.is_incremental(values) else 0
        new = 1 if count is None or before is None else max(count - before, 0)
        estimate += math.ceil(new * _share_in_window(sync, walk.endpoint, values)) if before == 0 else new
    return estimate


def _share_in_window(sync: "Sync", endpoint: Endpoint, values: Values) -> float:
    """Which share of all runs a report has had may fall into `query_run_days`, were they spread evenly."""
    created, since = moment(values.get("created_at")), sync.since(endpoint.days) if endpoint.days else None
    if created is None or since is None:
        return 1.0
    age, window = sync.now() - created, sync.now() - since
    return min(1.0, window / age) if age > timedelta(0) else 1.0


def _pages(walk: "EndpointWalk", values: Values) -> int:
    """Requests for one list."""
    rows = walk.lists.counter(values)
    if rows is None or walk.lists.is_incremental(values) or not walk.endpoint.history:
        return 1
    return max(1, -(-rows // PAGE))
