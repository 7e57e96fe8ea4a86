"""Settings of operation: read without credentials, all mistakes in one message, no secret in any."""

from pathlib import Path

import pytest

from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.operation import load_operation
from mode_dagster.settings import ENV_PREFIX, Operation, load_settings
from mode_dagster.workspace import Workspace


@pytest.fixture
def put(monkeypatch):
    def set_all(prefix: str = ENV_PREFIX, **values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(prefix + name.upper(), str(value))

    return set_all


def test_everything_is_off_and_in_utc_unless_said():
    operation = load_operation()
    assert operation == Operation()
    assert (operation.schedules, operation.watch_reports, operation.time_zone) == (False, False, "UTC")


def test_hours_are_off_the_full_hour_and_after_modes_nightly_jobs():
    assert int(Operation().sync_cron.split()[1]) >= 2
    for cron in (Operation().sync_cron, Operation().runs_cron, Operation().reconcile_cron):
        assert int(cron.split()[0]) not in (0, 30)
    assert Operation().reconcile_cron.split()[-1] in ("0", "6")


def test_a_named_workspace_has_its_own(put):
    put("SOURCES__MODE_ANALYTICS_SOURCE__ACME__", schedules="true", sync_cron="5 4 * * *")
    assert load_operation(Workspace("acme").section).sync_cron == "5 4 * * *"
    assert load_operation() == Operation()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("schedules", "yes please", "'yes please' is neither true nor false"),
        ("watch_reports", "2", "is neither true nor false"),
        ("sync_cron", "3 o'clock", "five fields: minute, hour, day, month, weekday, such as 20 3 * * *"),
        ("runs_cron", "61 * * * *", "'61 * * * *' is not a cron expression"),
        ("time_zone", "Europe/Berlinn", "did you mean Europe/Berlin?"),
        ("time_zone", "Europe", "is not a time zone of the IANA database"),
        ("time_zone", "../etc/passwd", "is not a time zone of the IANA database"),
        ("webserver_url", "dagster.example.com", "not an http(s) address"),
        ("webserver_url", "https://[dagster", "not an http(s) address"),
        ("external_tables", "{schema.name}/{table}", "is not a pattern of {database}, {schema} and {table}"),
        ("external_tables", "{schema[x]}/{table}", "is not a pattern of {database}, {schema} and {table}"),
        ("shedules", "true", "did you mean schedules?"),
    ],
)
def test_a_mistyped_setting_is_named_with_what_it_may_be(put, name, value, said):
    put(**{name: value})
    with pytest.raises(ModeConfigError) as raised:
        load_operation()
    assert f"  - {name}: " in str(raised.value)
    assert said in str(raised.value)
    assert ENV_PREFIX in str(raised.value)


def test_several_mistakes_are_said_in_one_message(put):
    put(schedules="maybe", sync_cron="x", time_zone="Mars", reconcil_cron="0 0 * * *")
    with pytest.raises(ModeConfigError) as raised:
        load_operation()
    assert all(f"- {name}: " in str(raised.value) for name in ("schedules", "sync_cron", "time_zone", "reconcil_cron"))


def test_a_mistyped_setting_of_the_sync_is_left_to_the_sync(put):
    put(querry_run_days="3", base_url="sandbox")
    load_operation()
    with pytest.raises(ModeConfigError, match=r"did you mean query_run_days\?"):
        load_settings()


def test_a_sync_knows_the_settings_of_operation_and_their_mistyped_names(put):
    put(base_url="sandbox", schedules="true", webhook_url="https://hooks.example.com/x")
    assert load_settings().is_sandbox
    put(shedules="true")
    with pytest.raises(ModeConfigError, match=r"did you mean schedules\?"):
        load_settings()


def test_the_webhook_is_read_only_when_it_is_asked_for_and_never_shown(put):
    put(webhook_url="https://hooks.example.com/T0/secret-4711")
    assert load_operation().webhook_url == ""
    operation = load_operation(with_secrets=True)
    assert operation.webhook_url.endswith("secret-4711")
    assert "4711" not in repr(operation)
    put(webhook_url="hooks.example.com/secret-4711")
    with pytest.raises(ModeConfigError, match="webhook_url: not an http") as raised:
        load_operation(with_secrets=True)
    assert "4711" not in str(raised.value)


def test_they_are_read_from_files_where_a_secrets_file_has_the_same_section(dlt_files):
    config = '[sources.mode_analytics_source]\nschedules = true\ntime_zone = "Asia/Tokyo"\n'
    secrets = '[sources.mode_analytics_source]\npassword = "p"\n'
    dlt_files(config=f'{config}sync_crom = "x"\n', secrets=secrets)
    with pytest.raises(ModeConfigError, match=r"sync_crom: no such setting; did you mean sync_cron\?"):
        load_operation()
    dlt_files(config=f'{config}sync_cron = "5 4 * * *"\n')
    assert load_operation() == Operation(schedules=True, time_zone="Asia/Tokyo", sync_cron="5 4 * * *")


def test_the_environment_of_a_deployment_is_known_and_turns_schedules_on(monkeypatch):
    lines = (Path(__file__).parents[1] / "deploy/env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert load_operation(with_secrets=True).schedules
    monkeypatch.setenv(f"{ENV_PREFIX}USERNAME", "token")
    monkeypatch.setenv(f"{ENV_PREFIX}PASSWORD", "secret")
    assert not load_settings().is_sandbox
