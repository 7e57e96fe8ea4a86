"""Which lists of one endpoint must be read in one sync.

Here: what the ledger and the tables hold of its lists, beside what their parents say now.
Not here: reading them (`reading`, `table`), rules of the ledger (`ledger`), SQL (`stored`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mode_dagster.extract.endpoints import BY_NAME, Endpoint, Pager, Route
from mode_dagster.extract.ledger import (
    HISTORY_DAYS,
    REFUSED,
    Entry,
    Values,
    Version,
    covers,
    is_due,
    is_listing,
    newest_move,
    version_of,
)
from mode_dagster.extract.rows import whole
from mode_dagster.extract.tally import Tally

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync
    from mode_dagster.extract.table import TableSync


class DueLists:
    """The lists of one endpoint: what is known of them, and which are due."""

    def __init__(self, sync: "Sync", endpoint: Endpoint, route: Route, tally: Tally) -> None:
        self.endpoint = endpoint
        self.route = route
        """Where the rows come from in this sync's listing mode."""
        self.is_listing = is_listing(endpoint, sync.settings.listing)
        """Whether they are read in every sync."""
        self.newest: Mapping[str, Mapping[str, datetime]] = {}
        """By report (or dataset), the newest run that is stored and finished, with when it was created."""
        self.unfinished: Mapping[str, Mapping[str, datetime]] = {}
        """By report (or dataset), the stored runs that had not finished, with when they were created."""
        self.stored: Mapping[str, int] = {}
        """By parent, the stored rows that are not gone."""
        self.noted: Version | None = None
        """What the ledger is to note where there is no parent to have a version."""
        self._sync = sync
        self._tally = tally
        self._is_recalled = False
        self._entries: dict[str, Entry] = {}

    def recall(self) -> None:
        """Looks up what is stored, once, before anything is fetched."""
        if self._is_recalled:
            return
        self._is_recalled = True
        stored, sync = self._sync.stored, self._sync
        if self.endpoint.history and len(self.route.placeholders) == 1:
            self.newest = stored.newest_finished(self.endpoint)
            self.unfinished = stored.unfinished(self.endpoint, sync.now())
        if self.route.pager is Pager.CURSOR:
            self._entries.update(stored.entries(self.endpoint))
        if sync.reconcile or not self.endpoint.history:
            self.stored = stored.counts(self.endpoint, self.route.owner)

    def find(self) -> list[Values]:
        """The lists to be read, newest first; looks up what is stored, in the main thread, which has dlt's context."""
        sync = self._sync
        with sync.stored.opened():
            self.recall()
            parents = sync.parents.of(self.endpoint)
            if self.is_listing:
                return list(parents)
            due = []
            for values, entry, is_due_now in self._judged(parents):
                if not is_due_now:
                    self._tally.unchanged += 1
                    continue
                due.append(values)
                if entry is not None:
                    self._entries[self.list_token(values)] = entry
        return sorted(due, key=newest_move, reverse=True)

    def preview(self, above: "TableSync") -> list[Values]:
        """The lists that would be due now; for parents that are still to be read, those of what is stored."""
        owner = above.due_lists.route.owner
        again = set() if above.done else {above.due_lists.list_token(values) for values in above.due}
        with self._sync.stored.opened():
            parents = self._sync.parents.of(self.endpoint)
            judged = self._judged(values for values in parents if values.get(owner) not in again)
            return [values for values, _, is_due_now in judged if is_due_now]

    def entry(self, values: Values) -> Entry | None:
        """What the ledger held of a due list; None where it was never read to its end."""
        return self._entries.get(self.list_token(values))

    def stored_rows(self, values: Values) -> int:
        """How many rows of a list are stored and not gone."""
        return self.stored.get(self.list_token(values), 0)

    def counter(self, values: Values) -> int | None:
        """How many rows of a list the parent says there are; None where it does not say."""
        return whole(values.get(self.endpoint.counter))

    def counted_before(self, values: Values) -> int | None:
        """What Mode's counter said when a due list was last read; None if it said nothing."""
        entry = self.entry(values)
        return whole(entry.version.get(self.endpoint.counter)) if entry else None

    def version(self, values: Values) -> Version:
        """What the parent says now of the list."""
        if self.noted is not None:
            return self.noted
        version = dict(version_of(self.endpoint, values))
        if self.endpoint.days == HISTORY_DAYS and self.endpoint.version:
            version[HISTORY_DAYS] = self._sync.settings.history_days
        return version

    def list_token(self, values: Values) -> str:
        """What the ledger calls the list: the token of its parent, empty for a list of the workspace."""
        name = self.route.owner
        token = str(values[name]) if name else ""
        return self._sync.privacy.pseudonym(token) if name == "username" else token

    def is_incremental(self, values: Values) -> bool:
        """Whether a list of runs need only be read back to the newest one that is stored and finished."""
        entry = self.entry(values)
        if self._sync.reconcile or not (self.endpoint.history and self.endpoint.version) or entry is None:
            return False
        return entry.outcome != REFUSED and covers(entry.version, self._sync.settings.history_days)

    def seemed_unchanged(self, values: Values) -> bool:
        """Whether a list that was read all the same, to reconcile, would not have been due."""
        entry = self.entry(values)
        if entry is None or self.is_listing:
            return False
        return not is_due(self.endpoint, entry, self.version(values), timedelta.max, self._sync.now())

    def _restricted(self, parents: Iterable[Values]) -> Iterable[Values]:
        """The parents that a sync of some reports only looks at."""
        only = self._sync.only_reports
        if not only:
            return parents
        known = list(parents)
        wanted = [values for values in known if values.get("report_token", "") in {"", *only}]
        if len(wanted) < len(known):
            self._tally.note = f"restricted to {len(only)} reports by the run config"
        return wanted

    def _judged(self, parents: Iterable[Values]) -> Iterator[tuple[Values, Entry | None, bool]]:
        """Each list, what the ledger holds of it, and whether it is due."""
        parents = self._restricted(parents)
        tokens: Collection[str] | None = None
        # the ledger has far more lists of runs than this sync looks at
        if self.route.parent and BY_NAME[self.route.parent].history:
            parents = list(parents)
            tokens = [self.list_token(values) for values in parents]
        entries = self._sync.stored.entries(self.endpoint, tokens)
        for values in parents:
            token = self.list_token(values)
            entry = entries.get(token)
            yield values, entry, token in self.unfinished or self._is_due(values, entry)

    def _is_due(self, values: Values, entry: Entry | None) -> bool:
        sync = self._sync
        if sync.reconcile:
            return True
        reread = timedelta(hours=sync.settings.reread_hours)
        return is_due(self.endpoint, entry, self.version(values), reread, sync.now())
