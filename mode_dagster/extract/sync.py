"""One sync: which tables are read in which order, what they share, and the plan of it.

    open         settings, what is stored, the connection, the threads; nothing is asked yet
    listings     in parts: the lists that are read in every sync, because they tell what changed
    plan         what is due, said before the first request for any of it
    due lists    in parts of `checkpoint_seconds`: the newest first, each table after what it hangs on
    end          nothing is left, or `max_requests` is reached; then what is gone is marked (`gone`)

A part is loaded, with the ledger's rows of it, before the next one begins: a kill costs one part. Within a part dlt
lets the tables' readers (`pages`) take turns; one whose parents are still being read waits, and the threads ask ahead
for all.

Here: settings, connection, threads, what is stored, checkpoints.
Not here: one table's lists (`table`), what they hang on (`parents`), HTTP (`client`), rules of the ledger (`ledger`),
dlt (`source`).
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from types import TracebackType
from typing import Self

from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.client import ModeClient, reachable
from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.errors import ModeConfigError, ModeError
from mode_dagster.extract.limiter import WORKERS
from mode_dagster.extract.parents import Parents
from mode_dagster.extract.personal import Privacy
from mode_dagster.extract.plan import Plan, make_plan
from mode_dagster.extract.rows import Row
from mode_dagster.extract.stored import Stored
from mode_dagster.extract.table import TableSync
from mode_dagster.extract.tally import Tally
from mode_dagster.settings import Settings, load_settings

logger = logging.getLogger(__name__)

MOST_ROWS = 5_000
"""Rows after which a part ends early: a load takes memory by its rows, and Discovery gives a thousand a request."""


@dataclass
class _Part:
    """What is loaded at once, and when it ends before all is read; without bounds, never."""

    deadline: float = inf
    most_rows: float = inf
    listings_only: bool = False
    rows: int = 0
    """Rows given so far."""

    def is_over(self) -> bool:
        return self.rows >= self.most_rows or time.monotonic() >= self.deadline


class Sync:
    """Reads one workspace once: what changed since it was last loaded.

    Nothing happens, no secret is read and no byte sent, before the first rows are asked for.

    Args:
        settings: The workspace and how to read it; None reads them when first needed.
        pipeline: Where earlier syncs have loaded to; None reads everything.
        reconcile: Read everything whether it moved or not, and count what was missed.
        accept_shrunk: Listings that may be far shorter than what is stored.
        only_reports: Tokens of the only reports whose queries, charts, runs and so on are read; none means all.
        isolate: Whether an endpoint that fails leaves the others running (its `Tally.error` says so), or raises.
        say: Told the plan and the progress, in sentences.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        pipeline: Pipeline | None = None,
        reconcile: bool = False,
        accept_shrunk: Collection[str] = (),
        only_reports: Collection[str] = (),
        isolate: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        say: Callable[[str], None] = logger.info,
    ) -> None:
        self._given = settings
        self._say = say
        self._stack = ExitStack()
        self._client: ModeClient | None = None
        self._tables: dict[str, TableSync] = {}
        self._part = _Part()
        self._first_load: str | None = None
        self._made: set[str] = set()
        self.pipeline = pipeline
        self.reconcile = reconcile
        self.accept_shrunk = accept_shrunk
        self.only_reports = frozenset(only_reports)
        self.isolate = isolate
        self.now = clock
        self.parents = Parents(self)
        self.plan: Plan | None = None
        self.requests_planned: int | None = None
        self.settings: Settings
        self.privacy: Privacy
        self.stored: Stored
        self.executor: ThreadPoolExecutor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # ends threads and connections; the tallies stay
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
    def requests(self) -> int:
        """Requests sent so far."""
        return self._client.requests if self._client else 0

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """What was done for each endpoint; nothing for those that were not read or had nothing due."""
        for name, table in self._tables.items():
            table.tally.requests = self.client.adapter.sent[name]
        return {name: table.tally for name, table in self._tables.items()}

    @property
    def failures(self) -> Mapping[str, ModeError]:
        """What stopped each endpoint that did not end well."""
        return {name: table.tally.error for name, table in self._tables.items() if table.tally.error}

    def open(self) -> None:
        """Reads the settings and what is stored, and gets ready to ask, once.

        Raises:
            ModeConfigError: Settings are wrong, or the destination holds another workspace.
        """
        if self._client is not None:
            return
        settings = self._given or load_settings()
        self._refuse_made_up_rows(settings)
        self.settings = self._stack.enter_context(reachable(settings, self.now))
        key = self.settings.personal_data_key or self.settings.password
        self.privacy = Privacy(self.settings.personal_data, key, self.settings.workspace)
        self.stored = Stored(self.pipeline)
        others = self.stored.workspaces - {self.settings.workspace}
        if others:
            raise ModeConfigError(
                f"The destination holds the workspace {', '.join(sorted(others))}, and the settings name "
                f"{self.settings.workspace}: two workspaces in one schema can't be told apart. "
                "Name another destination (another file in DESTINATION__DUCKDB__CREDENTIALS), or delete the old one."
            )
        client = ModeClient(self.settings)
        self._stack.callback(client.close)
        self.executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="mode")
        self._stack.callback(self.executor.shutdown, wait=True, cancel_futures=True)
        self._tables = {endpoint.name: TableSync(self, endpoint) for endpoint in ENDPOINTS}
        self._client = client

    def _refuse_made_up_rows(self, settings: Settings) -> None:
        kind = self.pipeline.destination.destination_name if self.pipeline else "duckdb"
        if settings.is_sandbox and kind != "duckdb":
            raise ModeConfigError(
                f"Refused to load the sandbox's made-up workspace into {kind}, where it could be taken for real. "
                "Point SOURCES__MODE_ANALYTICS_SOURCE__BASE_URL at Mode (delete the line in .dlt/config.toml), or try "
                "the sandbox with a DuckDB file."
            )

    def checkpoints(self, selected: frozenset[str]) -> Iterator[None]:
        """Cuts the sync into parts, each to be extracted and loaded before the next is asked for.

        First come the listings, which tell what changed, at most `MOST_ROWS` a part; then the plan, said and kept in
        `plan`; then what is due, at most `checkpoint_seconds` or `MOST_ROWS` a part.
        """
        self.open()
        has_begun = False
        for _ in self._parts_of_listings(selected):
            has_begun = True
            yield
        self.plan = self.make_plan(selected)
        self._say(str(self.plan))
        self._refuse_to_stand_still(self.plan)
        before, began = self.client.requests, time.monotonic()
        self.requests_planned = before + self.plan.requests
        while not has_begun or not self._is_finished(selected):
            has_begun = True
            self._part = _Part(time.monotonic() + self.settings.checkpoint_seconds, MOST_ROWS)
            yield
            if not self._is_finished(selected):
                left, done = self.make_plan(selected), self.client.requests - before
                self.requests_planned = self.client.requests + left.requests
                self._say(left.progress(done, time.monotonic() - began))

    def _parts_of_listings(self, selected: frozenset[str]) -> Iterator[None]:
        tables = [table for name, table in self._tables.items() if name in selected]
        listings = [table for table in tables if table.due_lists.is_listing and not table.done]
        with self.stored.opened():
            for table in listings:
                table.due_lists.recall()
        goes_on = True
        while goes_on and not all(table.done for table in listings):
            self._part = _Part(most_rows=MOST_ROWS, listings_only=True)
            yield
            goes_on = self._part.is_over()
        self._part = _Part()

    def _refuse_to_stand_still(self, plan: Plan) -> None:
        """Names a `max_requests` that the listings use up, which every sync reads: nothing else would ever be read."""
        log = self._tables["audit_logs"]
        gets_on = log.due_lists.noted is not None and log.tally.note  # left before its end, further than before
        if self.is_spent() and plan.requests and not gets_on:
            limit = self.settings.max_requests
            raise ModeConfigError(
                f"Could not read anything but the listings: they use up max_requests = {limit}, and {plan.requests:,} "
                "requests are due. Every sync reads the listings first: raise max_requests."
            )

    def _is_finished(self, selected: frozenset[str]) -> bool:
        """Whether nothing is left to read; a table with nothing due needs no part of its own."""
        if self.plan is not None and self.plan.requests == 0 and not self.plan.settles:
            return True
        return all(self._tables[name].done for name in selected)

    def make_plan(self, selected: frozenset[str], *, looks_ahead: bool = False) -> Plan:
        """What is due, for each selected endpoint; reads the listings that it takes to know.

        Args:
            looks_ahead: Whether runs of some reports are looked at, too, where a first load can't be counted.

        Raises:
            ModeError: A listing could not be read.
        """
        self.open()
        tables = [table for name, table in self._tables.items() if name in selected]
        for table in tables:
            if not table.due_lists.is_listing:
                route = table.due_lists.route
                for name in self._comes_before(table, selected & {route.parent, route.also}):
                    if name not in selected or self._tables[name].due_lists.is_listing:
                        self._finish(name)
        with self.stored.opened():
            self._refuse_unknown_reports()
            return make_plan(self, tables, looks_ahead=looks_ahead)

    def pages(self, name: str, selected: frozenset[str]) -> Iterator[list[Row] | None]:
        """The rows of one table, list by list; None while a parent is still being read by its own reader.

        Ends at a checkpoint, too; asked again, it goes on.

        Args:
            selected: The endpoints that have a reader of their own in this sync; other parents are read here.

        Raises:
            ModeError: Settings or credentials are wrong, or the endpoint failed and failures are not isolated.
        """
        self.open()
        table = self._tables[name]
        if table.done or (self._part.listings_only and not table.due_lists.is_listing):
            return
        while waiting := self._comes_before(table, selected):
            if self._part.is_over():
                return
            if waiting & selected:
                yield None
            else:
                for other in waiting:
                    self._finish(other)
        self._ask_ahead(selected)
        for rows in table.pages:
            yield rows
            self._part.rows += len(rows)
            if self._part.is_over():
                return
            self._ask_ahead(selected)

    def _ask_ahead(self, selected: frozenset[str]) -> None:
        """Keeps the threads busy with whatever can be asked for already, while rows of one table are being read."""
        ready = [
            table
            for table in map(self.table, selected)
            if not table.done
            and (table.due_lists.is_listing or not self._part.listings_only)
            and not self._comes_before(table, selected)
        ]
        with self.stored.opened():
            for table in ready:
                table.ask_ahead()

    def must_make(self, table: str, columns: Collection[str]) -> bool:
        """Whether dlt must be told to make a table, or columns that it lacks; said once a sync."""
        self.open()
        if table in self._made:
            return False
        self._made.add(table)
        return not self.stored.has_columns(table, columns)

    def table(self, name: str) -> TableSync:
        """The lists of one endpoint."""
        return self._tables[name]

    def ledger_rows(self, name: str, load_id: str) -> list[Row]:
        """What the ledger is to note of the rows given since it was last asked for; of a listing when it has ended.

        The rows of a listing may come in several loads: its lines name the first of them.
        """
        table = self._tables[name]
        self._first_load = self._first_load or load_id
        if self._part.listings_only and not table.done:
            return []
        lines, table.lines = table.lines, []
        first = self._first_load if table.due_lists.is_listing else None
        return [{**line, "first_load_id": first} for line in lines]

    def _refuse_unknown_reports(self) -> None:
        if self.only_reports and (unknown := self.only_reports - self.parents.report_tokens()):
            raise ModeConfigError(
                f"Could not restrict the sync to reports: {', '.join(sorted(unknown))} is not listed in the workspace "
                f"{self.settings.workspace}. A report's token is the last part of its address."
            )

    def _finish(self, name: str) -> None:
        """Reads an endpoint only for what its children need of it."""
        table = self._tables[name]
        for parent in self._comes_before(table, frozenset()):
            self._finish(parent)
        for _ in table.pages:
            pass

    def _comes_before(self, table: TableSync, selected: frozenset[str]) -> set[str]:
        """What must be read first: the parent, and for `users` whatever may name people.

        Where such a table has no reader of its own, what comes before it comes first, too.
        What is stored stands in for a parent that is not selected, unless the table is itself a listing: those are
        how changes are seen.
        """
        route = table.due_lists.route
        if route.parent is None:
            return set()
        first = {route.parent, *filter(None, [route.also])}
        if not table.due_lists.is_listing:
            first = {parent for parent in first if parent in selected or parent not in self.stored}
        if route.names_person:
            first |= selected - {table.endpoint.name}
        unread = {name for name in first if not self._tables[name].done}
        # a selected table's rows are its reader's, whoever hangs on them
        return unread.union(*(self._comes_before(self._tables[name], selected) for name in unread - selected))

    def since(self, setting: str) -> datetime | None:
        """The moment that so many days (a setting) reach back to; None for no bound."""
        days = getattr(self.settings, setting)
        return self.now() - timedelta(days=days) if days else None

    def is_spent(self) -> bool:
        """Whether `max_requests` is reached."""
        limit = self.settings.max_requests
        return bool(limit) and self.client.requests >= limit
