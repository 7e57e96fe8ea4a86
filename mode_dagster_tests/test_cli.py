"""The command: what it prints helps, what it can't do it explains, nothing secret shows."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import duckdb
import pytest
import requests
from click.testing import CliRunner

from mode_dagster.assets import build_assets
from mode_dagster.build import RESOURCES
from mode_dagster.cli import main
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.sandbox import Fault, SandboxOptions, serve
from mode_dagster.workspace import Workspace

LOADED = {"spaces", "data_sources", "definitions"}


@pytest.fixture
def call(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    return lambda *arguments: runner.invoke(main, arguments)


@pytest.mark.parametrize("command", [(), *[(name,) for name in main.commands]], ids=str)
def test_every_command_says_what_it_is_for(call, command):
    said = call(*command, "--help")
    assert said.exit_code == 0
    assert len(said.output.splitlines()) > 4


def test_endpoints_lists_the_whole_catalogue(call):
    said = call("endpoints").output
    assert all(f" {name} " in said for name in BY_NAME)
    assert "/api/{workspace}/reports/{report_token}/runs/{run_token}/query_runs" in said


def test_check_tells_what_an_admins_key_can_read(call, sandbox, reads):
    reads(sandbox)
    said = call("check")
    assert said.exit_code == 0
    assert "accepted" in said.output
    assert "listing collections (the one set)" in said.output
    assert "100000 requests at once, says the server" in said.output
    assert sandbox.password not in said.output


def test_check_tells_what_a_members_key_cannot_read(call, reads):
    with serve(SandboxOptions(reports=4, spaces=2, days=5, admin=False)) as sandbox:
        reads(sandbox)
        said = call("check")
    assert said.exit_code == 0
    assert "memberships/lite is read instead" in said.output
    assert "only a workspace API token may read them" in said.output
    assert "lower rate_limit_requests from 100000 to 40" in said.output


def test_check_tells_that_a_server_says_no_rate_limit(call, sandbox, reads):
    sandbox.faults.append(Fault(".*", status=404, headers={"X-RateLimit-Limit": ""}))
    reads(sandbox)
    assert "the server says nothing of it" in call("check").output


def test_check_goes_on_where_the_server_cannot_tell_whose_the_credentials_are(call, sandbox, reads):
    sandbox.faults.append(Fault("/verify", status=404))
    reads(sandbox)
    said = call("check")
    assert said.exit_code == 0
    assert "not checked: this server has no /api/verify" in said.output
    assert "listing collections (the one set)" in said.output


def test_check_tells_what_to_do_where_the_key_sees_no_collection(call, sandbox, reads):
    sandbox.faults.append(Fault("/spaces", kind="body", body='{"_embedded": {"spaces": []}}'))
    reads(sandbox)
    said = call("check").output
    assert "spaces: 0 rows" in said
    assert "the key sees none: give it access to the collections" in said


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("/verify", status=401), "Check username (API token) and password (API secret)"),
        (Fault("/verify", kind="html"), "Is base_url Mode's API"),
        (Fault("/verify", kind="drop"), "Check base_url and the network"),
        (Fault("/groups", status=503), "Could not list groups: HTTP 503"),
    ],
    ids=["credentials", "another server", "no answer", "no answer any more"],
)
def test_check_says_what_to_do_about_each_failure(call, sandbox, reads, fault, said):
    sandbox.faults.append(fault)
    reads(sandbox)
    result = call("check")
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_check_says_what_is_wrong_with_an_answer_that_is_none_of_modes(call, sandbox, reads):
    sandbox.faults.append(Fault("/groups", kind="body", body='{"_embedded": {"groups": "none"}}'))
    reads(sandbox)
    said = call("check").output
    assert "HTTP None" not in said
    assert "Could not list groups" in said


@pytest.mark.parametrize("command", ["check", "plan", "answers"])
def test_a_destination_without_credentials_is_named_by_every_command(call, sandbox, reads, monkeypatch, command):
    reads(sandbox)
    monkeypatch.setenv("DESTINATION_TYPE", "postgres")
    result = call(command)
    assert result.exit_code == 1
    assert "not set: DESTINATION__POSTGRES__CREDENTIALS" in result.output
    assert isinstance(result.exception, SystemExit)


def test_check_fails_where_the_listing_that_is_set_cannot_be_read(call, sandbox, reads):
    reads(sandbox, workspace="acmee")
    result = call("check")
    assert result.exit_code == 1
    assert "check the settings workspace and base_url" in result.output


def test_check_fails_although_another_listing_could_be_read(call, sandbox, reads):
    sandbox.faults.append(Fault(r"/api/sandbox-inc/spaces", status=404))
    reads(sandbox)
    result = call("check")
    assert result.exit_code == 1
    assert "listing discovery" in result.output


def test_check_fails_where_the_definitions_would_not_load(call, sandbox, reads, monkeypatch):
    reads(sandbox)
    monkeypatch.setenv("SOURCES__MODE_ANALYTICS_SOURCE__SYNC_CRON", "every day")
    result = call("check")
    assert result.exit_code == 1
    assert "sync_cron: 'every day' is not a cron expression" in result.output


def test_check_names_missing_settings(call):
    result = call("check")
    assert result.exit_code == 1
    assert "workspace: not set" in result.output


def test_check_tells_which_file_the_tables_go_into(call, sandbox, reads, monkeypatch, tmp_path):
    path = tmp_path / "mine.duckdb"
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(path))
    reads(sandbox)
    assert f"{path}: the first sync makes it" in call("check").output
    assert not path.exists()
    duckdb.connect(str(path)).close()
    assert str(path) in call("check").output.splitlines()[-1]


def test_brackets_and_colons_are_shown_as_they_are(call, sandbox, reads, monkeypatch, tmp_path):
    (folder := tmp_path / "[data]:smile:").mkdir()
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(folder / "[a].duckdb"))
    reads(sandbox)
    assert f"{folder}/[a].duckdb:" in "".join(call("check").output.split()), "on several lines, perhaps"


def test_check_fails_where_the_folder_of_the_file_is_not_there(call, sandbox, reads, monkeypatch, tmp_path):
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "mistyped" / "mine.duckdb"))
    reads(sandbox)
    result = call("check")
    assert result.exit_code == 1
    assert "make the folder" in result.output


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"DESTINATION_TYPE": "postgress"}, "Could not use the destination 'postgress'"),
        ({"DESTINATION_TYPE": "postgres"}, "not set: DESTINATION__POSTGRES__CREDENTIALS"),
        (
            {"DESTINATION_TYPE": "postgres", "DESTINATION__POSTGRES__CREDENTIALS": "postgresql://a:b@127.0.0.1:1/c"},
            "postgres: can't be opened",
        ),
    ],
    ids=["mistyped", "no credentials", "no server"],
)
def test_check_fails_where_the_destination_cannot_be_used(call, sandbox, reads, monkeypatch, settings, said):
    reads(sandbox)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    result = call("check")
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        pytest.param(lambda path: path.write_bytes(b"Dear diary, " * 1000), 1, "itisnoDuckDBfile", id="none"),
        pytest.param(Path.mkdir, 1, "itisafolder", id="folder"),
        pytest.param(lambda path: duckdb.connect(str(path)), 0, "anotherprogramhasitopen", id="open"),
    ],
)
def test_check_fails_where_the_file_cannot_be_used_but_not_while_somebody_uses_it(
    call, sandbox, reads, tmp_path, spoil, code, said
):
    reads(sandbox)
    holder = spoil(tmp_path / "mode_analytics.duckdb")
    result = call("check")
    assert said in "".join(result.output.split()), "on several lines, perhaps"
    assert result.exit_code == code
    del holder


def test_plan_tells_what_the_next_sync_asks_for_and_loads_nothing(call, sandbox, reads, tmp_path):
    reads(sandbox)
    said = call("plan")
    assert said.exit_code == 0
    assert "plan: 12 of 12 reports changed" in said.output
    assert not [r for r in sandbox.requests if r.path.endswith("/queries")]
    assert not (tmp_path / "mode_analytics.duckdb").exists()


def test_plan_names_a_destination_that_is_none(call, sandbox, reads, monkeypatch):
    reads(sandbox)
    monkeypatch.setenv("DESTINATION_TYPE", "postgress")
    said = call("plan")
    assert said.exit_code == 1
    assert said.output.startswith("Error: Could not use the destination 'postgress'")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda path: path.write_bytes(b"Dear diary, " * 1000), "it is no DuckDB file", id="none"),
        pytest.param(lambda path: duckdb.connect(str(path)), "another program has it open", id="open"),
    ],
)
def test_move_says_what_is_wrong_with_a_file_that_it_cannot_read(call, tmp_path, spoil, says):
    file = tmp_path / "not.duckdb"
    holder = spoil(file)
    result = call("move", str(file))
    assert result.exit_code == 1
    assert str(file) in result.output
    assert says in result.output
    assert isinstance(result.exception, SystemExit)
    del holder


def test_loaded_shows_the_last_load_of_each_table(call, sandbox, reads, monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (tmp_path / "dagster").mkdir()
    reads(sandbox)
    with dg.DagsterInstance.get() as instance:
        selection = [Workspace().table_key(table) for table in LOADED]
        assert dg.materialize([build_assets()], resources=RESOURCES, instance=instance, selection=selection).success
    said = call("loaded")
    assert said.exit_code == 0
    assert "mode_analytics.duckdb" in said.output.splitlines()[-1]
    assert {name for name in BY_NAME if f" {name} " in said.output} == LOADED
    monkeypatch.setenv("DESTINATION_TYPE", "postgres")
    assert call("loaded").output.splitlines()[-1].endswith("Destination: postgres")


def test_loaded_without_any_load_says_so(call, monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    result = call("loaded")
    assert result.exit_code == 1
    assert "DAGSTER_HOME" in result.output


@pytest.mark.parametrize("home", [None, "nowhere"], ids=["not set", "no folder"])
def test_loaded_without_dagsters_records_says_so(call, monkeypatch, tmp_path, home):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    if home:
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / home))
    result = call("loaded")
    assert result.exit_code == 1
    assert "Could not read Dagster's records: DAGSTER_HOME is not set" in result.output


def test_no_command_is_cut_short_in_the_list_of_commands(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert "..." not in call("--help").output.partition("Commands:")[2]


@pytest.mark.parametrize("option", ["--reports", "--spaces", "--requests"])
def test_a_sandbox_of_nothing_is_refused(call, option):
    result = call("sandbox", option, "0")
    assert result.exit_code == 2
    assert option in result.output


def test_the_sandbox_command_serves_what_it_prints(tmp_path):
    (folder := tmp_path / "of two words").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mode_dagster.cli", "sandbox", "--port", "0", "--reports", "5"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        # a shell that starts the tests in the background has them ignore Ctrl-C, and their children too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        # as a shell would read them
        exports = [shlex.split(process.stdout.readline())[1].split("=", 1)[1] for _ in range(7)]
        base_url, workspace, username, password, requests_allowed, _seconds, database = exports
        assert requests_allowed == "40"
        assert database == str(folder / "sandbox_5_1.duckdb")
        answer = requests.get(f"{base_url}/{workspace}/spaces?filter=all", auth=(username, password), timeout=10)
        assert answer.json()["_embedded"]["spaces"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
