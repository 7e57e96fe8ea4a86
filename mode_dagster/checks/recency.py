"""How recent the loaded data is, by what Mode itself says of it.

Here: runs, edits and events that Mode knows of and that are not loaded.
Not here: how old a load may be (`mode_dagster.freshness`), when lists were read (`listings`), Mode's schedules
(`lateness`).
"""

# ruff: noqa: S608 - names come from the catalogue

from datetime import timedelta
from functools import partial

from mode_dagster.checks.counters import lists_of, owner_of
from mode_dagster.checks.loaded import Check, Finding, Loaded, NotLoadedError, counted_words, found_wrong, label
from mode_dagster.extract.endpoints import Endpoint, spoken
from mode_dagster.extract.ledger import COMPLETE, HISTORY_DAYS, REFUSED
from mode_dagster.freshness import LIMITS
from mode_dagster.warehouse.sql import interval, literal, quoted, sql_time

QUIET = timedelta(days=7)
"""A workspace in which nobody did anything for so long is unusual."""
APART = timedelta(hours=1)
"""How far apart two of Mode's times for the same run may be: it may have waited between them."""


def recency_checks(endpoint: Endpoint) -> list[Check]:
    """The checks of one table, as far as the catalogue knows what to compare it with."""
    checks = []
    if "last_run_at" in endpoint.version:
        checks.append(_run_check(endpoint, owner_of(endpoint)))
    if "edited_at" in endpoint.version:
        checks.append(_edit_check(endpoint, owner_of(endpoint)))
    if endpoint.history and endpoint.parent is None:
        checks.append(
            Check(
                "newest_event_is_recent",
                f"The newest event is at most {QUIET.days} days older than when the list was read.",
                partial(_quiet, endpoint),
                advice="Look in Mode whether it was really so quiet, or whether it keeps events back from this token.",
            )
        )
    return checks


def _run_check(endpoint: Endpoint, owner: Endpoint) -> Check:
    return Check(
        "newest_run_is_loaded",
        f"The run that last_run_at of each of the {spoken(owner.name)} tells of is here, as far back as `history_days` "
        "reaches.",
        partial(_runs_behind, endpoint, owner),
        advice="Materialize this table; a sync that was bounded or restricted leaves some for later.",
    )


def _edit_check(endpoint: Endpoint, owner: Endpoint) -> Check:
    hours = int(LIMITS[endpoint.family].warn.total_seconds() // 3600)
    return Check(
        "edits_are_loaded",
        f"No report was edited more than {hours} hours ago without its {spoken(endpoint.name)} having been read since.",
        partial(_edits_behind, endpoint, owner),
        advice="Materialize this table; a sync that was bounded or restricted leaves some for later.",
    )


def _runs_behind(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> Finding:
    (column,) = endpoint.list_columns
    source = loaded.table(owner.name, "token", "last_run_at")
    runs = loaded.table(endpoint.name, column, "created_at")
    days = f"CAST(json_extract_string(version, '$.{HISTORY_DAYS}') AS INTEGER)"
    listed, stored = loaded.row(
        f"SELECT (SELECT max(last_run_at) FROM {source} AS t WHERE {loaded.live(owner)}), "
        f"(SELECT max(created_at) FROM {runs})"
    )
    if listed is None:
        raise NotLoadedError(f"none of the {owner.name} says when it ran last")
    behind = loaded.wrong(
        f"""
        WITH ledger AS (SELECT *, {days} AS days FROM {loaded.ledger()} WHERE endpoint = {literal(endpoint.name)}),
        usual AS (
            SELECT max(days) AS days, max(read_at) AS read_at
            FROM ledger
            WHERE read_at = (SELECT max(read_at) FROM ledger)
        ),
        newest AS (SELECT {quoted(column)} AS owner, max(created_at) AS created_at FROM {runs} GROUP BY 1)
        SELECT {label(owner, loaded)}, o.last_run_at, newest.created_at AS newest_run_here, l.read_at
        FROM {source} AS o
        LEFT JOIN newest ON newest.owner = o.token
        LEFT JOIN ledger AS l ON l.parent = o.token
        CROSS JOIN usual
        WHERE {loaded.live(owner, "o")}
            AND o.last_run_at IS NOT NULL
            AND (newest.created_at IS NULL OR o.last_run_at > newest.created_at + {interval(APART)})
            AND coalesce(l.outcome, '') <> '{REFUSED}'
            AND (
                coalesce(l.days, usual.days, 0) = 0
                OR o.last_run_at
                    >= coalesce(l.read_at, usual.read_at) - coalesce(l.days, usual.days) * INTERVAL '1 day'
            )
        """,
        "last_run_at DESC",
    )
    return found_wrong(
        behind,
        f"{counted_words(behind.count, owner)} with a newer run in Mode than here.",
        {"newest_in_mode": listed, "newest_here": stored, f"{owner.name}_behind": behind.count},
    )


def _edits_behind(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> Finding:
    source = loaded.table(owner.name, "token", "edited_at")
    listed = loaded.read_at(owner.name)
    if listed is None:
        raise NotLoadedError(f"the ledger knows nothing of the {owner.name}")
    old = sql_time(listed - LIMITS[endpoint.family].warn)
    behind = loaded.wrong(
        f"""
        WITH ledger AS (SELECT * FROM {loaded.ledger()} WHERE endpoint = {literal(endpoint.name)}),
        lists AS ({lists_of(endpoint, owner, loaded)}),
        whole AS (SELECT max(read_at) AS read_at FROM ledger WHERE parent = ''),
        read AS (
            SELECT lists.owner, min(greatest(l.read_at, whole.read_at)) AS read_at,
                count(*) FILTER (l.read_at IS NULL AND whole.read_at IS NULL) AS unread
            FROM lists
            LEFT JOIN ledger AS l ON l.parent = lists.list
            CROSS JOIN whole
            WHERE coalesce(l.outcome, '') <> '{REFUSED}'
            GROUP BY lists.owner
        )
        SELECT {label(owner, loaded)}, o.edited_at, CASE WHEN read.unread = 0 THEN read.read_at END AS read_at
        FROM {source} AS o
        JOIN read ON read.owner = o.token
        WHERE {loaded.live(owner, "o")} AND o.edited_at < {old} AND (read.unread > 0 OR read.read_at < o.edited_at)
        """,
        "edited_at DESC",
    )
    (newest,) = loaded.row(f"SELECT max(edited_at) FROM {source} AS t WHERE {loaded.live(owner)}")
    return found_wrong(
        behind,
        f"{counted_words(behind.count, owner)} edited since the {spoken(endpoint.name)} were read.",
        {"newest_edit": newest, "newest_read": loaded.read_at(endpoint.name), f"{owner.name}_behind": behind.count},
    )


def _quiet(endpoint: Endpoint, loaded: Loaded) -> Finding:
    time = next(column.name for column in endpoint.columns if column.data_type == "timestamp")
    events = loaded.table(endpoint.name, time)
    of_this = f"endpoint = {literal(endpoint.name)}"
    found = loaded.all(f"SELECT outcome, read_at FROM {loaded.ledger()} WHERE {of_this} ORDER BY read_at DESC")
    if not found or found[0][0] != COMPLETE:
        raise NotLoadedError(f"Mode does not let this key read the {spoken(endpoint.name)}")
    newest, count = loaded.row(f"SELECT max({quoted(time)}), count(*) FROM {events}")
    read_at = found[0][1]
    age = read_at - newest if newest else None
    return Finding(
        passed=age is not None and age <= QUIET,
        says=f"The newest event was {age.total_seconds() / 3600:,.1f} hours old when the list was read."
        if age is not None
        else "The list was read and has no event at all.",
        numbers={"events": count, "newest_event": newest, "read_at": read_at},
    )
