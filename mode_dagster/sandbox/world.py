"""The made-up workspace with its clock, and the truth about every catalogue table, for tests to compare with.

Not here: what exists at a moment (`moment`) and why (`history`).
"""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from mode_dagster.extract.endpoints import BY_NAME, Endpoint, Listing
from mode_dagster.sandbox.history import History
from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.options import SandboxOptions

PLAIN = (str, int, bool, float, datetime, type(None))


class World:
    """The workspace as a function of seed and clock."""

    def __init__(self, options: SandboxOptions) -> None:
        """Make the workspace; what it says from now on depends on the clock only."""
        self._clock = options.clock or (lambda: datetime.now(UTC))
        self.history = History(options, self.now())

    @property
    def epoch(self) -> datetime:
        """Where runs and audit logs begin."""
        return self.history.epoch

    def now(self) -> datetime:
        """What time it is in the workspace."""
        return self._clock().astimezone(UTC)

    def moment(self) -> Moment:
        """The workspace as it is now."""
        return Moment(self.history, self.now())

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row that a catalogue table has now: key columns, tokens of its parents, plain facts."""
        return list(_rows(self.moment(), BY_NAME[table]))

    def truth(self, table: str) -> set[Any]:
        """The keys of those rows: a string for one key column, a tuple for several."""
        key = BY_NAME[table].key
        return {row[key[0]] if len(key) == 1 else tuple(row[name] for name in key) for row in self.rows(table)}


def _rows(moment: Moment, endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    route = endpoint.rest or endpoint.route(Listing.DISCOVERY)
    # users have no parent here: they are the people who made or ran something
    names = route.placeholders if route and endpoint.name != "users" else ()
    for tokens in _parents(moment, endpoint) if names else ({},):
        for record in moment.listing(endpoint.name, tokens) or ():
            if endpoint.name == "reports" and record.is_dataset:
                continue
            yield {**_facts(endpoint, record), **{name: tokens[name] for name in names}}


def _parents(moment: Moment, endpoint: Endpoint) -> Iterator[dict[str, str]]:
    parent = BY_NAME[str(endpoint.parent)]
    also = endpoint.rest.also if endpoint.rest else ""
    for row in (*_rows(moment, parent), *(_rows(moment, BY_NAME[also]) if also else ())):
        if endpoint.name in PRIVATE_IS_INVALID and row["space_type"] == "private":
            continue
        yield {**row, f"{parent.noun}_token": row["token"]}


PRIVATE_IS_INVALID = frozenset({"space_memberships", "space_permissions"})
"""Lists that Mode refuses with 400 for personal collections."""


def _facts(endpoint: Endpoint, record: Any) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    facts = {name: value for name, value in values.items() if isinstance(value, PLAIN)}
    return {**facts, "report_token": record.token} if endpoint.name == "report_stats" else facts
