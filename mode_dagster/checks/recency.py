"""How recent the loaded data is, by what Mode itself says of it.

Here: runs, edits and events that Mode knows of and that are not loaded; lists that were not read for too long; Mode's
schedules that did not run.
Not here: how old a load may be (`mode_dagster.freshness`).
"""

# ruff: noqa: S608 - names come from the catalogue

from datetime import datetime, timedelta
from functools import partial

from mode_dagster.checks.counters import lists_of, owner_of
from mode_dagster.checks.loaded import (
    Check,
    Finding,
    Loaded,
    NotLoadedError,
    counted_words,
    moment,
    plural,
    quoted,
    text,
    words,
)
from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint
from mode_dagster.extract.ledger import COMPLETE, HISTORY_DAYS, REFUSED
from mode_dagster.freshness import LIMITS

QUIET = timedelta(days=7)
"""A workspace in which nobody did anything for so long is unusual."""
LATE = timedelta(hours=1)
"""How late a run of Mode's may start, and how far apart two of its times for the same run may be."""
EARLY = timedelta(minutes=5)
"""How much before it was due a run may have begun."""


def recency_checks(endpoint: Endpoint) -> list[Check]:
    """The checks of one table, as far as the catalogue knows what to compare it with."""
    checks = []
    if "last_run_at" in endpoint.version:
        owner = owner_of(endpoint)
        says = (
            f"Of each of the {owner.name} the run is here that its last_run_at tells of, as far back as `history_days` "
            "reaches."
        )
        checks.append(Check("newest_run_is_loaded", says, partial(_runs_behind, endpoint, owner)))
    if "edited_at" in endpoint.version:
        hours = _hours(endpoint)
        says = f"No edit of a report is older than {hours} hours without its {plural(endpoint)} having been read since."
        checks.append(Check("edits_are_loaded", says, partial(_edits_behind, endpoint, owner_of(endpoint))))
    if endpoint.history and endpoint.parent is None:
        says = f"The newest event is at most {QUIET.days} days older than when the list was read."
        checks.append(Check("newest_event_is_recent", says, partial(_quiet, endpoint)))
    if any(column.name == "next_scheduled_run" for column in endpoint.columns):
        says = (
            "No schedule of Mode's was due more than an hour before the listing was read and has not run since. "
            "Archived things are left out."
        )
        checks.append(Check("schedules_ran_on_time", says, partial(_late_schedules, endpoint, owner_of(endpoint))))
    return checks


def ledger_recency_checks() -> list[Check]:
    """The check of the ledger's times."""
    says = (
        "Every list that is read in every sync was read within the time that its family may take: "
        f"{', '.join(sorted({f'{limit.warn.total_seconds() / 3600:.0f} hours' for limit in LIMITS.values()}))}."
    )
    return [Check("lists_were_read_lately", says, _unread_lists)]


def _hours(endpoint: Endpoint) -> int:
    return int(LIMITS[endpoint.family].warn.total_seconds() // 3600)


def _label(owner: Endpoint, loaded: Loaded) -> str:
    """Token, name and address of an owner `o`, as far as they are there."""
    there = loaded.columns(owner.name)
    name, address = (f"o.{field}" if field in there else "NULL" for field in ("name", "web_url"))
    return f"o.token AS {owner.noun}, {name} AS name, {address} AS address"


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
        WITH ledger AS (SELECT *, {days} AS days FROM {loaded.ledger()} WHERE endpoint = {text(endpoint.name)}),
        usual AS (SELECT arg_max(days, read_at) AS days, max(read_at) AS read_at FROM ledger),
        newest AS (SELECT {quoted(column)} AS owner, max(created_at) AS created_at FROM {runs} GROUP BY 1)
        SELECT {_label(owner, loaded)}, o.last_run_at, newest.created_at AS newest_run_here, l.read_at
        FROM {source} AS o
        LEFT JOIN newest ON newest.owner = o.token
        LEFT JOIN ledger AS l ON l.parent = o.token
        CROSS JOIN usual
        WHERE {loaded.live(owner, "o")}
            AND o.last_run_at IS NOT NULL
            AND (newest.created_at IS NULL OR o.last_run_at > newest.created_at + {_interval(LATE)})
            AND coalesce(l.outcome, '') <> '{REFUSED}'
            AND (coalesce(l.days, usual.days, 0) = 0
                OR o.last_run_at >= coalesce(l.read_at, usual.read_at) - to_days(coalesce(l.days, usual.days)))
        """,
        "last_run_at DESC",
    )
    return Finding(
        passed=not behind.count,
        says=f"{counted_words(behind.count, owner)} with a newer run in Mode than here.",
        numbers={"newest_in_mode": listed, "newest_here": stored, f"{owner.name}_behind": behind.count},
        columns=behind.columns,
        rows=behind.rows,
    )


def _edits_behind(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> Finding:
    source = loaded.table(owner.name, "token", "edited_at")
    listed = loaded.read_at(owner.name)
    if listed is None:
        raise NotLoadedError(f"the ledger knows nothing of the {owner.name}")
    old = moment(listed - LIMITS[endpoint.family].warn)
    behind = loaded.wrong(
        f"""
        WITH ledger AS (SELECT * FROM {loaded.ledger()} WHERE endpoint = {text(endpoint.name)}),
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
        SELECT {_label(owner, loaded)}, o.edited_at, CASE WHEN read.unread = 0 THEN read.read_at END AS read_at
        FROM {source} AS o
        JOIN read ON read.owner = o.token
        WHERE {loaded.live(owner, "o")} AND o.edited_at < {old} AND (read.unread > 0 OR read.read_at < o.edited_at)
        """,
        "edited_at DESC",
    )
    (newest,) = loaded.row(f"SELECT max(edited_at) FROM {source} AS t WHERE {loaded.live(owner)}")
    return Finding(
        passed=not behind.count,
        says=f"{counted_words(behind.count, owner)} edited since the {plural(endpoint)} were read.",
        numbers={
            "newest_edit": newest,
            "newest_read": loaded.read_at(endpoint.name),
            f"{owner.name}_behind": behind.count,
        },
        columns=behind.columns,
        rows=behind.rows,
    )


def _quiet(endpoint: Endpoint, loaded: Loaded) -> Finding:
    time = next(column.name for column in endpoint.columns if column.data_type == "timestamp")
    events = loaded.table(endpoint.name, time)
    found = loaded.all(
        f"SELECT outcome, read_at FROM {loaded.ledger()} WHERE endpoint = {text(endpoint.name)} ORDER BY read_at DESC"
    )
    if not found or found[0][0] != COMPLETE:
        raise NotLoadedError(f"Mode does not let this key read the {plural(endpoint)}")
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


def _late_schedules(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> Finding:
    column = endpoint.list_columns[0]
    schedules = loaded.table(endpoint.name, "token", column, "next_scheduled_run", "last_scheduled_run", "last_run_at")
    known = loaded.read_at(owner.name)
    if known is None:
        raise NotLoadedError(f"the ledger knows nothing of the {owner.name}")
    late = loaded.wrong(_late(endpoint, owner, schedules, known, loaded), "due_at")
    live, unknown = loaded.row(
        f"SELECT count(*), count(*) FILTER (next_scheduled_run IS NULL AND last_scheduled_run IS NULL) "
        f"FROM {schedules} AS t WHERE {loaded.live(endpoint)}"
    )
    return Finding(
        passed=not late.count,
        says=f"{words(late.count, 'schedule')} of {live:,} did not run when due.",
        numbers={"schedules": live, "without_times": unknown, "late": late.count, "known_until": known},
        columns=late.columns,
        rows=late.rows,
    )


def _late(endpoint: Endpoint, owner: Endpoint, schedules: str, known: datetime, loaded: Loaded) -> str:
    """The schedules that were due, by Mode's own times, and did not run; what can't be told is left out.

    A schedule is read again when its report moves, so its next run, when it has passed, is the one that was left out.
    """
    column = quoted(endpoint.list_columns[0])
    late = moment(known - LATE)
    there = loaded.columns(owner.name)
    creator, archived, last_run = (
        f"o.{field}" if field in there else empty
        for field, empty in (("creator_username", "NULL"), ("archived", "FALSE"), ("last_run_at", "NULL::TIMESTAMPTZ"))
    )
    return f"""
        WITH runs AS ({_scheduled_runs(owner, loaded)}),
        due AS (
            SELECT t.*,
                CASE WHEN next_scheduled_run < {late} THEN next_scheduled_run ELSE last_scheduled_run END AS due_at
            FROM {schedules} AS t
            WHERE {loaded.live(endpoint)}
        ),
        newest AS (SELECT owner, max(started_at) AS started_at FROM runs GROUP BY 1),
        scheduled AS (SELECT schedule, max(started_at) AS started_at FROM runs GROUP BY 1)
        SELECT due.token AS schedule, {_label(owner, loaded)}, {creator} AS created_by, due.due_at,
            greatest(due.last_run_at, scheduled.started_at) AS last_run
        FROM due
        JOIN {loaded.table(owner.name, "token")} AS o ON o.token = due.{column}
        LEFT JOIN scheduled ON scheduled.schedule = due.token
        LEFT JOIN newest ON newest.owner = o.token
        WHERE {loaded.live(owner, "o")} AND NOT coalesce({archived}, FALSE) AND due.due_at < {late}
            AND coalesce(greatest(due.last_run_at, scheduled.started_at) < due.due_at - {_interval(EARLY)}, TRUE)
            -- where Mode names no schedule anywhere, nobody can tell what it started
            AND (due.last_run_at IS NOT NULL OR (SELECT count(schedule) > 0 FROM scheduled))
            -- it ran, and the run is not loaded: whether by schedule is not known
            AND NOT coalesce({last_run} >= due.due_at - {_interval(EARLY)}
                AND coalesce(newest.started_at < {last_run} - {_interval(LATE)}, TRUE), FALSE)
    """


def _scheduled_runs(owner: Endpoint, loaded: Loaded) -> str:
    """A SELECT of an owner's runs with the schedule that started them; empty where they are not loaded."""
    runs = next(endpoint for endpoint in ENDPOINTS if endpoint.history and endpoint.parent == owner.name)
    (column,) = runs.list_columns
    if not {column, "report_schedule_token", "created_at"} <= loaded.columns(runs.name):
        return "SELECT NULL::VARCHAR AS owner, NULL::VARCHAR AS schedule, NULL::TIMESTAMPTZ AS started_at WHERE FALSE"
    source = loaded.table(runs.name)
    return f"SELECT {column} AS owner, report_schedule_token AS schedule, created_at AS started_at FROM {source}"


def _unread_lists(loaded: Loaded) -> Finding:
    """Lists of the listing mode in use: another mode's are left behind when the setting changes."""
    limits = ", ".join(
        f"({text(endpoint.name)}, {LIMITS[endpoint.family].warn.total_seconds() / 3600:.0f})"
        for endpoint in ENDPOINTS
        if not endpoint.daily
    )
    versioned = ", ".join(text(endpoint.name) for endpoint in ENDPOINTS if endpoint.version)
    by_table = loaded.all(
        f"""
        WITH ledger AS (
            SELECT l.*, limits.hours,
                (parent = '') = (arg_max(parent, read_at) OVER (PARTITION BY l.endpoint) = '') AS is_used
            FROM {loaded.ledger()} AS l
            JOIN (VALUES {limits}) AS limits(endpoint, hours) ON limits.endpoint = l.endpoint
        )
        SELECT endpoint, count(*) AS lists, min(read_at) AS oldest, max(read_at) AS newest, any_value(hours) AS hours,
            min(read_at) < {moment(loaded.now)} - to_hours(any_value(hours)) AS is_old
        FROM ledger
        WHERE is_used AND (parent = '' OR endpoint NOT IN ({versioned}))
        GROUP BY endpoint
        ORDER BY oldest
        """
    )
    old = [row[0] for row in by_table if row[5]]
    return Finding(
        passed=not old,
        says=f"Not read for too long: {', '.join(old)}."
        if old
        else f"All of {words(len(by_table), 'listing')} are recent.",
        numbers={"oldest": min((row[2] for row in by_table), default=None), "listings": len(by_table)},
        columns=["table", "lists", "read first", "read last", "hours allowed", "too old"],
        rows=by_table,
    )


def _interval(length: timedelta) -> str:
    return f"INTERVAL {int(length.total_seconds())} SECONDS"
