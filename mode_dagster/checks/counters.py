"""Rows compared with Mode's own counters on the row above them.

Here: which lists may be compared, and how they differ.
Not here: the counters of the sync's own lists (`mode_dagster.materialization`).

Only a list that was read to its end, and whose parent has not moved since, has to have as many rows as Mode counts:
one that is due again or that Mode refuses says nothing.
"""

# ruff: noqa: S608 - names come from the catalogue

from functools import partial
from typing import NamedTuple

from mode_dagster.checks.loaded import SHOWN, Check, Finding, Loaded, NotLoadedError, counted_words, label
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Column, Endpoint
from mode_dagster.extract.ledger import COMPLETE, EMPTY, HISTORY_DAYS
from mode_dagster.warehouse.sql import literal, quoted


class Compared(NamedTuple):
    """An owner whose lists may be compared: by what people know it, Mode's number of rows, and ours."""

    token: str
    name: str | None
    address: str | None
    by_mode: int
    here: int
    difference: int


_CANONICAL = {
    "timestamp": ("TRY_CAST({version} AS TIMESTAMPTZ)", "date_trunc('millisecond', {now})"),
    "bigint": ("TRY_CAST({version} AS BIGINT)", "{now}"),
}
"""How a value of the ledger's version compares with the parent's column; text as it is."""


def counter_checks(endpoint: Endpoint) -> list[Check]:
    """The check of a table that Mode counts, or none."""
    if not endpoint.counter:
        return []
    owner = owner_of(endpoint)
    less = "at least" if endpoint.history else "exactly"
    return [
        Check(
            "rows_match_modes_counter",
            f"Each of the {owner.name} has {less} as many rows as its {endpoint.counter} says, where its list was read "
            "completely and it has not changed since. A counter that Mode does not send is not compared.",
            partial(_compare, endpoint, owner),
            advice="Run the reconciling job; if they differ after it, this API token can't see all of them.",
        )
    ]


def owner_of(endpoint: Endpoint) -> Endpoint:
    """The table at the top of the path, which has the counters and times of all lists below it."""
    return next(above for above in ENDPOINTS if f"{above.noun}_token" == endpoint.list_columns[0])


def lists_of(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> str:
    """A SELECT of the lists of an endpoint: the owner's token, and what the ledger calls the list."""
    source = loaded.table(owner.name, "token")
    if len(endpoint.list_columns) == 1:
        return f"SELECT t.token AS owner, t.token AS list FROM {source} AS t WHERE {loaded.live(owner)}"
    middle = BY_NAME[endpoint.parent or ""]
    between = loaded.table(middle.name, "token", endpoint.list_columns[0])
    return (
        f"SELECT t.{quoted(endpoint.list_columns[0])} AS owner, t.token AS list FROM {between} AS t "
        f"WHERE {loaded.live(middle)}"
    )


def _compare(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> Finding:
    compared = [Compared(*row) for row in loaded.all(_compared(endpoint, owner, loaded))]
    (counted,) = loaded.row(
        f"SELECT count(*) FROM {loaded.table(owner.name, endpoint.counter)} AS t "
        f"WHERE {loaded.live(owner)} AND {quoted(endpoint.counter)} IS NOT NULL"
    )
    if not counted:
        raise NotLoadedError(f"Mode sends no {endpoint.counter}")
    differing = [row for row in compared if (row.difference < 0 if endpoint.history else row.difference != 0)]
    worst = sorted(differing, key=lambda row: -abs(row.difference))
    return Finding(
        passed=not differing,
        says=f"{len(differing):,} of {counted_words(len(compared), owner)} compared differ from Mode's "
        f"{endpoint.counter}.",
        numbers={
            "rows_by_mode": sum(row.by_mode for row in compared),
            "rows_here": sum(row.here for row in compared),
            "difference": sum(row.difference for row in differing),
            "compared": len(compared),
            "not_compared": counted - len(compared),
            "differing": len(differing),
        },
        columns=[owner.noun, "name", "by Mode", "here", "difference", "address"],
        rows=[(row.token, row.name, row.by_mode, row.here, row.difference, row.address) for row in worst[:SHOWN]],
    )


def _compared(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> str:
    """One row for each owner whose lists may be compared, with the columns of `Compared`."""
    source = loaded.table(owner.name, "token", endpoint.counter)
    rows = loaded.table(endpoint.name, endpoint.list_columns[0])
    counter, column = quoted(endpoint.counter), quoted(endpoint.list_columns[0])
    return f"""
        WITH ledger AS {loaded.ledger()},
        lists AS ({lists_of(endpoint, owner, loaded)}),
        complete AS (
            SELECT lists.owner
            FROM lists
            JOIN {source} AS o ON o.token = lists.owner
            LEFT JOIN ledger AS l ON l.endpoint = {literal(endpoint.name)} AND l.parent = lists.list
                AND l.outcome IN ('{COMPLETE}', '{EMPTY}') AND {_is_current(endpoint, owner, loaded)}
            GROUP BY lists.owner
            HAVING count(*) = count(l.parent)
        ),
        in_one_list AS (
            SELECT count(*) > 0 AS is_so
            FROM ledger AS l
            JOIN ledger AS above ON above.first_load_id = l.first_load_id
            WHERE l.endpoint = {literal(endpoint.name)} AND l.parent = '' AND l.outcome = '{COMPLETE}'
                AND above.endpoint = {literal(owner.name)} AND above.parent = ''
        ),
        ours AS (SELECT t.{column} AS owner, count(*) AS rows FROM {rows} AS t WHERE {loaded.live(endpoint)} GROUP BY 1)
        SELECT {label(owner, loaded)}, o.{counter} AS by_mode, coalesce(ours.rows, 0) AS here,
            coalesce(ours.rows, 0) - o.{counter} AS difference
        FROM {source} AS o
        LEFT JOIN ours ON ours.owner = o.token
        WHERE {loaded.live(owner, "o")} AND o.{counter} IS NOT NULL
            AND ((SELECT is_so FROM in_one_list) OR o.token IN (SELECT owner FROM complete))
    """


def _is_current(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> str:
    """The condition that a list was read in the version of its owner `o` that is stored, as far as `l` knows it."""
    if not endpoint.version:
        read = f"SELECT max(read_at) FROM ledger WHERE endpoint = {literal(owner.name)}"
        return f"l.read_at >= ({read})"
    conditions = [
        _is_same(column)
        for column in owner.columns
        if column.name in (*endpoint.version, "updated_at") and column.name in loaded.columns(owner.name)
    ]
    if endpoint.days == HISTORY_DAYS:
        conditions.append(f"json_extract_string(l.version, '$.{HISTORY_DAYS}') = '0'")
    return " AND ".join(conditions)


def _is_same(column: Column) -> str:
    """The condition that the ledger's version and the row of the parent agree; what it does not hold says nothing."""
    version, now = _CANONICAL.get(column.data_type, ("{version}", "{now}"))
    held = version.format(version=f"json_extract_string(l.version, '$.{column.name}')")
    stored = now.format(now=f"o.{quoted(column.name)}")
    return f"(json_extract(l.version, '$.{column.name}') IS NULL OR {held} IS NOT DISTINCT FROM {stored})"
