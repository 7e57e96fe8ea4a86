"""Mode's own schedules: whether what was due has run.

Here: from the times that Mode itself tells.
Not here: when it should have run by the schedule's own words (the model `late_reports`), Dagster's schedules.
"""

# ruff: noqa: S608 - names come from the catalogue

from datetime import datetime, timedelta
from functools import partial

from mode_dagster.checks.counters import owner_of
from mode_dagster.checks.loaded import Check, Finding, Loaded, NotLoadedError, found_wrong, label
from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint
from mode_dagster.warehouse.sql import interval, quoted, sql_time
from mode_dagster.wording import words

LATE = timedelta(hours=1)
"""How late a run may start."""
EARLY = timedelta(minutes=5)
"""How much before it was due a run may have begun."""


def schedule_checks(endpoint: Endpoint) -> list[Check]:
    """The check of a table of schedules."""
    if not any(column.name == "next_scheduled_run" for column in endpoint.columns):
        return []
    says = (
        "No schedule of Mode's was due more than an hour before the listing was read and has not run since. "
        "Archived things are left out."
    )
    advice = "Look at the schedule in Mode: was it paused, or is its data source asleep?"
    return [Check("schedules_ran_on_time", says, partial(_find_late, endpoint, owner_of(endpoint)), advice)]


def _find_late(endpoint: Endpoint, owner: Endpoint, loaded: Loaded) -> Finding:
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
    return found_wrong(
        late,
        f"{words(late.count, 'schedule')} of {live:,} did not run when due.",
        {"schedules": live, "without_times": unknown, "late": late.count, "known_until": known},
    )


def _late(endpoint: Endpoint, owner: Endpoint, schedules: str, known: datetime, loaded: Loaded) -> str:
    """The schedules that were due, by Mode's own times, and did not run; what can't be told is left out.

    A schedule is read again when its report moves, so its next run, when it has passed, is the one that was left out.
    """
    column = quoted(endpoint.list_columns[0])
    late = sql_time(known - LATE)
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
        SELECT due.token AS schedule, {label(owner, loaded)}, due.due_at,
            greatest(due.last_run_at, scheduled.started_at) AS last_run
        FROM due
        JOIN {loaded.table(owner.name, "token", "archived", "last_run_at")} AS o ON o.token = due.{column}
        LEFT JOIN scheduled ON scheduled.schedule = due.token
        LEFT JOIN newest ON newest.owner = o.token
        WHERE {loaded.live(owner, "o")} AND NOT coalesce(o.archived, FALSE) AND due.due_at < {late}
            AND coalesce(greatest(due.last_run_at, scheduled.started_at) < due.due_at - {interval(EARLY)}, TRUE)
            -- where Mode names no schedule anywhere, nobody can tell what it started
            AND (due.last_run_at IS NOT NULL OR (SELECT count(schedule) > 0 FROM scheduled))
            -- it ran, and the run is not loaded: whether by schedule is not known
            AND NOT coalesce(o.last_run_at >= due.due_at - {interval(EARLY)}
                AND coalesce(newest.started_at < o.last_run_at - {interval(LATE)}, TRUE), FALSE)
    """


def _scheduled_runs(owner: Endpoint, loaded: Loaded) -> str:
    """A SELECT of an owner's runs with the schedule that started them; empty where they are not loaded."""
    runs = next(endpoint for endpoint in ENDPOINTS if endpoint.history and endpoint.parent == owner.name)
    (column,) = runs.list_columns
    if not {column, "report_schedule_token", "created_at"} <= loaded.columns(runs.name):
        return "SELECT NULL::VARCHAR AS owner, NULL::VARCHAR AS schedule, NULL::TIMESTAMPTZ AS started_at WHERE FALSE"
    source = loaded.table(runs.name)
    return f"SELECT {column} AS owner, report_schedule_token AS schedule, created_at AS started_at FROM {source}"
