"""The code location: loads anywhere, with nothing set, and its commands are those that Dagster users know."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.specs.azure_credentials import AzureCredentialsWithoutDefaults
from dlt.destinations.exceptions import DestinationConnectionError

from mode_dagster.build import build_mode_definitions
from mode_dagster.extract import __main__ as extract
from mode_dagster.extract.destination import database_path
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import DestinationError, ModeConfigError
from mode_dagster.extract.faults import errors_unwrapped
from mode_dagster.sandbox import Fault, serve
from mode_dagster.schedules import ONLY_SYNCED
from mode_dagster.settings import ENV_PREFIX
from mode_dagster_tests.conftest import SMALL
from mode_dagster_tests.processes import measured, until

BARE = {"PATH": os.environ["PATH"], "DAGSTER_DISABLE_TELEMETRY": "yes", "RUNTIME__DLTHUB_TELEMETRY": "false"}

POSTGRES = {
    "DESTINATION_TYPE": "postgres",
    "DESTINATION__POSTGRES__CREDENTIALS": "postgresql://loader:not-to-be-shown@127.0.0.1:9/warehouse",
}
SOMEBODY = {ENV_PREFIX + name: "any" for name in ("WORKSPACE", "USERNAME", "PASSWORD")}


@pytest.fixture
def run(tmp_path):
    """Runs a command in an empty folder with an empty HOME and nothing of ours in the environment."""

    def call(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "home").mkdir(exist_ok=True)
        environment = {
            **BARE,
            **measured(),
            "HOME": str(tmp_path / "home"),
            "DLT_DATA_DIR": str(tmp_path / "dlt"),
            **settings,
        }
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return call


def test_definitions_load_without_settings_or_network(run, tmp_path):
    blocked = tmp_path / "sitecustomize.py"
    blocked.write_text(
        "import socket\ndef refuse(*a, **k): raise OSError('no network')\nsocket.socket.connect = refuse\n"
    )
    done = run("dagster", "definitions", "validate", "-m", "mode_dagster.definitions", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("*.duckdb"))


def test_the_jobs_select_and_configure_what_they_are_for():
    definitions = build_mode_definitions()
    hourly = definitions.resolve_job_def("mode_runs_hourly").asset_layer.selected_asset_keys
    tables = {key.path[1] for key in hourly if key.path[0] == "mode"}
    assert tables == {"spaces", "reports", "runs", "query_runs", "sync_ledger"}
    assert ONLY_SYNCED not in tables
    # nothing below runs, but read by a model that is
    assert "mode_marts/time_zones" in {key.to_user_string() for key in hourly}
    reconcile = definitions.resolve_job_def("mode_reconcile")
    assert reconcile.asset_layer.selected_asset_keys == definitions.resolve_asset_graph().get_all_asset_keys()
    assert reconcile.config_mapping is not None or reconcile.run_config["ops"]["mode"]["config"]["reconcile"] is True


def test_a_relative_path_of_the_file_means_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "mine.duckdb")
    assert database_path() == str(tmp_path / "mine.duckdb")
    monkeypatch.delenv("DESTINATION__DUCKDB__CREDENTIALS")
    assert database_path() == str(tmp_path / "mode_analytics.duckdb")


def test_the_file_may_be_named_in_a_table_of_credentials_as_dlt_takes_it(monkeypatch, dlt_files, tmp_path):
    monkeypatch.delenv("DESTINATION__DUCKDB__CREDENTIALS")
    dlt_files(secrets='[destination.duckdb.credentials]\ndatabase = "mine.duckdb"\n')
    assert database_path() == str(tmp_path / "mine.duckdb")
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS__DATABASE", "another.duckdb")
    assert database_path() == str(tmp_path / "another.duckdb")


def test_what_a_server_says_is_not_held_against_the_duckdb_file(monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "postgres")
    refused = DestinationConnectionError(
        "postgres", "data", "", Exception('permission denied for database "analytics"')
    )
    with pytest.raises(DestinationError, match="postgres: permission denied for database") as said, errors_unwrapped():
        raise refused
    assert "duckdb" not in str(said.value)


def test_the_command_of_the_readme_for_one_table_works(run, query):
    one = run(
        *("dagster", "asset", "materialize", "--select", "mode/reports", "-m", "mode_dagster.definitions"),
        **{ENV_PREFIX + "BASE_URL": "sandbox"},
    )
    assert one.returncode == 0, one.stderr
    assert query("SELECT count(*) > 30 FROM mode_analytics_data.reports") == [(True,)]


@pytest.mark.slow
def test_the_command_of_the_readme_for_a_job_works(run, query):
    # less history than a user's first load has, for there is a request for each run
    sandbox = {ENV_PREFIX + "BASE_URL": "sandbox", ENV_PREFIX + "HISTORY_DAYS": "1"}
    job = run("dagster", "job", "execute", "-m", "mode_dagster.definitions", "-j", "mode_sync", **sandbox)
    assert job.returncode == 0, job.stderr
    tables = query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'mode_analytics_data'")
    assert set(BY_NAME) <= {name for (name,) in tables}


def test_a_load_without_dagster_prints_dlts_load_info(run, query):
    sandbox = {"SOURCES__MODE_ANALYTICS_SOURCE__BASE_URL": "sandbox"}
    done = run("mode_dagster.extract", "spaces", "reports", **sandbox)
    assert done.returncode == 0, done.stderr
    assert "Pipeline mode_analytics_pipeline load step" in done.stdout
    assert "into dataset mode_analytics_data" in done.stdout
    assert query("SELECT count(*) > 0 FROM mode_analytics_data.reports") == [(True,)]
    info = run("dlt._workspace.cli._dlt", "pipeline", "mode_analytics_pipeline", "info")
    assert "mode_analytics_data" in info.stdout, info.stderr


def test_a_load_without_dagster_reads_the_environment_of_the_folder_as_dagster_does(run, tmp_path):
    lines = (f"{ENV_PREFIX}BASE_URL=sandbox", f"{ENV_PREFIX}WORKSPACE=", "DLT_DATA_DIR=${PWD}/mine")
    (tmp_path / ".env").write_text("\n".join((*lines, "DESTINATION__DUCKDB__CREDENTIALS=mine.duckdb")))
    done = run("mode_dagster.extract", "spaces", PWD=str(tmp_path), DESTINATION__DUCKDB__CREDENTIALS="another.duckdb")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*.duckdb")] == ["mine.duckdb"]
    assert (tmp_path / "mine/pipelines").is_dir()


def test_a_load_without_dagster_says_what_is_missing(run, tmp_path):
    done = run("mode_dagster.extract", "spaces")
    assert not list(tmp_path.glob("*.duckdb"))
    assert done.returncode == 1
    assert "workspace: not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_load_without_dagster_says_which_destination_is_out_of_reach(run):
    done = run("mode_dagster.extract", "spaces", **POSTGRES, **SOMEBODY)
    assert done.returncode == 1
    assert re.search(r"^Could not reach the destination postgres: .*refused", done.stderr, flags=re.MULTILINE)
    assert "DESTINATION__POSTGRES__CREDENTIALS" in done.stderr
    assert "Traceback" not in done.stderr
    assert "not-to-be-shown" not in done.stderr


def test_a_load_without_dagster_names_the_driver_that_is_missing(run, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['psycopg2'] = None\n")
    done = run("mode_dagster.extract", "spaces", PYTHONPATH=str(tmp_path), **POSTGRES, **SOMEBODY)
    assert done.returncode == 1
    assert "its driver is not installed. Install the extra postgres of mode-dagster (in a clone: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("bucket", "module", "extra", "credentials"),
    [
        ("gs://b", "gcsfs", "gcs", {"PROJECT_ID": "p", "PRIVATE_KEY": "k", "CLIENT_EMAIL": "e"}),
        ("az://b", "adlfs", "azure", {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "a2V5"}),
    ],
)
def test_a_load_without_dagster_names_the_driver_of_the_bucket(run, tmp_path, bucket, module, extra, credentials):
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules['{module}'] = None\n")
    settings = {"DESTINATION_TYPE": "filesystem", "DESTINATION__FILESYSTEM__BUCKET_URL": bucket}
    settings |= {f"DESTINATION__FILESYSTEM__CREDENTIALS__{name}": value for name, value in credentials.items()}
    done = run("mode_dagster.extract", "spaces", PYTHONPATH=str(tmp_path), **settings, **SOMEBODY)
    assert done.returncode == 1
    assert f"pip install -e '.[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("mode_dagster.cli", "check"), ("mode_dagster.extract", "spaces")])
def test_the_library_of_the_table_format_is_missed_before_anything_is_fetched(run, tmp_path, command):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['deltalake'] = None\n")
    files = {"BUCKET_URL": tmp_path.as_uri(), "TABLE_FORMAT": "delta"}
    settings = {f"DESTINATION__FILESYSTEM__{name}": value for name, value in files.items()}
    done = run(*command, PYTHONPATH=str(tmp_path), DESTINATION_TYPE="filesystem", **settings, **SOMEBODY)
    assert done.returncode == 1
    assert "Install the extra delta of mode-dagster" in done.stderr
    assert "Traceback" not in done.stderr


def test_credentials_that_are_missing_are_named_as_they_are_set(monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
    missing = ConfigFieldMissingException(AzureCredentialsWithoutDefaults(), {"azure_storage_sas_token": []})
    name = "DESTINATION__FILESYSTEM__CREDENTIALS__AZURE_STORAGE_SAS_TOKEN"
    with pytest.raises(ModeConfigError, match=f"not set: {name}"), errors_unwrapped():
        raise missing


def test_a_load_without_dagster_that_is_interrupted_says_what_stays(run, tmp_path, reads, query):
    command = [sys.executable, "-m", "mode_dagster.extract"]
    with serve(replace(SMALL, latency=0.5)) as world:
        reads(world, checkpoint_seconds=1)
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as loading:
            until(lambda: any(asked.path.endswith("/queries") for asked in world.requests), 60, "the listings are read")
            loading.send_signal(signal.SIGINT)
            said = loading.stderr.read().decode()
    assert loading.returncode == 130
    assert said.splitlines()[-1] == "Stopped. What was loaded stays, and the next sync goes on from there."
    assert "Traceback" not in said
    assert query("SELECT count(*) > 0 FROM mode_analytics_data.reports") == [(True,)]


def test_a_load_without_dagster_names_a_destination_that_is_none(run):
    done = run("mode_dagster.extract", "spaces", DESTINATION_TYPE="postgress")
    assert done.returncode == 1
    assert "Could not use the destination 'postgress'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("mode_dagster.extract", "spaces"), ("mode_dagster.cli", "answers")])
def test_a_file_that_is_no_toml_is_named_without_a_traceback(run, tmp_path, command):
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt/secrets.toml").write_text("username = no quotes\n")
    done = run(*command)
    assert done.returncode == 1
    assert "secrets.toml" in done.stderr
    assert "at line 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_load_without_dagster_ends_with_1_and_the_tables_that_were_not_loaded(sandbox, reads, capsys):
    sandbox.faults.append(Fault("/definitions", status=500))
    reads(sandbox)
    assert extract.main(["definitions", "data_sources"]) == 1
    printed = capsys.readouterr()
    assert "definitions was not loaded completely. Could not list definitions: HTTP 500" in printed.err
    assert "Pipeline mode_analytics_pipeline load step" in printed.out


def test_a_load_without_dagster_says_nothing_of_a_part_that_brought_nothing(sandbox, reads, capsys, monkeypatch):
    monkeypatch.setattr("mode_dagster.extract.sync.MOST_ROWS", 3)
    reads(sandbox)
    assert extract.main(["reports", "report_filters"]) == 0
    assert "0 load package(s)" not in capsys.readouterr().out


def test_a_load_without_dagster_tells_what_mode_refused(sandbox, reads, capsys):
    sandbox.faults += [Fault("/definitions", status=403), Fault("/audit_logs", status=400)]
    reads(sandbox)
    assert extract.main(["definitions", "audit_logs"]) == 0
    said = capsys.readouterr().err
    assert "definitions: 1 x HTTP 403\n" in said
    assert "audit_logs: 1 x HTTP 400; if Mode keeps events for some time only, set history_days to less\n" in said
    reads(sandbox, max_requests=20)
    assert extract.main(["spaces", "reports", "queries"]) == 0
    assert "Stopped at max_requests; the next sync goes on from there.\n" in capsys.readouterr().err


def test_a_load_without_dagster_names_a_table_that_is_none(capsys):
    with pytest.raises(SystemExit):
        extract.main(["spaces", "report"])
    assert "no such table: report (choose from workspaces, " in capsys.readouterr().err


@pytest.mark.parametrize("table", ["report", "runs"])
def test_a_table_that_can_not_shrink_is_refused_without_dagster_too(capsys, table):
    with pytest.raises(SystemExit):
        extract.main(["--accept-shrunk", table])
    assert f"invalid choice: '{table}'" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal, which Windows has none of")
def test_a_load_on_a_terminal_shows_how_many_requests_are_done(reads, monkeypatch, query):
    ours, theirs = os.openpty()
    monkeypatch.setenv("COLUMNS", "100")
    with serve(replace(SMALL, latency=0.1)) as slow, open(theirs, "w") as terminal:
        reads(slow)
        monkeypatch.setattr(sys, "stderr", terminal)
        with ThreadPoolExecutor(1) as pool:
            shown = pool.submit(read_all, ours)
            status = extract.main(["spaces", "reports", "queries", "charts"])
            terminal.close()
            text = shown.result(30)
    assert status == 0
    assert re.search(r"requests .*[1-9]\d*/[1-9]\d*", text)
    assert query("SELECT count(*) > 0 FROM mode_analytics_data.charts") == [(True,)]


def read_all(terminal: int) -> str:
    """What is shown on a terminal until it is closed."""
    shown = b""
    with contextlib.suppress(OSError):
        while found := os.read(terminal, 4096):
            shown += found
    return shown.decode()


def test_a_file_that_another_program_has_open_is_named_with_that_program(run, tmp_path):
    hold = (
        "import duckdb, sys; c = duckdb.connect('mode_analytics.duckdb'); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        done = run("mode_dagster.extract", "spaces", SOURCES__MODE_ANALYTICS_SOURCE__BASE_URL="sandbox")
        holder.stdin.close()
    assert done.returncode == 1
    assert "another program has it open (PID " in done.stderr
    assert "Traceback" not in done.stderr


def test_extract_never_imports_dagster(run):
    done = run("mode_dagster.extract", "--help", PYTHONVERBOSE="")
    assert done.returncode == 0
    check = (
        "import sys, mode_dagster.extract.__main__; sys.exit(any(m.split('.')[0] == 'dagster' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=Path.cwd()).returncode == 0


def test_every_asset_says_how_old_it_may_get():
    specs = [spec for asset in build_mode_definitions().assets for spec in asset.specs]
    assert len(specs) > len(BY_NAME)
    assert [spec.key.to_user_string() for spec in specs if spec.freshness_policy is None] == []
