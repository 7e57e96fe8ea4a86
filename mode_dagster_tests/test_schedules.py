"""What starts by itself: when, unless what it would do is being done, and models once after their tables."""

import functools
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

from mode_dagster.assets import build_assets, build_ledger_check
from mode_dagster.build import RESOURCES
from mode_dagster.checks import build_table_checks
from mode_dagster.jobs import HOURLY_TABLES, RETRY, build_jobs
from mode_dagster.sandbox import Fault
from mode_dagster.schedules import build_models_sensor, build_schedules
from mode_dagster.settings import Operation
from mode_dagster.workspace import Workspace

DEPLOY = Path(__file__).parent.parent / "deploy"
SATURDAY = datetime(2026, 6, 20, 5, 20, tzinfo=ZoneInfo("UTC"))


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as created:
        yield created


@pytest.fixture
def stored(tmp_path):
    """An instance in files: a schedule's context takes no other."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as created:
        yield created


@functools.cache
def schedules(name: str = "", operation: Operation | None = None) -> dict[str, dg.ScheduleDefinition]:
    workspace = Workspace(name)
    jobs = build_jobs(workspace, build_assets(workspace))
    return {schedule.name: schedule for schedule in build_schedules(workspace, jobs, operation or Operation())}


def test_each_job_has_a_schedule_off_as_shipped():
    built = schedules()
    assert {name: schedule.job_name for name, schedule in built.items()} == {
        "mode_sync_schedule": "mode_sync",
        "mode_runs_hourly_schedule": "mode_runs_hourly",
        "mode_reconcile_schedule": "mode_reconcile",
    }
    assert {schedule.default_status for schedule in built.values()} == {dg.DefaultScheduleStatus.STOPPED}
    assert all(schedule.description for schedule in built.values())


def test_the_settings_say_when():
    operation = Operation(schedules=True, sync_cron="5 4 * * 1-5", time_zone="Europe/Berlin")
    built = schedules("acme", operation)
    daily = built["mode_sync_acme_schedule"]
    assert (daily.cron_schedule, daily.execution_timezone) == ("5 4 * * 1-5", "Europe/Berlin")
    assert daily.job_name == "mode_sync_acme"
    assert daily.default_status is dg.DefaultScheduleStatus.RUNNING


def tick(instance: dg.DagsterInstance) -> dict[str, str | None]:
    """Why each job is not started now; None where it is."""
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=SATURDAY)
    found = {schedule.job_name: schedule.evaluate_tick(context) for schedule in schedules().values()}
    assert all(len(data.run_requests) == (data.skip_message is None) for data in found.values())
    return {job: data.skip_message for job, data in found.items()}


def loaded(instance: dg.DagsterInstance, table: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(Workspace().table_key(table)))


def test_the_hourly_job_waits_for_a_first_sync(stored):
    for table in HOURLY_TABLES:
        loaded(stored, table)
    skipped = tick(stored)
    assert "mode_sync has not loaded anything yet" in skipped.pop("mode_runs_hourly")
    assert skipped == {"mode_sync": None, "mode_reconcile": None}
    loaded(stored, "data_sources")
    assert set(tick(stored).values()) == {None}


def test_nothing_starts_while_the_same_is_being_done(stored):
    loaded(stored, "data_sources")
    for running, skipped in {
        "mode_runs_hourly": {"mode_runs_hourly"},
        "mode_sync": {"mode_runs_hourly", "mode_sync"},
        "mode_reconcile": {"mode_runs_hourly", "mode_sync", "mode_reconcile"},
        "mode_sync_acme": set(),
    }.items():
        run = stored.add_run(dg.DagsterRun(job_name=running, status=dg.DagsterRunStatus.STARTED))
        why = {job: message for job, message in tick(stored).items() if message}
        assert set(why) == skipped
        assert all(run.run_id in message for message in why.values())
        stored.report_run_failed(run)
    assert set(tick(stored).values()) == {None}, "a run that has ended holds nothing up"


def model(name: str, *reads: dg.AssetKey) -> dg.AssetsDefinition:
    condition = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()

    @dg.asset(key=Workspace().model_key(name), deps=reads, automation_condition=condition)
    def build() -> None: ...

    return build


def test_models_are_requested_once_after_their_tables_and_not_after_a_sync(instance):
    spaces, reports = (Workspace().table_key(table) for table in ("spaces", "reports"))

    @dg.multi_asset(specs=[dg.AssetSpec(spaces), dg.AssetSpec(reports, deps=[spaces])], can_subset=True)
    def tables(context: dg.AssetExecutionContext):
        for key in (spaces, reports):
            if key in context.selected_asset_keys:
                yield dg.MaterializeResult(key)

    first = model("first", reports)
    second = model("second", first.key)
    apart = model("apart", spaces)
    followers = [first, second, apart]
    everything = [tables, *followers]
    definitions = dg.Definitions(everything, sensors=[build_models_sensor(Workspace(), followers, Operation())])

    def asked(cursor=None):
        result = dg.evaluate_automation_conditions(
            definitions, instance, asset_selection=dg.AssetSelection.assets(*followers), cursor=cursor
        )
        return {model.key for model in followers if result.get_num_requested(model.key)}, result.cursor

    assert dg.materialize(everything, instance=instance).success
    requested, cursor = asked()
    assert requested == set(), "a sync includes the models"
    assert dg.materialize(everything, instance=instance).success
    requested, cursor = asked(cursor)
    assert requested == set(), "nothing is built twice after a sync"

    assert dg.materialize(everything, selection=[reports], instance=instance).success
    requested, cursor = asked(cursor)
    assert requested == {first.key, second.key}
    assert dg.materialize(everything, selection=[first.key, second.key], instance=instance).success
    requested, cursor = asked(cursor)
    assert requested == set(), "once"


def test_the_models_sensor_covers_the_models_only():
    first = model("first", Workspace().table_key("reports"))
    sensor = build_models_sensor(Workspace(), [first], Operation(schedules=True))
    assert sensor.name == "mode_models_follow_their_tables"
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.asset_selection.resolve([build_assets(), first]) == {first.key}
    stopped = build_models_sensor(Workspace("acme"), [first], Operation())
    assert (stopped.name, stopped.default_status) == (
        "mode_models_follow_their_tables_acme",
        dg.DefaultSensorStatus.STOPPED,
    )


@pytest.fixture
def hourly(instance):
    """Runs `mode_runs_hourly`, of tables only, without the minute between tries."""
    tables = build_assets()
    retry = dg.RetryPolicy(max_retries=RETRY.max_retries, delay=0)
    jobs = build_jobs(Workspace(), tables, retry=retry)
    definitions = dg.Definitions([tables], asset_checks=[build_ledger_check()], jobs=jobs, resources=RESOURCES)

    def run() -> dg.ExecuteInProcessResult:
        return definitions.resolve_job_def("mode_runs_hourly").execute_in_process(
            instance=instance, raise_on_error=False
        )

    return run


def without_the_first(body: dict) -> dict:
    """A listing of collections from before its first one was made."""
    spaces = body["_embedded"]["spaces"][1:]
    pagination = {**body["pagination"], "count": len(spaces), "total_count": len(spaces)}
    return {**body, "_embedded": {"spaces": spaces}, "pagination": pagination}


def test_reports_of_a_new_collection_have_their_parent_after_an_hourly_run(
    sandbox, reads, load_from, hourly, instance, query
):
    sandbox.faults.append(Fault(r"/spaces\?", kind="edit", edit=without_the_first))
    load_from(sandbox)
    reports = "SELECT count(*) FROM mode_analytics_data.reports"
    known = query(reports)
    sandbox.faults.clear()
    sandbox.requests.clear()
    assert hourly().success
    assert query(reports) > known
    assert sum(request.path.endswith("/spaces") for request in sandbox.requests) == 1, "asked for once"
    checks = dg.AssetSelection.checks(dg.AssetCheckKey(Workspace().table_key("reports"), "has_its_parent"))
    job = dg.define_asset_job("checks", checks, executor_def=dg.in_process_executor)
    definitions = dg.Definitions(
        [build_assets()], asset_checks=build_table_checks(Workspace()), jobs=[job], resources=RESOURCES
    )
    result = definitions.resolve_job_def("checks").execute_in_process(instance=instance)
    (found,) = result.get_asset_check_evaluations()
    assert found.passed, found.description


def attempts(result: dg.ExecuteInProcessResult) -> int:
    kinds = [event.event_type for event in result.all_events if event.step_key == "mode"]
    return kinds.count(dg.DagsterEventType.STEP_START) + kinds.count(dg.DagsterEventType.STEP_RESTARTED)


def test_wrong_credentials_are_tried_once(sandbox, reads, hourly, monkeypatch):
    reads(sandbox)
    monkeypatch.setenv("SOURCES__MODE_ANALYTICS_SOURCE__PASSWORD", "wrong")
    result = hourly()
    assert not result.success
    assert attempts(result) == 1


def test_an_outage_is_tried_again_and_over(sandbox, reads, hourly, keys):
    # three requests are one try of the client
    sandbox.faults.append(Fault("/spaces", status=500, times=3))
    reads(sandbox, query_run_days=1)
    result = hourly()
    assert result.success
    assert attempts(result) == 2
    assert sorted(keys("runs")) == sorted(sandbox.world.truth("runs"))


@pytest.fixture
def shipped(tmp_path):
    """Dagster's instance with a shipped file, changed by replacing text."""

    def start(name: str, *change: str) -> dg.DagsterInstance:
        text = (DEPLOY / name).read_text(encoding="utf-8")
        (tmp_path / "dagster.yaml").write_text(text.replace(*change) if change else text, encoding="utf-8")
        return dg.DagsterInstance.from_config(str(tmp_path))

    return start


@pytest.mark.parametrize("name", ["dagster.yaml", "dagster.local.yaml"])
def test_dagster_takes_the_shipped_settings(shipped, name):
    with shipped(name) as instance:
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.pool_granularity.value == "run", "an op's place outlives a killed run"
        assert concurrency.pool_config.default_pool_limit == 1
        assert concurrency.run_queue_config.max_concurrent_runs == 1
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds > 0
        assert instance.run_retries_enabled
        assert not instance.get_settings("run_retries")["retry_on_asset_or_op_failure"]
        assert not instance.telemetry_enabled


def test_runs_of_a_workspace_wait_for_each_other_and_for_no_dead_one(shipped):
    """What Dagster's queue decides where only the pools limit it."""
    tables = {name: build_assets(Workspace(name)) for name in ("", "acme")}
    jobs = [build_jobs(Workspace(name), assets)[0] for name, assets in tables.items()]
    definitions = dg.Definitions([*tables.values()], jobs=jobs, resources=RESOURCES)

    def queued(job: str) -> dg.DagsterRun:
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__"), job)
        run = instance.create_run_for_job(definitions.resolve_job_def(job), remote_job_origin=origin)
        instance.handle_new_event(_event(run, dg.DagsterEventType.RUN_ENQUEUED))
        return run

    def next_ones() -> list[str]:
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=5)
        runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), fixed_iteration_time=None)
        return [run.run_id for run in runs]

    with shipped("dagster.yaml", "max_concurrent_runs: 1", "max_concurrent_runs: 9") as instance:
        first, second, other = queued("mode_sync"), queued("mode_sync"), queued("mode_sync_acme")
        next_ones()  # dagster 1.13 gives a pool its default limit only after the look in which it first meets it
        assert next_ones() == [first.run_id, other.run_id]
        instance.handle_new_event(_event(first, dg.DagsterEventType.RUN_START))
        assert next_ones() == [other.run_id]
        instance.report_run_failed(first, "killed")
        assert next_ones() == [second.run_id, other.run_id]


def _event(run: dg.DagsterRun, kind: dg.DagsterEventType) -> dg.EventLogEntry:
    event = dg.DagsterEvent(kind.value, run.job_name)
    return dg.EventLogEntry(
        error_info=None, level=20, user_message="", run_id=run.run_id, timestamp=time.time(), dagster_event=event
    )


def test_the_pool_of_each_workspace_is_its_own():
    assert build_assets().op.pool == "mode"
    assert build_assets(Workspace("acme")).op.pool == "mode_acme"
