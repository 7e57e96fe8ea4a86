"""The ledger: one row for every list that was read, so that what is loaded decides what is fetched.

Here: the table `sync_ledger`, what a version is, and when a list must be read again.
Not here: what is asked of the table (`stored`), what is asked when (`sync`).

A ledger row is loaded together with the rows of its list, or after them, and carries their last `_dlt_load_id`.
It counts only once dlt has noted that load as complete, so it can't run ahead of the data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dlt.common.json import json

from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint, Listing, document, number, text, time
from mode_dagster.extract.rows import whole

LEDGER = "sync_ledger"
LEDGER_MEANING = "What was read of every list, when, in which version of its parent, and with what outcome."
LEDGER_KEY = ("endpoint", "parent")
LEDGER_COLUMNS = (
    text("endpoint", "Table that the list belongs to."),
    text("parent", "Token of what the list hangs on (report, query, run …); empty for a list of the workspace."),
    text("workspace", "Workspace that it was read from."),
    document("version", "What the parent said of itself when the list was read; the list is read again when it moves."),
    text("outcome", "complete, empty (Mode's counter said 0, so nothing was asked) or refused (see `http_status`)."),
    number("http_status", "Status of a refusal."),
    number("rows", "Rows read: of runs only those that were new or unfinished."),
    number("counted", "Rows by Mode's own counter, where it has one."),
    time("read_at", "When the list was read."),
    text("first_load_id", "First load of the sync, if the list is read in every sync: what an older one saw is gone."),
)
COMPLETE, EMPTY, REFUSED = "complete", "empty", "refused"

HISTORY_DAYS = "history_days"
"""The setting is part of a version: who asks for more history reads the list again."""

Values = Mapping[str, Any]
"""What is kept of a parent row: what fills its children's paths, its counters and times."""
Version = Mapping[str, Any]


class Kept(Mapping[str, Any]):
    """Values that are kept for a whole sync, of each report and query: a dict would take three times the memory."""

    __slots__ = ("_names", "_values")
    _shared: ClassVar[dict[tuple[str, ...], tuple[str, ...]]] = {}

    def __init__(self, values: Values) -> None:
        names = tuple(values)
        self._names = self._shared.setdefault(names, names)
        self._values = tuple(values.values())

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._values[self._names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger holds of one list."""

    document: Any
    """The version as it is stored: JSON, as text or parsed already; None for none."""
    outcome: str
    read_at: datetime

    @property
    def version(self) -> Version:
        """What the parent said when the list was read."""
        return (json.loads(self.document) if isinstance(self.document, str) else self.document) or {}


def completed(ledger: str, loads: str) -> str:
    """A SELECT of the ledger's rows that count: those of completed loads. Takes the two tables as SQL names them."""
    return f"SELECT l.* FROM {ledger} AS l JOIN {loads} AS d ON d.load_id = l._dlt_load_id AND d.status = 0"  # noqa: S608


def is_listing(endpoint: Endpoint, listing: Listing) -> bool:
    """Whether a list is read in every sync, because it is what tells of changes in the others."""
    route = endpoint.route(listing)
    return route is None or route.parent is None or not (endpoint.version or endpoint.daily)


def covers(version: Version, history_days: int) -> bool:
    """Whether a list was read at least so many days back (0 for all)."""
    loaded = version.get(HISTORY_DAYS)
    return loaded is not None and (int(loaded) == 0 or 0 < history_days <= int(loaded))


def is_known_empty(endpoint: Endpoint, values: Values) -> bool:
    """Whether Mode's counter is present and says that a list has nothing; absent means unknown."""
    counter = endpoint.counter or endpoint.nothing_without
    return bool(counter) and whole(values.get(counter)) == 0


def version_of(endpoint: Endpoint, values: Values) -> Version:
    """What the parent says that moves when the list may have moved.

    Only fields that Mode sent are in it. Where none of the endpoint's own times is known, `updated_at` stands in: it
    moves more often, but never less.
    """
    version = {name: canonical(values[name]) for name in endpoint.version if name in values}
    times = [at for name, at in version.items() if not name.endswith("_count") and at is not None]
    if endpoint.version and not times and values.get("updated_at") is not None:
        version["updated_at"] = canonical(values["updated_at"])
    return version


def canonical(value: Any) -> Any:
    """A time in one form, whether it comes from Mode or from the destination; a counter as a number."""
    if isinstance(value, str) and (count := whole(value)) is not None:
        return count
    at = moment(value)
    return value if at is None else at.isoformat(timespec="milliseconds")


def moment(value: Any) -> datetime | None:
    """A time as Mode or the destination says it, in UTC; None if it is none, or not of the years 1 to 9999."""
    try:
        value = datetime.fromisoformat(value) if isinstance(value, str) else value
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) if isinstance(value, datetime) else None
    except (ValueError, OverflowError):
        return None


def has_moved(old: Version, new: Version) -> bool:
    """Whether the list must be read again.

    A field that one of the two lacks says nothing; where they share nothing but counters, all is unknown, as where
    `updated_at` stands in for the first time.
    """
    if new.get("updated_at") is not None and "updated_at" not in old:
        return True
    common = old.keys() & new.keys()
    if all(name.endswith("_count") or name == HISTORY_DAYS for name in common):
        return True
    return any(old[name] != new[name] for name in common)


def is_due(endpoint: Endpoint, entry: Entry | None, version: Version, reread: timedelta, now: datetime) -> bool:
    """Whether a list that has a parent must be read in this sync.

    Args:
        entry: What the ledger holds of it, None where it was never read to its end.
        version: What the parent says now.
        reread: How old lists without any version, and refusals, may get.
    """
    if entry is None:
        return True
    if not endpoint.version or (entry.outcome == REFUSED and not has_moved(entry.version, version)):
        # a time of reading that lies ahead comes from a clock that was wrong
        return not timedelta(0) <= now - entry.read_at < reread
    return has_moved(entry.version, version)


def kept_for_children(endpoint: Endpoint) -> frozenset[str]:
    """The fields that paths, counters and versions of everything below an endpoint need."""
    kept: set[str] = set()
    for child in ENDPOINTS:
        if child.rest and endpoint.name in (child.parent, child.rest.also):
            kept |= {*child.rest.placeholders, *child.version, child.counter, child.nothing_without}
            kept |= {"updated_at", "created_at" if child.history else ""} | kept_for_children(child)
    return frozenset(kept - {"", "username", f"{endpoint.noun}_token"})


def newest_move(values: Values) -> str:
    """When the parent last moved, for reading the newest first."""
    times = (moment(values.get(name)) for name in ("last_run_at", "edited_at", "created_at"))
    return max((at.isoformat() for at in times if at), default="")


def is_before(values: Values, since: datetime | None) -> bool:
    """Whether a row was created before `since`; False where either is unknown."""
    created = moment(values.get("created_at"))
    return since is not None and created is not None and created < since
