"""All lists of one endpoint in one sync: which of them are due, reading them, and what the ledger notes of it.

Here: one table.
Not here: the order of the tables and what they share (`sync`), HTTP (`client`), rules of the ledger (`ledger`).
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from mode_dagster.extract.client import NO_SUCH_ROUTE, PAGE, WORKERS, Walk, asking_for, identity
from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint, Listing, Pager, Route
from mode_dagster.extract.errors import (
    ModeAuthError,
    ModeConfigError,
    ModeError,
    ModeListingError,
    ModeResponseError,
    ModeUnavailable,
)
from mode_dagster.extract.ledger import (
    COMPLETE,
    EMPTY,
    HISTORY_DAYS,
    REFUSED,
    Line,
    Values,
    Version,
    is_before,
    is_due,
    is_known_empty,
    is_listing,
    kept_for_children,
    newest_move,
    version_of,
)
from mode_dagster.extract.report import Report
from mode_dagster.extract.rows import Row, RowReader, whole

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync

logger = logging.getLogger(__name__)

AHEAD = 4 * WORKERS
"""Lists asked for ahead of the one being read, per endpoint: keeps the threads busy, bounds memory."""
FAILED_LISTS = 10
"""An endpoint is given up after this many lists that could not be read; fewer leave the other lists loaded."""
PEOPLE = ("creator_username", "executed_by_username")
"""Columns whose values are the people that `users` describes."""
FIRST_AUDIT_LOG = datetime(2012, 1, 1, tzinfo=UTC)
"""Before Mode existed: how far back audit logs are asked for when `history_days` sets no bound."""
SHRUNK = 0.8
"""A listing with less than this share of what is stored is an outage or a lost permission, not a clean-up …"""
SHRUNK_FROM = 20
"""… where so many rows are stored at least."""


class EndpointWalk:
    """All lists of one endpoint, each read at most once."""

    def __init__(self, sync: "Sync", endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.report = Report()
        self.values: list[Values] = []
        """What was read, as children need it."""
        self.read: set[str] = set()
        """Parents whose lists are known as of this sync."""
        self.lines: list[Line] = []
        """Ledger lines of what was given out and not yet taken."""
        self.done = False
        self._sync = sync
        self._reader = RowReader(endpoint)
        self._kept = kept_for_children(endpoint)
        self._newest: Mapping[str, str] = {}
        self._unfinished: Mapping[str, set[str]] = {}
        self._stored: Mapping[str, int] = {}
        self._due: list[Values] | None = None
        self._generator: Iterator[list[Row]] | None = None
        self._counted_parents: set[str] = set()
        self._wanted: deque[Values] | None = None
        self._pending: dict[Future[Walk | None], Values] = {}
        self._ended: set[str] = set()
        self._no_such_route = False
        self._answered = False

    @property
    def route(self) -> Route | None:
        """Where the rows come from in this sync's listing mode."""
        return self.endpoint.route(self._sync.settings.listing)

    @property
    def due(self) -> list[Values]:
        """The lists to be read, newest first; decided once, when the parents are known."""
        if self._due is None:
            self._due = self._find_due()
        return self._due

    @property
    def now(self) -> datetime:
        """Now, as the sync sees it."""
        return self._sync.now()

    @property
    def parents_since(self) -> datetime | None:
        """Before when a run's query runs are not wanted; None for no bound."""
        return self._sync.since("query_run_days") if self.endpoint.days == "query_run_days" else None

    @property
    def left(self) -> list[Values]:
        """The due lists that were not read yet."""
        return [values for values in self.due if self.list_token(values) not in self._ended]

    def preview(self) -> list[Values]:
        """The lists that would be due now; for parents that are still to be read, those of what is stored."""
        route = self.route
        if route is None or route.parent is None:
            return []
        above = self._sync.walk(route.parent)
        again = {above.list_token(values) for values in above.due} if not above.done and above.route else set()
        owner = above.route.placeholders[-1] if above.route and above.route.placeholders else ""
        return [v for v in self._sync.parents(route) if self._is_due(v) and v.get(owner) not in again]

    def counted_before(self, values: Values) -> Any:
        """What Mode's counter said when the list was last read; None if it said nothing."""
        entry = self._sync.stored.entry(self.endpoint, self.list_token(values))
        return entry.version.get(self.endpoint.counter) if entry else None

    def pages(self) -> Iterator[list[Row]]:
        """Rows, list by list; going on where the last caller stopped.

        Raises:
            ModeError: See `Sync.failed`.
        """
        if self._generator is None:
            self._generator = self._pages()
        return self._generator

    def version(self, values: Values) -> Version:
        """What the parent says now of the list."""
        version = dict(version_of(self.endpoint, values))
        if self.endpoint.days == HISTORY_DAYS and self.endpoint.version:
            version[HISTORY_DAYS] = self._sync.settings.history_days
        return version

    def list_token(self, values: Values) -> str:
        """What the ledger calls the list: the token of its parent, empty for a list of the workspace."""
        route = self.route
        name = route.placeholders[-1] if route and route.placeholders else ""
        token = str(values[name]) if name else ""
        return self._sync.privacy.pseudonym(token) if name == "username" else token

    def is_incremental(self, values: Values) -> bool:
        """Whether a list of runs need only be read back to the newest one that is stored and finished."""
        entry = self._sync.stored.entry(self.endpoint, self.list_token(values))
        if self._sync.reconcile or not (self.endpoint.history and self.endpoint.version) or entry is None:
            return False
        if entry.outcome == REFUSED or HISTORY_DAYS not in entry.version:
            return False
        loaded, wanted = int(entry.version[HISTORY_DAYS]), self._sync.settings.history_days
        return loaded == 0 or 0 < wanted <= loaded

    def _find_due(self) -> list[Values]:
        route, sync = self.route, self._sync
        if route is None:
            return []
        self._recall(route)
        parents = sync.parents(route)
        if is_listing(self.endpoint, sync.settings.listing):
            return parents
        parents = self._restricted(parents)
        due = [v for v in parents if self.list_token(v) in self._unfinished or self._is_due(v)]
        self.report.unchanged = len(parents) - len(due)
        return sorted(due, key=newest_move, reverse=True)

    def _restricted(self, parents: list[Values]) -> list[Values]:
        """The parents that a sync of some reports only looks at."""
        only = self._sync.only_reports
        wanted = [v for v in parents if not only or v.get("report_token", "") in {"", *only}]
        if len(wanted) < len(parents):
            self.report.note = f"restricted to {len(only)} reports by the run config"
        return wanted

    def _recall(self, route: Route) -> None:
        """Looks up what is stored before anything is fetched; in the main thread, which alone has dlt's context."""
        stored, sync = self._sync.stored, self._sync
        if self.endpoint.history and len(route.placeholders) == 1:
            self._newest = stored.newest_finished(self.endpoint)
            self._unfinished = stored.unfinished(self.endpoint, sync.now())
        if sync.reconcile or not self.endpoint.history:
            self._stored = stored.counts(self.endpoint, route.placeholders[-1] if route.placeholders else "")

    def _is_due(self, values: Values) -> bool:
        sync = self._sync
        if sync.reconcile:
            return True
        entry = sync.stored.entry(self.endpoint, self.list_token(values))
        reread = timedelta(hours=sync.settings.reread_hours)
        return is_due(self.endpoint, entry, self.version(values), reread, sync.now())

    def _pages(self) -> Iterator[list[Row]]:
        began = time.monotonic()
        try:
            route = self.route
            if route is None:
                self.report.note = f"only with listing = {Listing.DISCOVERY}"
                return
            self._note_parents(route)
            for values in self.due:
                if is_known_empty(self.endpoint, values):
                    self._settle(values)
            for values, walk in self._walks_of_due():
                rows = self._rows(route, values, walk)
                if self._kept:  # the rows of most tables have no children
                    self.values += [self._for_children(row, values) for row in rows]
                self._sync.usernames.update(_people(rows))
                yield [self._sync.privacy.protect(self.endpoint, row) for row in rows]
            self._conclude()
        finally:
            self.report.seconds = time.monotonic() - began
            self.done = True

    def _note_parents(self, route: Route) -> None:
        if self._sync.listed_badly(route.parent):
            self.report.note = f"only for those {_words(route.parent or '')} that could be listed"
        elif age := self._sync.age_of_parents(route):
            self.report.note = f"from the {_words(route.parent or '')} as they were loaded {age} ago"

    def ask_ahead(self) -> None:
        """Has the due lists asked for, a bounded number ahead of the one being read.

        The first one goes alone: if Mode has no such route, the others are not asked for.
        """
        if self.route is None or self.done:
            return
        if self._wanted is None:
            self._wanted = deque(values for values in self.due if not is_known_empty(self.endpoint, values))
        self._answered = self._answered or any(future.done() for future in self._pending)
        while self._wanted and len(self._pending) < (AHEAD if self._answered else 1):
            values = self._wanted.popleft()
            self._pending[self._sync.executor.submit(self._walk, self.route, values)] = values

    def _walks_of_due(self) -> Iterator[tuple[Values, Walk]]:
        """The due lists as they end; gives up after too many failures."""
        failed = 0
        try:
            while failed < FAILED_LISTS:
                self.ask_ahead()
                if not self._pending:
                    return
                for future in wait(self._pending, return_when=FIRST_COMPLETED).done:
                    values, self._answered = self._pending.pop(future), True
                    self._ended.add(self.list_token(values))
                    try:
                        walk = future.result()
                    except ModeError as error:
                        failed += 1
                        self._note_failure(error, failed)
                        continue
                    if walk is not None:
                        yield values, walk
        finally:
            for future in self._pending:
                future.cancel()

    def _note_failure(self, error: ModeError, failed: int) -> None:
        """Keeps the first failure; one that concerns everything is raised at once."""
        never_connected = isinstance(error, ModeUnavailable) and error.status is None and not self._sync.client.answers
        if isinstance(error, ModeConfigError | ModeAuthError) or never_connected:
            self.report.error = error
            raise error
        self.report.error = self.report.error or error
        if failed > 1:
            logger.warning("%s: %s", self.endpoint.name, error)

    def _settle(self, values: Values) -> None:
        """Notes a list that Mode's counter says is empty, without asking for it."""
        self.report.empty += 1
        self._ended.add(self.list_token(values))
        self.read.add(self.list_token(values))
        if self.endpoint.counter:
            self._count(values, 0, 0)
        self._note_line(values, EMPTY, counted=0)

    def _walk(self, route: Route, values: Values) -> Walk | None:
        """One list, in a thread; None where there is none to be had."""
        if self._no_such_route:
            return None
        if self._sync.is_spent():
            self.report.note = "stopped at max_requests; the next sync goes on from here"
            return None
        path_values = {name: str(values[name]) for name in route.placeholders}
        intent = _intent(self.endpoint, path_values)
        expected = whole(values.get(self.endpoint.counter)) if self.endpoint.counter else None
        refused = 0
        with asking_for(self.endpoint.name):
            for path in filter(None, (route.path, route.fallback)):
                try:
                    asked = replace(route, path=path)
                    ask = partial(self._sync.client.walk, asked, path_values, intent, self._window(route))
                    return self._read_whole(asked.pager, values, intent, partial(ask, expected=expected))
                except ModeError as error:
                    refused = self._tolerate(route, values, error)
        self.report.skipped[refused] += 1
        self._note_line(values, REFUSED, http_status=refused)
        return None

    def _read_whole(self, pager: Pager, values: Values, intent: str, ask: Callable[..., Walk]) -> Walk:
        """A list, with proof against what would pass for rows that are gone.

        A row that moves to a page already read while the list is being read would be missed: where rows are lacking
        from a list of several pages, it is read once more.

        Raises:
            ModeResponseError: Rows were there before, or Mode says that there are some, and there is no list in the
                answer, or pages are lacking.
        """
        walk = ask(is_enough=self._is_enough(values))
        counter = whole(values.get(self.endpoint.counter)) if self.endpoint.counter else None
        # what is history is never marked as deleted, and may be longer here than in Mode
        before = 0 if self.endpoint.history else self._stored.get(self.list_token(values), 0)
        if not walk.is_list and not walk.rows and (known := max(counter or 0, walk.total_count or 0, before)):
            raise ModeResponseError(
                f"Could not {intent}: the answer has no list, and there were {known} rows. Nothing of it was taken; "
                "run it again later, and look at Mode if it stays so."
            )
        has_pages = walk.pages > 1 and (pager is not Pager.UNSEEN or len(walk.rows) >= PAGE)
        wanted = 0 if self.endpoint.history else max(before, walk.total_count or 0)
        if has_pages and len(self._own(walk)) < wanted:
            walk = walk.and_again(ask())
        if walk.is_short:
            raise ModeResponseError(
                f"Could not {intent}: Mode says there are {walk.pages_said} pages, and gave {walk.pages}. "
                "Nothing of it was taken; run it again later."
            )
        return walk

    def _own(self, walk: Walk) -> list[Row]:
        """The rows that are not another table's."""
        skipped = self.route.skip_type if self.route else ""
        return [row for row in walk.rows if not (skipped and row.get("type") == skipped)]

    def _is_enough(self, values: Values) -> Callable[[list[Row]], bool] | None:
        """When newest-first runs need not be read further back."""
        since = self._rows_since()
        stop, open_runs = None, set[str]()
        if self.is_incremental(values):
            token = self.list_token(values)
            stop = self._newest.get(token)
            open_runs = set(self._unfinished.get(token, ()))
        if since is None and stop is None:
            return None
        stored = {stop}

        def is_enough(page: list[Row]) -> bool:
            tokens = {identity(row) for row in page}
            open_runs.difference_update(tokens)
            stored.difference_update(tokens)
            return (stop is not None and not stored and not open_runs) or (bool(page) and is_before(page[-1], since))

        return is_enough

    def _tolerate(self, route: Route, values: Values, error: ModeError) -> int:
        """The status of a refusal that concerns this list alone; any other error is raised.

        Raises:
            ModeListingError: A listing that was readable before is refused now.
        """
        status, sync = error.status, self._sync
        is_way_in = sync.is_way_in(self.endpoint)
        optional = route.parent is None and status in (403, 404) and not is_way_in
        if status is not None and (status in route.tolerate or optional):
            self._no_such_route = NO_SUCH_ROUTE in str(error) and not route.fallback
            if status != 404 and is_listing(self.endpoint, sync.settings.listing) and not route.fallback:
                self._refuse_to_forget(values, error)
            logger.info("%s: %s", self.endpoint.name, error)
            return status
        if status == 404 and is_way_in and route.parent is None:
            hint = (
                'Mode itself has no such list: set listing to "collections".'
                if route.pager is Pager.NEXT
                else f"Is {sync.settings.workspace!r} the workspace's name in Mode's URLs, "
                "does the API token belong to it, and is base_url Mode's API (https://app.mode.com/api)?"
            )
            raise ModeConfigError(f"{error} {hint}", status=404) from None
        raise error

    def _refuse_to_forget(self, values: Values, error: ModeError) -> None:
        stored = self._stored.get(self.list_token(values), 0)
        if stored and not self.endpoint.history:
            raise ModeListingError(
                f"{error} Its {stored} rows are still stored and were not marked as deleted: give the API token "
                "its access back, or delete the rows.",
                status=error.status,
            ) from None

    def _window(self, route: Route) -> dict[str, str]:
        """Audit logs must be asked for by time; no other list may be."""
        if route.pager is not Pager.CURSOR:
            return {}
        start = self._sync.audited_until() or self._rows_since() or FIRST_AUDIT_LOG
        return {"start_timestamp": start.isoformat(), "end_timestamp": self._sync.now().isoformat()}

    def _rows_since(self) -> datetime | None:
        return self._sync.since("history_days") if self.endpoint.days == "history_days" else None

    def _rows(self, route: Route, values: Values, walk: Walk) -> list[Row]:
        since = self._rows_since()
        path_values = {name: values[name] for name in route.placeholders}
        rows = [self._reader.read(row, path_values) for row in self._own(walk) if not is_before(row, since)]
        self.report.lists += 1
        self.report.rows += len(rows)
        counter = whole(values.get(self.endpoint.counter)) if self.endpoint.counter else None
        counted = walk.total_count if counter is None else counter
        if since is None and not self.is_incremental(values):
            self._count(values, counted, len(rows))
        if self._sync.reconcile:
            self._compare(values, len(rows))
        self.read.add(self.list_token(values))
        self._note_line(values, COMPLETE, rows=len(rows), counted=counted)
        return rows

    def _compare(self, values: Values, rows: int) -> None:
        """Counts what incremental syncs had missed: a list that would not have been read, and differs."""
        entry = self._sync.stored.entry(self.endpoint, self.list_token(values))
        if entry is None or is_listing(self.endpoint, self._sync.settings.listing):
            return
        if not is_due(self.endpoint, entry, self.version(values), timedelta.max, self._sync.now()):
            self.report.missed += abs(rows - self._stored.get(self.list_token(values), 0))

    def _note_line(
        self, values: Values, outcome: str, *, http_status: int | None = None, rows: int = 0, counted: int | None = None
    ) -> None:
        line = Line(
            endpoint=self.endpoint.name,
            parent=self.list_token(values),
            outcome=outcome,
            version=self.version(values),
            http_status=http_status,
            rows=rows,
            counted=counted,
        )
        self.lines.append(line)

    def _count(self, values: Values, expected: int | None, rows: int) -> None:
        """Adds what Mode's counter says: once for each report, even where its charts are lists by query."""
        if expected is None:
            return
        route = self.route
        owner = str(values[route.placeholders[0]]) if route and route.placeholders else ""
        if owner not in self._counted_parents:
            self._counted_parents.add(owner)
            self.report.counted = (self.report.counted or 0) + expected
        self.report.counted_rows += rows

    def _conclude(self) -> None:
        if is_listing(self.endpoint, self._sync.settings.listing):
            self._refuse_shrinking()
        if self.report.error:
            self._sync.failed(self.endpoint, self.report.error)

    def _refuse_shrinking(self) -> None:
        """A listing far shorter than what is stored marks nothing as deleted and fails by name.

        Lists that could not be read say nothing: what is stored of them is left out of the comparison.
        """
        if self.endpoint.history or self.endpoint.name in self._sync.accept_shrunk:
            return
        unread = {self.list_token(values) for values in self.due} - self.read
        stored = sum(rows for token, rows in self._stored.items() if token not in unread)
        if _has_shrunk(self.endpoint, self.report.rows, stored):
            self.lines.clear()
            also = f" Besides: {self.report.error}" if self.report.error else ""
            self.report.error = ModeListingError(
                f"Mode lists {self.report.rows} {_words(self.endpoint.name)}, but {stored} are stored: nothing was "
                "marked as deleted. Look whether the API token lost access; if they are really gone, run once with "
                f"accept_shrunk: [{self.endpoint.name}].{also}"
            )

    def _for_children(self, row: Row, values: Values) -> Values:
        inherited = {name: value for name, value in values.items() if name in self._kept}
        own = {name: row[name] for name in self._kept if name in row}
        token = {f"{self.endpoint.noun}_token": row.get("token")}
        if self.endpoint.history:
            return {**inherited, **own, **token, "is_first_load": not self.is_incremental(values)}
        if is_listing(self.endpoint, self._sync.settings.listing):
            return {**inherited, **own, **token}
        # charts follow their report: its times, not the query's own
        return {**own, **inherited, **token}


def _has_shrunk(endpoint: Endpoint, listed: int, stored: int) -> bool:
    """Whether a listing has so few rows that a lost permission is likelier than a clean-up.

    One that other tables hang on may never come back empty, however few rows there were.
    """
    if not listed and stored and any(child.parent == endpoint.name for child in ENDPOINTS):
        return True
    return stored >= SHRUNK_FROM and listed < SHRUNK * stored


def _people(rows: Iterable[Row]) -> Iterator[str]:
    """Usernames met in rows."""
    for row in rows:
        yield from (name for name in map(row.get, PEOPLE) if name and isinstance(name, str))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _intent(endpoint: Endpoint, path_values: dict[str, str]) -> str:
    """What one request is for, as it reads after "Could not"."""
    if "username" in path_values:
        return f"look up the person {path_values['username']}"
    owners = ", ".join(f"{_words(name.removesuffix('_token'))} {value}" for name, value in path_values.items())
    return f"list {_words(endpoint.name)}{f' of {owners}' if owners else ''}"
