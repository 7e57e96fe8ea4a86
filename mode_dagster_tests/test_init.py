"""`mode-dagster init`: a project that runs at once, that git takes without secrets, and that overwrites nothing."""

import json
import os
import re
import subprocess
import urllib.request
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from click.testing import CliRunner

from mode_dagster.build import RESOURCES
from mode_dagster.cli import main
from mode_dagster.new_project import REQUIREMENTS, SHARED, make_project
from mode_dagster.operation import load_operation
from mode_dagster.project_template.definitions import defs, reports_to_mend
from mode_dagster.settings import ENV_PREFIX, load_settings
from mode_dagster_tests.distribution import ROOT, build, fresh_environment
from mode_dagster_tests.processes import HOST, Program, free_port, until

FILES = {
    *(".dlt/config.toml", ".dlt/secrets.toml.example", ".env.example", ".gitignore", "Makefile", "README.md"),
    *("dagster.yaml", "definitions.py", "requirements.txt", "workspace.yaml"),
}
SERVERS = ("make ui", "dagster dev")
SYNC = "dagster job execute -f definitions.py -j mode_sync"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path / "project")
    return tmp_path / "project"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_writes_what_it_says_and_tells_how_to_go_on(tmp_path):
    said = CliRunner().invoke(main, ["init", "acme/mode"])
    assert said.exit_code == 0, said.output
    *written, advice = said.output.splitlines()
    assert set(written) == {f"acme/mode/{name}" for name in FILES}
    assert files(tmp_path / "acme/mode") == FILES
    assert "cd acme/mode" in advice


def test_what_the_repository_uses_too_is_the_same_there(project):
    for name, origin in SHARED.items():
        assert (project / name).read_bytes() == (ROOT / origin).read_bytes()
    assert (project / REQUIREMENTS).read_text() == f"mode-dagster=={version('mode-dagster')}\n"


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_folder_with_a_file_of_that_name_is_refused_and_left_as_it_is(tmp_path, name):
    taken = tmp_path / "project" / name
    taken.parent.mkdir(parents=True)
    taken.write_text("mine")
    said = CliRunner().invoke(main, ["init", "project"])
    assert said.exit_code == 1
    assert f"it has {name} already" in said.output
    assert files(tmp_path / "project") == {name}
    assert taken.read_text() == "mine"


def test_a_link_to_nowhere_counts_as_a_file(tmp_path):
    (tmp_path / "Makefile").symlink_to("nowhere")
    assert "it has Makefile already" in CliRunner().invoke(main, ["init", "."]).output


def test_a_folder_with_other_files_is_taken(tmp_path):
    (tmp_path / "notes.md").write_text("mine")
    assert CliRunner().invoke(main, ["init", "."]).exit_code == 0
    assert files(tmp_path) == FILES | {"notes.md"}


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path):
    (tmp_path / ".dlt").write_text("a file")
    said = CliRunner().invoke(main, ["init", "."])
    assert said.exit_code == 1
    assert ".dlt" in said.output
    assert "Traceback" not in said.output


def test_git_takes_the_project_and_not_what_is_secret_or_made(project):
    made = (".env", ".dlt/secrets.toml", "acme.duckdb", "acme.duckdb.wal", "mode_workspace_report.html")
    kept_by_dagster = ("history/runs.db", "schedules/schedules.db", "storage/x/compute_logs/y.out", ".dlt/data/x")
    for name in (*made, *kept_by_dagster):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    subprocess.run(["git", "init", "-q", "."], cwd=project, check=True)
    listing = ["git", "ls-files", "--others", "--exclude-standard"]
    found = subprocess.run(listing, cwd=project, check=True, capture_output=True, text=True).stdout.split()
    assert set(found) == FILES


def test_the_example_of_the_environment_is_of_known_settings_and_holds_no_secret(project, monkeypatch):
    """With and without the `#` before its settings."""
    lines = (project / ".env.example").read_text().splitlines()
    names = dict(re.fullmatch(r"(?:# )?([A-Z_]+)=(.*)", line).groups() for line in lines if "=" in line)
    assert names.pop("DAGSTER_HOME") == "${PWD}"
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert names[f"{ENV_PREFIX}USERNAME"] == names[f"{ENV_PREFIX}PASSWORD"] == ""
    monkeypatch.setenv(f"{ENV_PREFIX}USERNAME", "token")
    monkeypatch.setenv(f"{ENV_PREFIX}PASSWORD", "secret")
    assert load_settings().base_url == "https://app.mode.com/api"
    assert load_operation().schedules


def test_the_command_reads_the_environment_of_the_project_as_dagster_does(project, monkeypatch, sandbox):
    monkeypatch.chdir(project)
    monkeypatch.setenv(f"{ENV_PREFIX}WORKSPACE", "another")
    values = {name: getattr(sandbox, name) for name in ("base_url", "workspace", "username", "password")}
    lines = [f"{ENV_PREFIX}{name.upper()}={value}" for name, value in values.items()]
    for line in lines:
        monkeypatch.setenv(line.partition("=")[0], "")  # so that they are gone after the test
    (project / ".env").write_text("\n".join(lines))
    assert "accepted" in CliRunner().invoke(main, ["check"]).output


def test_the_pages_of_the_reference_are_written_into_a_new_folder(project, monkeypatch):
    monkeypatch.chdir(project)
    assert CliRunner().invoke(main, ["docs", "docs"]).exit_code == 0
    assert files(project / "docs") >= {"assets.md", "checks.md", "configuration.md"}


def test_the_example_asset_hangs_below_the_model_that_it_reads():
    graph = defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["bi", "reports_to_mend"])).parent_keys == {
        dg.AssetKey(["mode_marts", "report_health"])
    }
    assert defs.resolve_job_def("mode_sync")


def test_the_example_asset_counts_the_reports_that_fail_and_are_in_use(tmp_path):
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        connection.execute(
            """
            CREATE SCHEMA mode_marts;
            CREATE TABLE mode_marts.report_health AS
            SELECT * FROM (VALUES
                ('ada', true, false, TIMESTAMPTZ '2026-06-02 12:00:00+00'),
                ('ada', true, NULL, TIMESTAMPTZ '2026-06-01 12:00:00+00'),
                ('ada', false, false, NULL),
                ('bob', true, true, TIMESTAMPTZ '2026-06-01 12:00:00+00'),
                (NULL, true, false, TIMESTAMPTZ '2026-06-03 12:00:00+00')
            ) AS rows (owner_username, is_failing, is_archived, failing_since)
            """
        )
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        result = dg.materialize([reports_to_mend], resources=RESOURCES, instance=instance)
    (event,) = result.asset_materializations_for_node("bi__reports_to_mend")
    assert event.metadata["dagster/row_count"].value == 2
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        table = connection.execute("SELECT owner_username, reports, failing_since::DATE::TEXT FROM bi.reports_to_mend")
        assert set(table.fetchall()) == {("ada", 2, "2026-06-01"), (None, 1, "2026-06-03")}


@pytest.fixture
def environment(tmp_path):
    """That of a person who installed the wheel: on PATH, and nothing of the checkout."""
    build(ROOT, tmp_path / "dist", "-t", "wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    programs = fresh_environment(tmp_path / "venv", wheel, ["dagster"])
    ours = ("DLT_", "DAGSTER", "DESTINATION__", ENV_PREFIX, "PYTHON")
    found = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    found |= {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    return found | {"DAGSTER_DISABLE_TELEMETRY": "yes", f"{ENV_PREFIX}QUERY_RUN_DAYS": "1"}


def typed(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a shell in that folder prints."""
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def served(port: int) -> list[str] | None:
    """The keys of the assets that Dagster's UI has, once it has some."""
    query = json.dumps({"query": "{assetNodes {assetKey {path}}}"}).encode()
    request = urllib.request.Request(f"http://{HOST}:{port}/graphql", query, {"Content-Type": "application/json"})
    with suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
        nodes = json.load(answer)["data"]["assetNodes"]
        return ["/".join(node["assetKey"]["path"]) for node in nodes]
    return None


@pytest.mark.slow
def test_the_commands_of_its_readme_do_what_it_says_after_an_installation_from_the_index(environment, tmp_path):
    typed("mode-dagster init acme", tmp_path, environment)
    acme, port = tmp_path / "acme", free_port()
    imported = typed("python -c 'import mode_dagster; print(mode_dagster.__file__)'", acme, environment)
    assert imported.startswith(str(tmp_path / "venv"))
    lines = re.findall(r"^\$ (.+?)(?: +#.*)?$", (acme / "README.md").read_text(), re.MULTILINE)
    assert [line for line in lines if line in SERVERS] == list(SERVERS)
    assert SYNC in lines
    assert f"@$(BIN){SYNC}\n" in (acme / "Makefile").read_text()

    ui = Program(["dagster", "dev", "-p", str(port)], tmp_path / "dev.log", environment, acme)
    try:
        printed = {line: typed(line, acme, environment) for line in lines if line not in (*SERVERS, SYNC)}
        keys = until(lambda: served(port), 60, "the assets in the UI of dagster dev")
    finally:
        ui.kill()
    assert {"mode/reports", "mode_marts/report_health", "bi/reports_to_mend"} <= set(keys)
    assert "Loaded environment variables from .env file: DAGSTER_HOME" in printed["dagster definitions validate"]
    assert "All code locations passed validation" in printed["dagster definitions validate"]
    assert f"DuckDB file: {acme / 'mode_analytics.duckdb'}" in printed["make sync"]
    assert "Which report fails most?" in printed["make sync"]
    assert (acme / "mode_workspace_report.html").exists()
    with duckdb.connect(str(acme / "mode_analytics.duckdb")) as connection:
        failing = "SELECT count(*) FROM mode_marts.report_health WHERE is_failing AND is_archived IS NOT TRUE"
        expected = connection.execute(failing).fetchone()
        assert connection.execute("SELECT sum(reports) FROM bi.reports_to_mend").fetchone() == expected
    assert expected > (0,)
