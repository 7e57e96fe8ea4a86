"""Who is told what: runs that failed, and Mode's reports that began to fail.

Here: the two sensors, what they remember, and what they do when the webhook does not take a message.
Not here: what is said (`run_failure`, `failing_reports`), posting (`webhook`), what starts runs (`schedules`).

A message always goes to the sensor's own log; it is posted only where `webhook_url` is set.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from logging import Logger

import dagster as dg

from mode_dagster.alerts.failing_reports import Report, failing_reports, observations, reports_message
from mode_dagster.alerts.run_failure import run_failed
from mode_dagster.alerts.webhook import Message, NotTold, post
from mode_dagster.jobs import Job
from mode_dagster.operation import load_operation
from mode_dagster.schedules import unfinished_run
from mode_dagster.settings import Operation
from mode_dagster.warehouse import MissingError, NoWarehouseError
from mode_dagster.workspace import Workspace

HEALTH = "report_health"
"""The model that tells which reports fail."""
TICKS_TO_TELL = 5
"""So many ticks try the webhook before reports are shown on the asset's page only."""


def build_sensors(
    workspace: Workspace, assets: Sequence[dg.AssetsDefinition], jobs: Sequence[Job], operation: Operation
) -> list[dg.SensorDefinition]:
    """The sensors of one workspace, on or off as the setting `schedules` says.

    Args:
        assets: Everything that belongs to the workspace.
    """
    status = dg.DefaultSensorStatus.RUNNING if operation.schedules else dg.DefaultSensorStatus.STOPPED
    names = [job.name for job in jobs]
    keys = frozenset(key for definition in assets for key in definition.keys)
    sensors = [_run_failed(workspace, names, keys, status)]
    if operation.watch_reports:
        sensors.append(_reports_failing(workspace, names, status))
    return sensors


def _run_failed(
    workspace: Workspace, jobs: Collection[str], keys: Collection[dg.AssetKey], status: dg.DefaultSensorStatus
) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name=workspace.named("mode_run_failed"),
        description="Tells when a run failed that loads or computes anything of this workspace, started by whatever: "
        "what failed, what to do, where to look. To the webhook where webhook_url is set, else to its own log only.",
        minimum_interval_seconds=30,
        default_status=status,
    )
    def tell(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        if context.dagster_run.job_name not in jobs and not _planned(context) & set(keys):
            return dg.SkipReason(f"Run {context.dagster_run.run_id} is not of this workspace.")
        operation = load_operation(workspace.section, with_secrets=True)
        message = run_failed(context, workspace, operation.webserver_url)
        # where that fails the tick is red, once: Dagster does not come back to a run
        _tell(context.log, operation, message)
        return None

    return tell


def _planned(context: dg.RunFailureSensorContext) -> set[dg.AssetKey | None]:
    """The assets that the run was to materialize, and those that it was to check."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    ).records
    checked = {check.asset_key for check in context.dagster_run.asset_check_selection or ()}
    return checked | {record.asset_key for record in records}


def _tell(log: Logger, operation: Operation, message: Message) -> None:
    """Logs a message, and posts it where that is wanted.

    Raises:
        NotTold: The webhook did not take it.
    """
    log.info(str(message))
    if operation.webhook_url:
        post(operation.webhook_url, message)


@dataclass(frozen=True)
class Told:
    """Cursor of the sensor on reports: what it has seen and said."""

    made: str = ""
    """The `report_health` that was looked at."""
    failing: Sequence[str] = ()
    """Tokens of reports that were told to fail."""
    tries: int = 0
    """Ticks in which the webhook did not take the same news."""

    @classmethod
    def read(cls, cursor: str | None) -> "Told":
        """What a cursor says; nothing if it is none of ours."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (TypeError, ValueError):
            return cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def _reports_failing(workspace: Workspace, jobs: Sequence[str], status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name=workspace.named("mode_reports_failing"),
        description="After each `report_health`: which of Mode's reports used to work and fail now, which work again. "
        "An observation of the asset of reports for each, and a message to the webhook where webhook_url is set.",
        minimum_interval_seconds=60,
        default_status=status,
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        told = Told.read(context.cursor)
        model = workspace.model_key(HEALTH)
        event = context.instance.get_latest_materialization_event(model)
        made = f"{event.run_id}@{event.timestamp}" if event else ""
        if made == told.made:
            return dg.SkipReason(f"{model.to_user_string()} was not made since the last look.")
        if unfinished_run(context.instance, jobs):
            # it may have the DuckDB file open
            return dg.SkipReason("A run is waiting or running; looks again after it.")
        try:
            reports = failing_reports(workspace, told.failing)
        except NoWarehouseError as error:
            return dg.SkipReason(f"{error} Looks again later."[:300])
        except MissingError as error:
            return dg.SkipReason(f"Not all was loaded yet, materialize {model.to_user_string()}: {error}"[:300])
        return _news(context, workspace, reports, told, made)

    return look


def _news(
    context: dg.SensorEvaluationContext, workspace: Workspace, reports: Sequence[Report], told: Told, made: str
) -> dg.SensorResult | dg.SkipReason:
    """Tells what changed since it was last told."""
    failing = [report for report in reports if not report.works]
    began = [report for report in failing if report.token not in told.failing]
    again = [report for report in reports if report.works and report.token in told.failing]
    cursor = str(Told(made, [report.token for report in failing]))
    if not began and not again:
        return dg.SensorResult(skip_reason=f"No news; {len(failing)} reports fail.", cursor=cursor)
    message, key = reports_message(began, again), workspace.table_key("reports")
    try:
        _tell(context.log, load_operation(workspace.section, with_secrets=True), message)
    except NotTold as error:
        if told.tries + 1 < TICKS_TO_TELL:
            later = Told(told.made, told.failing, told.tries + 1)
            return dg.SensorResult(skip_reason=f"{error} Tries again in the next tick.", cursor=str(later))
        context.log.error(f"{error} Given up; the news is on the page of {key.to_user_string()} only.")
    # no run is requested, so that Dagster calls the tick skipped: with what was told as reason
    return dg.SensorResult(
        skip_reason=message.title, asset_events=[*observations(key, began), *observations(key, again)], cursor=cursor
    )
