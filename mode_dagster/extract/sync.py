"""One sync: what is asked of Mode, in which order, and what came of it.

Here: walking the catalogue from parents to children, twenty requests at a time, each list once; which failure
stops everything and which only its own table; the report of each endpoint.
Not here: HTTP (`client`), rows (`rows`), dlt (`source`).
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from mode_dagster.extract.client import NO_SUCH_ROUTE, WORKERS, ModeClient, Walk, asking_for
from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint, Listing, Pager, Route
from mode_dagster.extract.errors import ModeAuthError, ModeConfigError, ModeError
from mode_dagster.extract.rows import Row, RowReader, whole
from mode_dagster.settings import Settings, load_settings

logger = logging.getLogger(__name__)

Values = Mapping[str, Any]
"""What children need of a parent row: path values, counters and times."""

AHEAD = 4 * WORKERS
"""Lists asked for ahead of the one being read, per endpoint: keeps the threads busy, bounds memory."""
FAILED_LISTS = 10
"""An endpoint is given up after this many lists that could not be read; fewer leave the other lists loaded."""
PEOPLE = ("creator_username", "executed_by_username")
"""Columns whose values are the people that `users` describes."""
FIRST_AUDIT_LOG = datetime(2012, 1, 1, tzinfo=UTC)
"""Before Mode existed: how far back audit logs are asked for when `history_days` sets no bound."""


@dataclass
class Report:
    """What one sync did for one endpoint."""

    rows: int = 0
    """Rows fetched."""
    lists: int = 0
    """Lists read to their end: one, or one a parent."""
    empty: int = 0
    """Lists not asked for, because Mode's counter says that they are empty."""
    skipped: Counter[int] = field(default_factory=Counter)
    """Lists that Mode refused with a tolerated status, by status."""
    counted: int | None = None
    """Rows by Mode's own counters, over the lists that have one; None where none has."""
    counted_rows: int = 0
    """Rows fetched from those same lists."""
    requests: int = 0
    """Requests made, retries included."""
    seconds: float = 0.0
    """From the first request to the last row."""
    note: str = ""
    """Why there is nothing, or not everything; empty if all is there."""
    error: ModeError | None = None
    """What stopped it."""


class Sync:
    """Reads one workspace once.

    Nothing happens, no secret is read and no byte sent, before the first rows are asked for.

    Args:
        settings: The workspace and how to read it; None reads them when first needed.
        isolate: Whether an endpoint that fails leaves the others running (its `Report.error` says so), or raises.
        clock: Now, for windows of days.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        isolate: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._given = settings
        self._isolate = isolate
        self._stack = ExitStack()
        self._client: ModeClient | None = None
        self._walks = {endpoint.name: _EndpointWalk(self, endpoint) for endpoint in ENDPOINTS}
        self.now = clock
        self.usernames: set[str] = set()
        self.settings: Settings
        self.executor: ThreadPoolExecutor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends threads and connections; the reports stay."""
        self._stack.close()

    @property
    def client(self) -> ModeClient:
        """The connection to Mode.

        Raises:
            RuntimeError: The sync was not opened.
        """
        if self._client is None:
            raise RuntimeError("a sync must be opened before it is asked for rows")
        return self._client

    @property
    def reports(self) -> Mapping[str, Report]:
        """What was done for each endpoint that was read."""
        requests = self._client.requests_by_endpoint if self._client else {}
        for name, walk in self._walks.items():
            walk.report.requests = requests.get(name, 0)
        return {name: walk.report for name, walk in self._walks.items() if walk.done}

    @property
    def failures(self) -> Mapping[str, ModeError]:
        """What stopped each endpoint that did not end well."""
        return {name: walk.report.error for name, walk in self._walks.items() if walk.report.error}

    def open(self) -> None:
        """Reads the settings, connects and checks the credentials, once.

        Raises:
            ModeError: Settings or credentials are wrong, or Mode is out of reach.
        """
        if self._client is not None:
            return
        settings = self._given or load_settings()
        self.settings = self._stack.enter_context(reachable(settings, self.now))
        client = ModeClient(self.settings)
        self._stack.callback(client.close)
        client.verify()
        self.executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="mode")
        self._stack.callback(self.executor.shutdown, wait=True, cancel_futures=True)
        self._client = client

    def pages(self, name: str, selected: frozenset[str]) -> Iterator[list[Row] | None]:
        """The rows of one table, list by list; None while a parent is still being read by its own reader.

        Args:
            name: Endpoint.
            selected: The endpoints that have a reader of their own in this sync; other parents are read here.

        Raises:
            ModeError: Settings or credentials are wrong, or the endpoint failed and failures are not isolated.
        """
        self.open()
        walk = self._walks[name]
        while waiting := {other for other in self._comes_after(walk.endpoint, selected) if not self._walks[other].done}:
            if waiting <= selected:
                yield None
            else:
                for other in waiting - selected:
                    self._finish(other)
        yield from walk.pages()

    def _finish(self, name: str) -> None:
        """Reads an endpoint only for what its children need of it."""
        for _ in self.pages(name, frozenset()):
            pass

    def _comes_after(self, endpoint: Endpoint, selected: frozenset[str]) -> set[str]:
        """What must be read before: the parent, and for `users` whatever may name people."""
        route = endpoint.route(self.settings.listing)
        if route is None or route.parent is None:
            return set()
        return {route.parent} | (selected - {endpoint.name} if "username" in route.placeholders else set())

    def parents(self, route: Route) -> list[Values]:
        """One entry for each list on this route: what fills its path, and the parent's counters."""
        if "username" in route.placeholders:
            return [{"username": name} for name in sorted(self.usernames)]
        if route.parent is None:
            return [{}]
        return self._walks[route.parent].values

    def listed_badly(self, parent: str | None) -> bool:
        """Whether the parents of a list are not all known."""
        return parent is not None and self._walks[parent].report.error is not None

    def since(self, setting: str) -> datetime | None:
        """The moment that so many days (a setting) reach back to; None for no bound."""
        days = getattr(self.settings, setting)
        return self.now() - timedelta(days=days) if days else None

    def is_spent(self) -> bool:
        """Whether `max_requests` is reached."""
        limit = self.settings.max_requests
        return bool(limit) and self.client.requests >= limit

    def failed(self, endpoint: Endpoint, error: ModeError) -> None:
        """Keeps an endpoint's failure to itself, or raises it where it concerns all."""
        if not self._isolate or isinstance(error, ModeConfigError | ModeAuthError):
            raise error
        logger.error("%s: %s", endpoint.name, error)

    def is_way_in(self, endpoint: Endpoint) -> bool:
        """Whether everything else hangs on this list, so that a 404 means a wrong workspace."""
        return endpoint.name == ("spaces" if self.settings.listing is Listing.COLLECTIONS else "reports")


class _EndpointWalk:
    """All lists of one endpoint, each read once."""

    def __init__(self, sync: Sync, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.report = Report()
        self.values: list[Values] = []
        self.done = False
        self._sync = sync
        self._reader = RowReader(endpoint)
        self._kept = _kept_for_children(endpoint)
        self._counted_parents: set[str] = set()
        self._no_such_route = False

    def pages(self) -> Iterator[list[Row]]:
        """Rows, list by list.

        Raises:
            ModeError: See `Sync.failed`.
        """
        began = time.monotonic()
        try:
            yield from self._pages()
        finally:
            self.report.seconds = time.monotonic() - began
            self.done = True

    def _pages(self) -> Iterator[list[Row]]:
        route = self.endpoint.route(self._sync.settings.listing)
        if route is None:
            self.report.note = f"only with listing = {Listing.DISCOVERY}"
            return
        if self._sync.listed_badly(route.parent):
            self.report.note = f"only for those {_words(route.parent or '')} that could be listed"
        for values, walk in self._walks_of(route):
            rows = self._rows(route, values, walk)
            self.values += [self._for_children(row, values) for row in rows]
            self._sync.usernames.update(row[name] for row in rows for name in PEOPLE if row.get(name))
            yield rows
        if self.report.error:
            self._sync.failed(self.endpoint, self.report.error)

    def _walks_of(self, route: Route) -> Iterator[tuple[Values, Walk]]:
        """Reads the lists in parallel, a bounded number ahead; gives them as they end."""
        wanted = iter([values for values in self._sync.parents(route) if self._is_wanted(route, values)])
        pending: dict[Future[Walk | None], Values] = {}
        failed = 0
        try:
            while True:
                while len(pending) < AHEAD and (values := next(wanted, None)) is not None:
                    pending[self._sync.executor.submit(self._walk, route, values)] = values
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    values = pending.pop(future)
                    try:
                        walk = future.result()
                    except ModeError as error:
                        failed += 1
                        self._note_failure(error, failed)
                        continue
                    if walk is not None:
                        yield values, walk
                if failed >= FAILED_LISTS:
                    return
        finally:
            for future in pending:
                future.cancel()

    def _note_failure(self, error: ModeError, failed: int) -> None:
        """Keeps the first failure; one that concerns everything is raised at once."""
        if isinstance(error, ModeConfigError | ModeAuthError):
            self.report.error = error
            raise error
        self.report.error = self.report.error or error
        if failed > 1:
            logger.warning("%s: %s", self.endpoint.name, error)

    def _is_wanted(self, route: Route, values: Values) -> bool:
        if self.endpoint.counter and whole(values.get(self.endpoint.counter)) == 0:
            self.report.empty += 1
            self._count(route, values, 0, 0)
            return False
        since = self._sync.since("query_run_days") if self.endpoint.days == "query_run_days" else None
        return not _is_before(values, since)

    def _walk(self, route: Route, values: Values) -> Walk | None:
        """One list, in a thread; None where there is none to be had."""
        if self._no_such_route:
            return None
        if self._sync.is_spent():
            self.report.note = "stopped at max_requests"
            return None
        path_values = {name: str(values[name]) for name in route.placeholders}
        since = self._rows_since()
        is_last = (lambda row: _is_before(row, since)) if since else None
        refused = 0
        with asking_for(self.endpoint.name):
            for path in filter(None, (route.path, route.fallback)):
                asked = replace(route, path=path)
                try:
                    intent = _intent(self.endpoint, path_values)
                    return self._sync.client.walk(asked, path_values, intent, self._window(route), is_last)
                except ModeError as error:
                    refused = self._tolerate(route, error)
        self.report.skipped[refused] += 1
        return None

    def _tolerate(self, route: Route, error: ModeError) -> int:
        """The status of a refusal that concerns this list alone; any other error is raised."""
        status = error.status
        is_way_in = self._sync.is_way_in(self.endpoint)
        optional = route.parent is None and status in (403, 404) and not is_way_in
        if status is not None and (status in route.tolerate or optional):
            self._no_such_route = NO_SUCH_ROUTE in str(error) and not route.fallback
            logger.info("%s: %s", self.endpoint.name, error)
            return status
        if status == 404 and is_way_in and route.parent is None:
            hint = (
                'Mode itself has no such list: set listing to "collections".'
                if route.pager is Pager.NEXT
                else f"Is {self._sync.settings.workspace!r} the workspace's name in Mode's URLs, "
                "and does the API token belong to it?"
            )
            raise ModeConfigError(f"{error} {hint}", status=404) from None
        raise error

    def _window(self, route: Route) -> dict[str, str]:
        """Audit logs must be asked for by time; no other list may be."""
        if route.pager is not Pager.CURSOR:
            return {}
        start = self._rows_since() or FIRST_AUDIT_LOG
        return {"start_timestamp": start.isoformat(), "end_timestamp": self._sync.now().isoformat()}

    def _rows_since(self) -> datetime | None:
        return self._sync.since("history_days") if self.endpoint.days == "history_days" else None

    def _rows(self, route: Route, values: Values, walk: Walk) -> list[Row]:
        since = self._rows_since()
        path_values = {name: values[name] for name in route.placeholders}
        rows = [
            self._reader.read(row, path_values)
            for row in walk.rows
            if not (route.skip_type and row.get("type") == route.skip_type) and not _is_before(row, since)
        ]
        self.report.lists += 1
        self.report.rows += len(rows)
        if since is None:
            counter = whole(values.get(self.endpoint.counter)) if self.endpoint.counter else None
            self._count(route, values, walk.total_count if counter is None else counter, len(rows))
        return rows

    def _count(self, route: Route, values: Values, expected: int | None, rows: int) -> None:
        """Adds what Mode's counter says: once for each report, even where its charts are lists by query."""
        if expected is None:
            return
        owner = str(values[route.placeholders[0]]) if route.placeholders else ""
        if owner not in self._counted_parents:
            self._counted_parents.add(owner)
            self.report.counted = (self.report.counted or 0) + expected
        self.report.counted_rows += rows

    def _for_children(self, row: Row, values: Values) -> Values:
        inherited = {name: value for name, value in values.items() if name in self._kept}
        own = {name: row[name] for name in self._kept if name in row}
        return {**inherited, f"{self.endpoint.noun}_token": row.get("token"), **own}


def reachable(settings: Settings, clock: Callable[[], datetime]) -> AbstractContextManager[Settings]:
    """The settings to use: of the bundled sandbox, started for this sync, or as they are."""
    if not settings.is_sandbox:
        return nullcontext(settings)
    from mode_dagster.sandbox.bundled import bundled

    return bundled(settings, clock)


def _kept_for_children(endpoint: Endpoint) -> frozenset[str]:
    """The fields that paths, counters and versions of everything below an endpoint need."""
    kept: set[str] = set()
    for child in ENDPOINTS:
        if child.parent == endpoint.name and child.rest:
            kept |= {*child.rest.placeholders, *child.version, child.counter, "created_at", "state"}
            kept |= _kept_for_children(child)
    return frozenset(kept - {"", f"{endpoint.noun}_token"})


def _words(name: str) -> str:
    return name.replace("_", " ")


def _intent(endpoint: Endpoint, path_values: Mapping[str, str]) -> str:
    """What one request is for, as it reads after "Could not"."""
    if "username" in path_values:
        return f"look up the person {path_values['username']}"
    owners = ", ".join(f"{_words(name.removesuffix('_token'))} {value}" for name, value in path_values.items())
    return f"list {_words(endpoint.name)}{f' of {owners}' if owners else ''}"


def _is_before(values: Values, since: datetime | None) -> bool:
    """Whether a row was created before `since`; False where either is unknown."""
    if since is None or not isinstance(created := values.get("created_at"), str):
        return False
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return False
    return moment.replace(tzinfo=moment.tzinfo or UTC) < since
