"""The audit log: which time is to be asked for, and how far it is loaded.

Here: what the ledger notes of it instead of a parent's version.
Not here: asking (`client`), what becomes of a refusal (`reading`), its rows (`table`).

It has no parent whose version moves, may be longer than memory is large, and must be asked for by time (Mode's API
reference, Audit Logs). Mode does not say in which order the events come, nor how far back they are kept.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mode_dagster.extract.due import DueLists
from mode_dagster.extract.errors import ModeError
from mode_dagster.extract.ledger import HISTORY_DAYS, Version, covers, moment
from mode_dagster.extract.rows import Row

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync

FIRST = datetime(2012, 1, 1, tzinfo=UTC)
"""Before Mode existed: how far back is asked when `history_days` sets no bound."""
OVERLAP = timedelta(hours=1)
"""Events may arrive late: each sync asks again for the hour before the newest that is stored."""
BOUNDARY = timedelta(seconds=1)
"""How much of what was read a gap has in it, newest first: other events of its last moment may be on the next page.

Mode does not say whether `end_timestamp` is included, and may know seconds only. No longer than that: a log with more
events in it than `max_requests` lets through would be left at the same place for ever.
"""
READ_UNTIL = "read_until"
"""In the ledger: up to when everything is loaded, but for a gap."""
GAP = "gap"
"""In the ledger: from when to when events are lacking, after a sync that had to leave off."""

Window = tuple[datetime, datetime]


class AuditLog:
    """Reads the audit log, and tells the ledger how far.

    Args:
        sync: Its connection, settings and clock.
        lists: What the ledger holds of it.
    """

    def __init__(self, sync: "Sync", lists: DueLists) -> None:
        self._sync = sync
        self._lists = lists

    def pages(self, intent: str, is_spent: Callable[[], bool]) -> Iterator[list[Row]]:
        """Page by page what is not loaded yet.

        Args:
            intent: What it is for, as it reads after "Could not".
            is_spent: Whether no more requests may be made.

        Raises:
            ModeError: It could not be read to its end.
        """
        entry = self._lists.entry({})
        before = self._lists.noted = entry.version if entry else {}
        *gap, new = self._windows(before)
        for window in (*gap, new):
            until = new[1] if window is new else moment(before[READ_UNTIL])
            order = _Order()
            asked = {"start_timestamp": window[0].isoformat(), "end_timestamp": window[1].isoformat()}
            for page, is_last in self._sync.client.stream(self._lists.route, intent, asked, self._lists.endpoint.name):
                order.take(page)
                yield page
                if not is_last and is_spent():
                    self._lists.noted = self._left_at(order, window, new, until, intent)
                    return
            self._lists.noted = self._note(until)
            if window is not new and is_spent():
                return

    def _windows(self, before: Version) -> list[Window]:
        """Which times to ask for, the newest last; all of it where none is loaded, or more of it is wanted.

        By the newest event, because our clock may be ahead of Mode's, and by our clock, because an event may be.
        """
        sync, now = self._sync, self._sync.now()
        read, newest = moment(before.get(READ_UNTIL)), sync.stored.newest_audit_log()
        if sync.reconcile or not covers(before, sync.settings.history_days) or not read or not newest:
            return [(sync.since(HISTORY_DAYS) or FIRST, now)]
        gap = [moment(at) for at in before.get(GAP, ())]
        return [*([(gap[0], gap[1])] if gap and gap[0] and gap[1] else []), (min(read, newest) - OVERLAP, now)]

    def _note(self, until: datetime | None, gap: Window | None = None) -> Version:
        note: dict[str, Any] = {HISTORY_DAYS: self._sync.settings.history_days}
        if until:
            note[READ_UNTIL] = until.isoformat()
        return note | ({GAP: [at.isoformat() for at in gap]} if gap else {})

    def _left_at(self, order: "_Order", window: Window, new: Window, until: datetime | None, intent: str) -> Version:
        """What the ledger notes where a window had to be left before its end."""
        start, end = window
        if order.rises and not order.falls and order.last:
            return self._note(order.last) if window is new else self._note(until, (order.last, end))
        if order.falls and not order.rises and order.last:
            left = min(order.last + BOUNDARY, end)
            if window is new or left < end:
                return self._note(until, (start, left))
        limit = self._sync.settings.max_requests
        raise ModeError(
            f"Could not {intent} to the end: max_requests = {limit} was reached, and the events come in no order of "
            "time, or too many at once, so that the next sync begins anew. Raise max_requests, or set history_days."
        )


class _Order:
    """In which order events come."""

    def __init__(self) -> None:
        self.rises = self.falls = True
        self.last: datetime | None = None

    def take(self, page: Iterable[Row]) -> None:
        for row in page:
            at = moment(row.get("timestamp"))
            if at is None:
                self.rises = self.falls = False
            elif self.last is not None:
                self.rises, self.falls = self.rises and at >= self.last, self.falls and at <= self.last
            self.last = at
