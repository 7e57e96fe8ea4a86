"""Who is told what: over real HTTP, once, with nothing secret, whatever the receiver does."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import duckdb
import pytest
from dagster._core.events import EngineEventData
from dagster_shared.error import SerializableErrorInfo

from mode_dagster.alerts.failing_reports import REPORTS_TOLD, Report, failing_reports, observations, reports_message
from mode_dagster.alerts.sensors import TICKS_TO_TELL, build_sensors
from mode_dagster.alerts.webhook import BLOCK_LENGTH, BLOCKS, Message, NotTold, cut, escaped, link, post
from mode_dagster.assets import build_assets, build_ledger_check
from mode_dagster.build import RESOURCES
from mode_dagster.jobs import build_jobs
from mode_dagster.models import MODELS, run_model
from mode_dagster.sandbox import Fault, World, serve
from mode_dagster.settings import ENV_PREFIX, Operation
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import NOON, SMALL
from mode_dagster_tests.known_rows import known_rows

KEY = Workspace().table_key


@dataclass
class Receiver:
    """What stands in for Slack."""

    address: str = ""
    statuses: list[int] = field(default_factory=list)
    """What the next requests are answered with; 200 after that, 0 for no answer."""
    got: list[dict] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def text(self) -> str:
        return "\n".join(block["text"]["text"] for body in self.got for block in body["blocks"])


@pytest.fixture
def receiver(monkeypatch) -> Iterator[Receiver]:
    monkeypatch.setattr("mode_dagster.alerts.webhook.PAUSE", 0)
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            state.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status = state.statuses.pop(0) if state.statuses else 200
            if not status:
                state.released.wait(10)
                return
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/login")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}/services/T0/secret-4711"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield state
    state.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def webhook(receiver, monkeypatch) -> Receiver:
    """A receiver that is set as `webhook_url`."""
    monkeypatch.setenv(f"{ENV_PREFIX}WEBHOOK_URL", receiver.address)
    return receiver


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as created:
        yield created


# the webhook


def test_a_message_is_what_slack_takes(receiver):
    post(receiver.address, Message("mode_sync failed", ["because"]))
    (body,) = receiver.got
    assert body["text"] == "mode_sync failed"
    assert [block["text"] for block in body["blocks"]] == [
        {"type": "mrkdwn", "text": "*mode_sync failed*"},
        {"type": "mrkdwn", "text": "because"},
    ]


def test_a_message_keeps_to_slacks_lengths():
    body = Message("t", ["&amp;" * 1_000] * 99).as_json()
    assert len(body["blocks"]) == BLOCKS
    assert all(len(block["text"]["text"]) <= BLOCK_LENGTH for block in body["blocks"])
    assert body["blocks"][1]["text"]["text"].endswith("&amp;…")


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [("short", 5, "short"), ("abcdef", 4, "abc…"), ("ab&amp;c", 5, "ab…"), ("ab <http://x|y> z", 9, "ab …")],
)
def test_text_is_cut_between_escapes_and_links(text, length, expected):
    assert cut(text, length) == expected


def test_names_of_others_can_be_no_markup():
    assert escaped("<!channel> & <https://evil|x>") == "&lt;!channel&gt; &amp; &lt;https://evil|x&gt;"
    assert link("https://x/?a=1&b=|", "A | B\n> C") == "<https://x/?a=1&amp;b=%7C|A ¦ B &gt; C>"
    assert link("javascript:alert(1)", "A") == "A"
    assert link("", "<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("statuses", "requests"),
    [([500], 2), ([429, 503], 3), ([0], 2)],
    ids=["an error once", "errors twice", "no answer once"],
)
def test_a_hiccup_of_the_webhook_is_got_over(receiver, statuses, requests):
    receiver.statuses = statuses
    post(receiver.address, Message("t"), timeout=0.3)
    assert len(receiver.got) == requests


@pytest.mark.parametrize(
    ("statuses", "requests", "said"),
    [
        ([500] * 9, 3, "HTTP 500"),
        ([0] * 9, 3, "ReadTimeout"),
        ([404], 1, "HTTP 404"),
        ([302], 1, "HTTP 302"),
    ],
    ids=["errors", "never answers", "not there", "login page"],
)
def test_a_webhook_that_takes_nothing_is_named_without_its_address(receiver, statuses, requests, said):
    receiver.statuses = statuses
    with pytest.raises(NotTold) as raised:
        post(receiver.address, Message("t"), timeout=0.2)
    assert said in str(raised.value)
    assert "webhook_url" in str(raised.value)
    assert "4711" not in str(raised.value)
    assert len(receiver.got) == requests


def test_nobody_at_the_address(receiver):
    with pytest.raises(NotTold, match="ConnectionError") as raised:
        post("http://127.0.0.1:1/services/secret-4711", Message("t"))
    assert "4711" not in str(raised.value)


# runs that failed


@pytest.fixture
def hourly(instance):
    """Definitions with the hourly job, of tables only and without retries."""
    tables = build_assets()
    jobs = build_jobs(Workspace(), tables, retry=dg.RetryPolicy(max_retries=1, delay=0))
    definitions = dg.Definitions([tables], asset_checks=[build_ledger_check()], jobs=jobs, resources=RESOURCES)

    def run() -> dg.ExecuteInProcessResult:
        job = definitions.resolve_job_def("mode_runs_hourly")
        return job.execute_in_process(instance=instance, raise_on_error=False)

    return run


@pytest.fixture
def watch(instance):
    """Ticks of `mode_run_failed`; the first begins to watch."""
    tables = build_assets()
    (sensor,) = build_sensors(Workspace(), [tables], build_jobs(Workspace(), tables), Operation())
    cursor = None

    def tick():
        nonlocal cursor
        context = dg.build_sensor_context(instance=instance, sensor_name=sensor.name, cursor=cursor)
        data = sensor.evaluate_tick(context)
        cursor = data.cursor
        return data

    tick()
    return tick


def test_wrong_credentials_are_told_with_advice_and_without_secrets(
    sandbox, reads, hourly, watch, webhook, monkeypatch, capfd
):
    reads(sandbox)
    monkeypatch.setenv(f"{ENV_PREFIX}PASSWORD", "sec-wrong")
    monkeypatch.setenv(f"{ENV_PREFIX}WEBSERVER_URL", "https://dagster.example.com/")
    run_id = hourly().run_id
    watch()
    watch()
    assert len(webhook.got) == 1, "told once"
    assert webhook.got[0]["text"] == "mode_runs_hourly failed"
    for part in (
        f"workspace {sandbox.workspace} · listing collections",
        "`mode`: Could not list",
        "Check username (API token) and password (API secret)",
        "*What to do:* as it says above, then start it again.",
        f"<https://dagster.example.com/runs/{run_id}|{run_id[:8]}> · started 2",
    ):
        assert part in webhook.text
    assert "sec-wrong" not in webhook.text
    assert "tried" not in webhook.text
    assert "4711" not in "".join(capfd.readouterr())


def test_a_table_that_could_not_be_read_is_told_by_name(sandbox, reads, hourly, watch, webhook):
    sandbox.faults.append(Fault(r"/runs\?", status=500))
    reads(sandbox)
    hourly()
    watch()
    assert "- runs: Could not list" in webhook.text
    assert "tried 2 times" in webhook.text


def test_without_a_webhook_a_failure_is_logged_only(reads, sandbox, hourly, watch, receiver, capfd):
    reads(sandbox, password="wrong")
    hourly()
    capfd.readouterr()
    data = watch()
    assert not receiver.got
    assert [reaction.error for reaction in data.dagster_run_reactions] == [None]
    assert "Check username (API token)" in "".join(capfd.readouterr())


def test_a_webhook_that_fails_makes_one_red_tick(sandbox, reads, hourly, watch, webhook, capfd):
    reads(sandbox, password="wrong")
    webhook.statuses = [500] * 3
    hourly()
    (reaction,) = watch().dagster_run_reactions
    assert "Could not post to the webhook: HTTP 500" in str(reaction.error)
    assert "4711" not in str(reaction.error) + "".join(capfd.readouterr())
    assert not watch().dagster_run_reactions, "not again and again"
    assert len(webhook.got) == 3


def test_a_run_of_assets_by_hand_is_told_and_a_run_of_others_is_not(instance, watch, webhook):
    @dg.asset(key=KEY("reports"))
    def ours() -> None:
        raise dg.Failure("ours <b>broke</b> & ended")

    @dg.asset
    def other() -> None:
        raise dg.Failure("other broke")

    dg.materialize([other], instance=instance, raise_on_error=False)
    assert "is not of this workspace" in watch().skip_message
    dg.materialize([ours], instance=instance, raise_on_error=False)
    watch()
    assert "`mode__reports`: ours &lt;b&gt;broke&lt;/b&gt; &amp; ended" in webhook.text
    assert "other broke" not in webhook.text


def test_an_exception_is_told_by_its_own_message_and_the_other_steps_by_name(instance, watch, webhook):
    @dg.asset(key=KEY("reports"))
    def reports() -> None:
        raise ValueError("at the bottom")

    others = []
    for name in ("runs", "queries", "charts", "spaces", "users"):

        @dg.asset(key=KEY(name), deps=[])
        def failing() -> None:
            raise ValueError("another")

        others.append(failing)
    dg.materialize([reports, *others], instance=instance, raise_on_error=False)
    watch()
    assert "ValueError: " in webhook.text
    assert webhook.text.count("`mode__") == 4
    assert "and 2 more" in webhook.text
    assert "Traceback" not in webhook.text


def test_a_killed_run_is_told_by_what_dagster_noted(instance, watch, webhook):
    run = instance.add_run(dg.DagsterRun(job_name="mode_sync", tags={"dagster/will_retry": "true"}))
    instance.report_engine_event("Run execution process was terminated by signal 9 (SIGKILL).", run)
    instance.report_run_failed(run)
    watch()
    assert "terminated by signal 9" in webhook.text
    assert "nothing yet. Dagster starts it again by itself." in webhook.text
    assert "never started" in webhook.text
    lost = instance.add_run(dg.DagsterRun(job_name="mode_sync"))
    error = SerializableErrorInfo("ImportError: no module\n", ["its stack"], "ImportError")
    instance.report_engine_event("Could not load job definition.", lost, EngineEventData(error=error))
    instance.report_run_failed(lost)
    watch()
    assert "Could not load job definition. ImportError: no module" in webhook.text
    assert "its stack" not in webhook.text
    late = instance.add_run(dg.DagsterRun(job_name="mode_sync", tags={"dagster/retry_number": "2"}))
    instance.report_run_failed(late, "Exceeded maximum runtime of 28800 seconds.")
    watch()
    assert "Exceeded maximum runtime" in webhook.text
    assert "*What to do:* start it again." in webhook.text
    assert "started again 2 times" in webhook.text


# reports that fail in Mode


def run(report: str, day: int, state: str, **more: object) -> dict:
    at = f"2026-06-{day:02} 10:00"
    of_report = {"token": f"{report}-{day}", "report_token": report}
    return {**of_report, "state": state, "created_at": at, "completed_at": at, **more}


REPORTS = {
    "healthy": ["failed", "succeeded"],
    "broke": ["succeeded", "failed", "failed"],
    "notebook": ["completed", "failed"],
    "never_worked": ["failed", "failed"],
    "cancelled": ["succeeded", "cancelled"],
    "broke_before_cancelled": ["succeeded", "failed", "cancelled"],
    "running": ["succeeded", "pending"],
    "never_ran": [],
}


@pytest.fixture
def file(tmp_path):
    """A file with known runs: the states of each report's runs, a day each from the 1st on; and the models of them."""
    path = str(tmp_path / "mode_analytics.duckdb")

    def write(states: dict[str, list[str]], **more: list[dict]) -> str:
        reports = [{"token": name, "name": f"The {name} one"} for name in states]
        runs = [run(name, day, state) for name, days in states.items() for day, state in enumerate(days, 1)]
        with duckdb.connect(path) as connection:
            known_rows(connection)
            known_rows(connection, reports=_new(connection, "reports", reports), runs=_new(connection, "runs", runs))
            known_rows(connection, **more)
            make_models(connection)
        return path

    return write


def make_models(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("run_facts", "report_owners", "report_health"):
        run_model(DuckDBWarehouse(connection), MODELS[name], Workspace(), NOON)


def _new(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict]) -> list[dict]:
    stored = {token for (token,) in connection.execute(f"SELECT token FROM mode_analytics_data.{table}").fetchall()}
    return [row for row in rows if row["token"] not in stored]


def tokens(reports: list[Report]) -> list[str]:
    return [report.token for report in reports]


def test_a_report_fails_when_it_used_to_work_and_its_latest_finished_run_failed(file):
    file(REPORTS)
    found = failing_reports(Workspace())
    assert sorted(tokens(found)) == ["broke", "broke_before_cancelled", "notebook"]
    broke = next(report for report in found if report.token == "broke")
    assert (f"{broke.since:%d}", f"{broke.last_success:%d}", broke.failures) == ("02", "01", 2)


def test_a_success_before_the_loaded_history_counts(file):
    file({}, reports=[{"token": "old", "last_successfully_run_at": "2025-01-01 10:00"}], runs=[run("old", 3, "failed")])
    assert tokens(failing_reports(Workspace())) == ["old"]


@pytest.mark.parametrize("gone", [{"deleted_at": "2026-06-09 10:00"}, {"archived": True}])
def test_what_is_gone_or_archived_does_not_fail(file, gone):
    reports = [{"token": "gone", **gone}]
    file({}, reports=reports, runs=[run("gone", 1, "succeeded"), run("gone", 2, "failed")])
    assert failing_reports(Workspace(), ["gone"]) == []


def test_the_query_that_failed_first_in_the_latest_run_is_named(file):
    def failed(number: int, run_token: str, at: str) -> dict:
        error = {"error_code": f"code{number}", "error_message": f"text{number}", "query_name": f"query{number}"}
        return {"token": str(number), "run_token": run_token, "state": "failed", "completed_at": at, **error}

    file(
        {"broke": ["succeeded", "failed", "failed"]},
        query_runs=[
            failed(1, "broke-2", "2026-06-02 10:01"),
            failed(3, "broke-3", "2026-06-03 10:02"),
            failed(2, "broke-3", "2026-06-03 10:01"),
            {"token": "4", "run_token": "broke-3", "state": "succeeded", "completed_at": "2026-06-03 10:00"},
        ],
    )
    (broke,) = failing_reports(Workspace())
    assert (broke.query, broke.error_code, broke.error) == ("query2", "code2", "text2")


@pytest.fixture
def look(instance):
    """Ticks of `mode_reports_failing`."""
    tables = build_assets()
    sensors = build_sensors(Workspace(), [tables], build_jobs(Workspace(), tables), Operation(watch_reports=True))
    sensor = next(sensor for sensor in sensors if sensor.name == "mode_reports_failing")
    cursor = None

    def tick(*, made: bool = False) -> dg.SensorResult | dg.SkipReason:
        nonlocal cursor
        if made:
            instance.report_runless_asset_event(dg.AssetMaterialization(Workspace().model_key("report_health")))
        result = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
        cursor = getattr(result, "cursor", None) or cursor
        return result

    return tick


def told(result: dg.SensorResult | dg.SkipReason) -> list[str]:
    return [event.description for event in getattr(result, "asset_events", None) or []]


def test_it_is_there_only_where_it_is_wanted():
    def sensors(operation: Operation, name: str = "") -> dict[str, dg.DefaultSensorStatus]:
        workspace = Workspace(name)
        return {one.name: one.default_status for one in build_sensors(workspace, [], [], operation)}

    assert sensors(Operation()) == {"mode_run_failed": dg.DefaultSensorStatus.STOPPED}
    assert sensors(Operation(schedules=True, watch_reports=True), "acme") == {
        "mode_run_failed_acme": dg.DefaultSensorStatus.RUNNING,
        "mode_reports_failing_acme": dg.DefaultSensorStatus.RUNNING,
    }


def test_news_are_told_once_and_then_that_it_works_again(file, look, webhook):
    file({"a": ["succeeded", "failed"], "b": ["succeeded", "failed"], "c": ["succeeded"]})
    result = look(made=True)
    assert told(result) == ["The a one fails since 2026-06-02 10:00 UTC", "The b one fails since 2026-06-02 10:00 UTC"]
    assert webhook.got[0]["text"] == "2 of Mode's reports began to fail"
    (observation, _) = result.asset_events
    assert observation.asset_key == KEY("reports")
    assert observation.metadata["report"].value == "The a one"
    assert observation.metadata["failed_runs"].value == 1

    assert "was not made since the last look" in look().skip_message
    file({"a": ["succeeded", "failed", "failed"]})
    assert told(look(made=True)) == [], "still failing is no news"
    file({"a": ["succeeded", "failed", "failed", "succeeded"], "c": ["succeeded", "failed"]})
    assert told(look(made=True)) == [
        "The c one fails since 2026-06-02 10:00 UTC",
        "The a one works again since 2026-06-04 10:00 UTC",
    ]
    assert webhook.got[-1]["text"] == "1 of Mode's reports began to fail, 1 work again"
    file({"a": ["succeeded", "failed", "failed", "succeeded", "failed"]})
    assert told(look(made=True)) == ["The a one fails since 2026-06-05 10:00 UTC"]
    assert len(webhook.got) == 3


def test_a_report_that_is_deleted_while_it_fails_is_no_news(file, look, webhook, tmp_path):
    file({"a": ["succeeded", "failed"]})
    look(made=True)
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        connection.execute("UPDATE mode_analytics_data.reports SET deleted_at = now()")
        make_models(connection)
    assert told(look(made=True)) == []
    assert len(webhook.got) == 1


def test_many_are_told_in_one_message_and_counted(file, look, webhook):
    file({f"r{number:02}": ["succeeded", "failed"] for number in range(REPORTS_TOLD + 5)})
    result = look(made=True)
    assert len(result.asset_events) == REPORTS_TOLD + 1
    assert told(result)[-1] == "5 more reports fail"
    assert len(webhook.got) == 1
    assert "… and 5 more" in webhook.text
    assert told(look(made=True)) == []


def test_names_and_errors_can_be_no_markup():
    report = Report("t", "<!here> & |", "https://x", "", False, None, None, 1, "", "", "<" * 9_999)
    body = reports_message([report], []).as_json()
    assert "<https://x|&lt;!here&gt; &amp; ¦>" in body["blocks"][1]["text"]["text"]
    assert len(body["blocks"][1]["text"]["text"]) <= BLOCK_LENGTH
    works = replace(report, works=True)
    assert set(observations(KEY("reports"), [works])[0].metadata) == {"report", "report_token", "works", "link"}


def test_whose_it_is_and_what_the_database_said_is_in_the_message_and_in_no_event(file, look, webhook):
    error = {"error_code": "Duplicate", "error_message": "Key (email)=(jane@acme.example) exists"}
    file(
        {},
        reports=[{"token": "a", "name": "A", "creator_username": "owner_of_a"}],
        runs=[run("a", 1, "succeeded"), run("a", 2, "failed")],
        query_runs=[{"token": "q", "run_token": "a-2", "state": "failed", "query_name": "Keys", **error}],
    )
    (event,) = look(made=True).asset_events
    assert (event.metadata["failing_query"].value, event.metadata["error_code"].value) == ("Keys", "Duplicate")
    assert not any(text in repr(event) for text in ("owner_of_a", "jane@acme.example"))
    assert all(text in webhook.text for text in ("owner_of_a", "jane@acme.example"))


def test_news_wait_for_the_webhook_and_are_shown_without_it_in_the_end(file, look, webhook, capfd):
    file({"a": ["succeeded", "failed"]})
    webhook.statuses = [500] * 3
    result = look(made=True)
    assert "Tries again in the next tick" in result.skip_reason.skip_message
    assert told(result) == []
    assert len(told(look())) == 1, "the next tick tells it, though nothing was loaded since"
    assert len(webhook.got) == 4

    file({"b": ["succeeded", "failed"]})
    webhook.statuses = [404] * TICKS_TO_TELL
    results = [look(made=True), *(look() for _ in range(TICKS_TO_TELL - 1))]
    assert [len(told(result)) for result in results] == [0] * (TICKS_TO_TELL - 1) + [1]
    assert "Given up; the news is on the page of mode/reports only." in "".join(capfd.readouterr())
    assert "since the last look" in look().skip_message


def test_it_waits_for_the_model_and_for_runs_that_may_be_loading(file, look, instance):
    assert "was not made since" in look().skip_message
    assert "There is no file" in look(made=True).skip_message
    loading = instance.add_run(dg.DagsterRun(job_name="mode_sync", status=dg.DagsterRunStatus.STARTED))
    file({"a": ["succeeded", "failed"]})
    assert "looks again after it" in look().skip_message
    instance.report_run_canceled(loading)
    assert len(told(look())) == 1


def test_a_table_that_is_not_there_yet_is_named(look, tmp_path):
    duckdb.connect(str(tmp_path / "mode_analytics.duckdb")).close()
    assert "materialize mode_marts/report_health: " in look(made=True).skip_message


def test_a_file_that_another_program_has_open_is_looked_at_later(file, look):
    path = file({"a": ["succeeded", "failed"]})
    hold = f"import duckdb, sys; c = duckdb.connect({path!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        assert "has it open" in look(made=True).skip_message
        holder.stdin.close()
    assert len(told(look())) == 1


def test_a_cursor_of_another_kind_begins_anew(instance, file):
    file({"a": ["succeeded", "failed"]})
    instance.report_runless_asset_event(dg.AssetMaterialization(Workspace().model_key("report_health")))
    *_, sensor = build_sensors(Workspace(), [], [], Operation(watch_reports=True))
    for cursor in ("no json", "[1]", '{"unknown": 1}'):
        assert len(told(sensor(dg.build_sensor_context(instance=instance, cursor=cursor)))) == 1


@pytest.mark.slow
def test_the_made_up_workspace_is_told_as_it_is(load_from, look, tmp_path):
    at = [SMALL.clock()]
    told_so_far: set[str] = set()
    with serve(replace(SMALL, clock=lambda: at[0])) as sandbox:
        for day in (0, 4):
            at[0] = SMALL.clock() + timedelta(days=day)
            load_from(sandbox)
            with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
                known_rows(connection)  # the tables that only listing = discovery has
                make_models(connection)
            news = look(made=True).asset_events
            failing = {event.metadata["report_token"].value for event in news if not event.metadata["works"].value}
            assert failing == _failing(sandbox.world) - told_so_far
            assert all(event.metadata["failing_query"].value for event in news if not event.metadata["works"].value)
            assert all(event.metadata["error_code"].value for event in news if not event.metadata["works"].value)
            told_so_far = _failing(sandbox.world)
            assert failing, "the days are chosen for their news"


def _failing(world: World) -> set[str]:
    """The truth: the last run that succeeded or failed did fail, and another one did not."""
    moment = world.moment()
    outcomes = {
        report.token: [
            run.outcome for run in moment.runs(report) if run.ended_at <= moment.now and run.outcome != "cancelled"
        ]
        for report in moment.reports
    }
    return {token for token, runs in outcomes.items() if runs[:1] == ["failed"] and set(runs) > {"failed"}}
