"""What starts by itself: the jobs at their hours, the SQL models after the tables that they read.

Here: schedules, and the sensor that evaluates the models' automation conditions.
Not here: what a job does (`jobs`), the hours themselves (`settings`), who is told of failures (`alerts`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from mode_dagster.jobs import Job
from mode_dagster.settings import Operation
from mode_dagster.workspace import Workspace

ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in ENDED]
ONLY_SYNCED = "data_sources"
"""A table that the hourly job does not load; a list of its own, so that no other one's failure keeps it away."""


@dataclass(frozen=True)
class Timing:
    """When one job runs, and what it gives way to."""

    job: str
    cron: str
    """Name of the setting."""
    covered_by: Sequence[str]
    """Jobs that do what it does; while a run of one of them is unfinished, it is not started."""
    why: str
    """Reason for the hour."""
    needs_sync: bool = False
    """Whether the models that it builds need what only a sync loads."""


TIMINGS = (
    Timing(
        "mode_sync",
        "sync_cron",
        ("mode_sync", "mode_reconcile"),
        "Daily, at a time when Mode's own nightly jobs (01:00 UTC) are over and few people use its rate limit.",
    ),
    Timing(
        "mode_runs_hourly",
        "runs_cron",
        ("mode_runs_hourly", "mode_sync", "mode_reconcile"),
        "Hourly, off the full and half hours for which reports are scheduled: their runs have ended, and are in.",
        needs_sync=True,
    ),
    Timing(
        "mode_reconcile",
        "reconcile_cron",
        ("mode_reconcile",),
        "Weekly, at the weekend: it asks for everything, and nobody else needs Mode's rate limit then.",
    ),
)


def build_schedules(workspace: Workspace, jobs: Sequence[Job], operation: Operation) -> list[dg.ScheduleDefinition]:
    """A schedule for each job, called `<job>_schedule`; on or off as the setting `schedules` says."""
    by_name = {job.name: job for job in jobs}
    return [_schedule(workspace, by_name[workspace.named(timing.job)], timing, operation) for timing in TIMINGS]


def _schedule(workspace: Workspace, job: Job, timing: Timing, operation: Operation) -> dg.ScheduleDefinition:
    covering = [workspace.named(name) for name in timing.covered_by]

    def start(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if timing.needs_sync and not context.instance.get_latest_materialization_event(
            workspace.table_key(ONLY_SYNCED)
        ):
            return dg.SkipReason(f"{workspace.named('mode_sync')} has not loaded anything yet; start it once.")
        unfinished = unfinished_run(context.instance, covering)
        if unfinished is not None:
            return dg.SkipReason(
                f"{unfinished.job_name} has not ended yet (run {unfinished.run_id}) and does the same; "
                "the next hour makes up for this one."
            )
        return dg.RunRequest()

    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=getattr(operation, timing.cron),
        execution_timezone=operation.time_zone,
        execution_fn=start,
        description=f"{timing.why} The hour is the setting `{timing.cron}`. Skipped while {' or '.join(covering)} is "
        "waiting or running, so that nothing piles up behind a long first load.",
        default_status=dg.DefaultScheduleStatus.RUNNING if operation.schedules else dg.DefaultScheduleStatus.STOPPED,
    )


def unfinished_run(instance: dg.DagsterInstance, jobs: Sequence[str]) -> dg.DagsterRun | None:
    """A run of one of these jobs that is waiting or running."""
    for job in jobs:
        runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED), limit=1)
        if runs:
            return runs[0]
    return None


def build_models_sensor(
    workspace: Workspace, models: Sequence[dg.AssetsDefinition], operation: Operation
) -> dg.AutomationConditionSensorDefinition:
    """Starts models whose tables were loaded without them, as the models' automation conditions say.

    `mode_sync` includes the models, so that after it there is nothing to do.

    Args:
        models: The SQL models and whatever else follows the tables.
    """
    return dg.AutomationConditionSensorDefinition(
        workspace.named("mode_models_follow_their_tables"),
        target=dg.AssetSelection.assets(*models),
        description="Builds the SQL models anew when a table that they read was loaded without them, by hand, say.",
        default_status=dg.DefaultSensorStatus.RUNNING if operation.schedules else dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=60,
    )
