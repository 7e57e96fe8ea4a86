"""All lists of one endpoint in one sync: reading those that are due, and what the ledger notes of it.

Here: one table.
Not here: which lists are due (`due`), one list (`reading`), the order of the tables and what they share (`sync`).
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING

from mode_dagster.extract.client import FetchedList
from mode_dagster.extract.due import DueLists
from mode_dagster.extract.endpoints import ENDPOINTS, PEOPLE, Endpoint, Listing, Pager, Route, spoken
from mode_dagster.extract.errors import (
    ModeAuthError,
    ModeConfigError,
    ModeDoubtError,
    ModeError,
    ModeListingError,
    ModeUnavailable,
)
from mode_dagster.extract.ledger import (
    COMPLETE,
    EMPTY,
    REFUSED,
    Kept,
    Values,
    is_before,
    is_known_empty,
    kept_for_children,
)
from mode_dagster.extract.limiter import WORKERS
from mode_dagster.extract.reading import ListReader, own_rows
from mode_dagster.extract.rows import Row, RowReader
from mode_dagster.extract.tally import FAILED_LISTS, Tally
from mode_dagster.wording import words

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync

logger = logging.getLogger(__name__)

AHEAD = 4 * WORKERS
"""Lists asked for ahead of the one being read, per endpoint: keeps the threads busy, bounds memory."""
SHRUNK = 0.8
"""A listing with less than this share of what is stored is an outage or a lost permission, not a clean-up …"""
SHRUNK_FROM = 20
"""… where so many rows are stored at least."""


class TableSync:
    """All lists of one endpoint, each read at most once."""

    def __init__(self, sync: "Sync", endpoint: Endpoint) -> None:
        route = endpoint.route(sync.settings.listing)
        self.endpoint = endpoint
        self.tally = Tally(note="" if route else f"only with listing = {Listing.DISCOVERY}")
        # where there is no such list in this listing mode, none is ever asked for
        self.due_lists = DueLists(sync, endpoint, route or endpoint.main_route, self.tally)
        self.values: list[Values] = []
        """What was read, as children need it."""
        self.read: set[str] = set()
        """Parents whose lists are known as of this sync."""
        self.lines: list[Row] = []
        """The ledger's rows of what was given out, not yet taken; the load is lacking in them."""
        self.done = route is None
        self.pages = self._pages()
        """Rows, list by list, going on where the last caller stopped.

        Raises a ModeError where a list could not be read and that concerns all, or failures are not isolated.
        """
        self._sync = sync
        self._route = self.due_lists.route
        self.list_reader = ListReader(sync, self.due_lists)
        self._row_reader = RowReader(endpoint)
        self._kept = kept_for_children(endpoint)
        self._due: list[Values] | None = None
        self._counted_parents: set[str] = set()
        self._wanted: deque[Values] | None = None
        self._pending: dict[Future[FetchedList | int | None], Values] = {}
        self._answered = False
        self._failed_in_a_row = 0
        self._doubts = 0

    @property
    def due(self) -> list[Values]:
        """The lists to be read, newest first; decided once, when the parents are known."""
        if self._due is None:
            self._due = self.due_lists.find()
        return self._due

    @property
    def left(self) -> list[Values]:
        """The due lists that were not read yet; once reading began, without those that are known to be empty."""
        if self._wanted is None:
            return self.due
        return [*self._pending.values(), *self._wanted]

    def _pages(self) -> Iterator[list[Row]]:
        began = time.monotonic()
        try:
            self._note_parents()
            for values in self.due:
                if is_known_empty(self.endpoint, values):
                    self._settle(values)
            for values, rows in self._streamed() if self._route.pager is Pager.CURSOR else self._rows_of_due():
                if self._kept:  # the rows of most tables have no children
                    self.values += [self._for_children(row, values) for row in rows]
                self._sync.parents.usernames.update(_people(rows))
                yield [self._sync.privacy.protect(self.endpoint, row) for row in rows]
            self._conclude()
        finally:
            self.tally.seconds = time.monotonic() - began
            self.done = True

    def _note_parents(self) -> None:
        if self._route.parent is None:
            return
        parents = spoken(self._route.parent)
        if self._sync.table(self._route.parent).tally.error is not None:
            self.tally.note = f"only for those {parents} that could be listed"
        elif age := self._sync.parents.age(self.endpoint):
            self.tally.note = f"from the {parents} as they were loaded {age} ago"

    def ask_ahead(self) -> None:
        """Has the due lists asked for, a bounded number ahead of the one being read.

        The first one goes alone: if Mode has no such route, the others are not asked for. After one that failed it
        goes on from the other end, so that the same few can't keep all others from ever being read.
        """
        if self.done or self._route.pager is Pager.CURSOR:
            return
        if self._wanted is None:
            self._wanted = deque(values for values in self.due if not is_known_empty(self.endpoint, values))
        if self._failed_in_a_row >= FAILED_LISTS:
            self._take_back()
            return
        self._answered = self._answered or any(future.done() for future in self._pending)
        while self._wanted and len(self._pending) < (AHEAD if self._answered else 1):
            values = self._wanted.pop() if self._failed_in_a_row else self._wanted.popleft()
            self._pending[self._sync.executor.submit(self._read_in_thread, values)] = values

    def _take_back(self) -> None:
        """Asks for nothing more while too many fail; what is being read may still show that others don't."""
        for future, values in list(self._pending.items()):
            if self._wanted is not None and future.cancel():
                del self._pending[future]
                self._wanted.append(values)

    def _fetched_lists(self) -> Iterator[tuple[Values, FetchedList]]:
        """The due lists as they end; gives up after too many failures in a row.

        What is noted of them is noted here, in the main thread, which takes the notes away at a checkpoint.
        """
        try:
            while True:
                self.ask_ahead()
                if not self._pending:
                    self.tally.gave_up = bool(self._wanted)
                    return
                for future in wait(self._pending, return_when=FIRST_COMPLETED).done:
                    values, self._answered = self._pending.pop(future), True
                    try:
                        found = future.result()
                    except ModeError as error:
                        self._note_failure(error)
                        continue
                    self._failed_in_a_row = 0
                    if isinstance(found, FetchedList):
                        yield values, found
                    elif found is not None:
                        self._note_refusal(values, found)
        finally:
            for future in self._pending:
                future.cancel()

    def _note_failure(self, error: ModeError) -> None:
        """Keeps the first failure; one that concerns everything is raised at once."""
        self.tally.failed += 1
        if isinstance(error, ModeDoubtError):
            self._doubts += 1
            if self._doubts < FAILED_LISTS:
                self.tally.note = f"{words(self._doubts, 'empty list')} not believed. {error}"
                return
        self._failed_in_a_row += 1
        never_answered = not self._sync.client.adapter.answers
        never_connected = isinstance(error, ModeUnavailable) and error.status is None and never_answered
        if isinstance(error, ModeConfigError | ModeAuthError) or never_connected:
            self.tally.error = error
            raise error
        self.tally.error = self.tally.error or error
        if self.tally.failed > 1:
            logger.warning("%s: %s", self.endpoint.name, error)

    def _settle(self, values: Values) -> None:
        """Notes a list that Mode's counter says is empty, without asking for it."""
        self.tally.empty += 1
        self._note_known(values)
        if self.endpoint.counter:
            self._count(values, 0, 0)
        self._note_line(values, EMPTY, counted=0)

    def _read_in_thread(self, values: Values) -> FetchedList | int | None:
        """One list, in a thread; the status with which it was refused; None where it was not asked for."""
        if self.list_reader.is_pointless:
            self.tally.note = "Mode says it has no such list; not asked for the rest of them"
            return None
        if self._must_stop():
            return None
        return self.list_reader.read(values)

    def _must_stop(self) -> bool:
        """Whether `max_requests` is reached; notes that it was the reason."""
        if self._sync.is_spent():
            self.tally.note = "stopped at max_requests; the next sync goes on from here"
        return self._sync.is_spent()

    def _streamed(self) -> Iterator[tuple[Values, list[Row]]]:
        """The audit log, page by page, because it may be longer than memory is large.

        The ledger notes it at its end: if that is never reached, the next sync asks for the same time again.
        """
        (values,) = self.due
        before = self.tally.rows
        if self._must_stop():
            return
        try:
            for page in self.list_reader.stream(self._must_stop):
                if isinstance(page, int):
                    self._note_refusal(values, page)
                    if page == 400:
                        self.tally.note = "if Mode keeps events for some time only, set history_days to less"
                    return
                yield values, self._converted(values, page)
        except ModeError as error:
            self._note_failure(error)
            return
        self._note_read(values, self.tally.rows - before, None)

    def _rows_of_due(self) -> Iterator[tuple[Values, list[Row]]]:
        for values, fetched in self._fetched_lists():
            rows = self._converted(values, fetched.rows)
            counter = self.due_lists.counter(values)
            self._note_read(values, len(rows), _counted(self._route, fetched) if counter is None else counter)
            yield values, rows

    def _converted(self, values: Values, raw: list[Row]) -> list[Row]:
        """Mode's rows as rows of the table, without those that are older than wanted."""
        since = self.list_reader.rows_since
        path_values = {name: values[name] for name in self._route.placeholders}
        rows = [
            self._row_reader.read(row, path_values) for row in own_rows(self._route, raw) if not is_before(row, since)
        ]
        self.tally.rows += len(rows)
        return rows

    def _note_read(self, values: Values, rows: int, counted: int | None) -> None:
        """Notes a list that was read to its end."""
        self.tally.lists += 1
        if self.list_reader.rows_since is None and not self.due_lists.is_incremental(values):
            self._count(values, counted, rows)
        if self._sync.reconcile and self.due_lists.seemed_unchanged(values):
            self.tally.missed += abs(rows - self.due_lists.stored_rows(values))
        self._note_known(values)
        self._note_line(values, COMPLETE, rows=rows, counted=counted)

    def _note_known(self, values: Values) -> None:
        if self._kept or self.due_lists.is_listing:  # nobody asks of the others
            self.read.add(self.due_lists.list_token(values))

    def _note_refusal(self, values: Values, status: int) -> None:
        self.tally.skipped[status] += 1
        self._note_line(values, REFUSED, http_status=status)

    def _note_line(
        self, values: Values, outcome: str, *, http_status: int | None = None, rows: int = 0, counted: int | None = None
    ) -> None:
        line = {
            "endpoint": self.endpoint.name,
            "parent": self.due_lists.list_token(values),
            "workspace": self._sync.settings.workspace,
            "version": dict(self.due_lists.version(values)),
            "outcome": outcome,
            "http_status": http_status,
            "rows": rows,
            "counted": counted,
            "read_at": self._sync.now(),
        }
        self.lines.append(line)

    def _count(self, values: Values, expected: int | None, rows: int) -> None:
        """Adds what Mode's counter says: once for each report, even where its charts are lists by query."""
        if expected is None:
            return
        report, *others = self._route.placeholders or ("",)
        owner = str(values[report]) if others else ""
        if not owner or owner not in self._counted_parents:
            self.tally.counted = (self.tally.counted or 0) + expected
        self._counted_parents.add(owner)
        self.tally.counted_rows += rows

    def _conclude(self) -> None:
        if self.due_lists.is_listing:
            self._refuse_shrinking()
        if error := self.tally.error:
            if not self._sync.isolate:
                raise error
            logger.error("%s: %s", self.endpoint.name, error)

    def _refuse_shrinking(self) -> None:
        """A listing far shorter than what is stored marks nothing as deleted and fails by name.

        Lists that could not be read say nothing: what is stored of them is left out of the comparison.
        """
        if self.endpoint.history or self.endpoint.name in self._sync.accept_shrunk:
            return
        unread = {self.due_lists.list_token(values) for values in self.due} - self.read
        stored = sum(rows for token, rows in self.due_lists.stored.items() if token not in unread)
        if _has_shrunk(self.endpoint, self.tally.rows, stored):
            self.lines.clear()
            also = f" Besides: {self.tally.error}" if self.tally.error else ""
            self.tally.error = ModeListingError(
                f"Mode lists {self.tally.rows} {spoken(self.endpoint.name)}, but {stored} are stored: nothing was "
                "marked as deleted. Look whether the API token lost access; if they are really gone, run once with "
                f"accept_shrunk: [{self.endpoint.name}].{also}"
            )

    def _for_children(self, row: Row, values: Values) -> Values:
        inherited = {name: value for name, value in values.items() if name in self._kept}
        own = {name: row[name] for name in self._kept if name in row}
        token = {f"{self.endpoint.noun}_token": row.get("token")}
        if self.endpoint.history:
            return Kept({**inherited, **own, **token, "is_first_load": not self.due_lists.is_incremental(values)})
        if self.due_lists.is_listing:
            return Kept({**inherited, **own, **token})
        # charts follow their report: its times, not the query's own
        return Kept({**own, **inherited, **token})


def _counted(route: Route, fetched: FetchedList) -> int | None:
    """How many rows Mode says a list has, without those of another table."""
    if fetched.total_count is None:
        return None
    return fetched.total_count - len(fetched.rows) + len(own_rows(route, fetched.rows))


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
