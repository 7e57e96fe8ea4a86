"""Use from a project of somebody else's: as definitions to merge, as a component, from the wheel."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import dagster as dg
import dlt
import pytest
from dagster_duckdb import DuckDBResource

from mode_dagster import build_mode_definitions
from mode_dagster.sandbox import serve
from mode_dagster.settings import ENV_PREFIX
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import SMALL
from mode_dagster_tests.distribution import build, fresh_environment

ROOT = Path(__file__).parents[1]
LOADED = ("spaces", "reports", "runs", "data_sources", "queries", "query_runs", "users", "workspaces", "run_facts")


def configure(monkeypatch: pytest.MonkeyPatch, prefix: str, served) -> None:
    for name in ("base_url", "workspace", "username", "password"):
        monkeypatch.setenv(prefix + name.upper(), getattr(served, name))
    monkeypatch.setenv(f"{prefix}RATE_LIMIT_REQUESTS", "100000")
    monkeypatch.setenv(f"{prefix}QUERY_RUN_DAYS", "1")


def test_two_workspaces_side_by_side_in_somebody_elses_project(monkeypatch, query, tmp_path):
    @dg.asset(deps=[dg.AssetKey(["mode", "reports"]), dg.AssetKey(["acme", "emea", "mode", "reports"])])
    def all_reports() -> None: ...

    theirs = dg.Definitions(
        assets=[all_reports],
        resources={"duckdb": DuckDBResource(database=":memory:"), "dlt": object()},
        executor=dg.multiprocess_executor,
    )
    emea = build_mode_definitions("emea", key_prefix=["acme", "emea"], group_name="mode_emea")
    together = dg.Definitions.merge(theirs, build_mode_definitions(), emea)
    dg.Definitions.validate_loadable(together)

    with serve(SMALL) as one, serve(replace(SMALL, seed=7, reports=15)) as other:
        configure(monkeypatch, ENV_PREFIX, one)
        configure(monkeypatch, f"{ENV_PREFIX}EMEA__", other)
        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
            for job in ("mode_sync", "mode_sync_emea"):
                definition = together.resolve_job_def(job)
                some = [key for key in definition.asset_layer.selected_asset_keys if key.path[-1] in LOADED]
                assert definition.execute_in_process(asset_selection=some, instance=instance).success
        found = {token for (token,) in query("SELECT token FROM mode_analytics_data.reports")}
        assert found == one.world.truth("reports")
        found = {token for (token,) in query("SELECT token FROM mode_analytics_data_emea.reports")}
        assert found == other.world.truth("reports")
        found = {token for (token,) in query("SELECT run_token FROM mode_marts_emea.run_facts")}
        assert found == other.world.truth("runs")

    nodes = {node.key.to_user_string(): node for node in together.resolve_asset_graph().asset_nodes}
    assert nodes["acme/emea/mode/runs"].group_name == "mode_emea"
    assert nodes["mode/runs"].group_name == "mode_runs"
    assert nodes["acme/emea/mode/runs"].pools == {"mode_emea"}
    assert {key.to_user_string() for key in nodes["acme/emea/mode/runs"].parent_keys} == {"acme/emea/mode/reports"}


def test_a_prefix_of_one_part_may_be_a_text_as_everywhere_in_dagster():
    keys = build_mode_definitions("emea", key_prefix="acme").resolve_asset_graph().get_all_asset_keys()
    assert {key.path[0] for key in keys} == {"acme"}


def test_a_name_that_no_schema_can_have_is_refused():
    with pytest.raises(ValueError, match="can't be called 'EMEA-1' here: use lower-case letters"):
        Workspace("EMEA-1")


def test_missing_settings_of_a_named_workspace_are_asked_for_in_its_own_section(tmp_path):
    emea = build_mode_definitions("emea")
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        result = emea.resolve_job_def("mode_sync_emea").execute_in_process(instance=instance, raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    text = failed.step_failure_data.user_failure_data.description
    assert "[sources.mode_analytics_source.emea]" in text
    assert "SOURCES__MODE_ANALYTICS_SOURCE__EMEA__<NAME>" in text


def test_settings_of_the_only_workspace_may_stand_beside_those_of_a_named_one(monkeypatch, sandbox):
    from mode_dagster.settings import load_settings

    configure(monkeypatch, ENV_PREFIX, sandbox)
    configure(monkeypatch, f"{ENV_PREFIX}EMEA__", sandbox)
    assert load_settings(Workspace("emea").section).workspace == sandbox.workspace
    assert load_settings().workspace == sandbox.workspace
    assert dlt.config.get("sources.mode_analytics_source.emea.workspace") == sandbox.workspace


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory) -> str:
    """The interpreter of a new virtual environment with the wheel in it; dependencies are lent, the checkout is not."""
    folder = tmp_path_factory.mktemp("fresh")
    build(ROOT, folder, "-t", "wheel")
    (wheel,) = folder.glob("*.whl")
    return str(fresh_environment(folder / "venv", wheel, ()) / "python")


@pytest.mark.slow
def test_the_component_loads_from_ten_lines_of_yaml_and_the_wheel(fresh_python, tmp_path, monkeypatch):
    project = tmp_path / "acme"
    (project / "acme_data/defs/mode").mkdir(parents=True)
    (project / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "acme_data"\n'
    )
    (project / "acme_data/__init__.py").touch()
    (project / "acme_data/definitions.py").write_text(
        "from pathlib import Path\nimport dagster as dg\n\n"
        "@dg.definitions\ndef defs():\n    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    yaml = project / "acme_data/defs/mode/defs.yaml"
    yaml.write_text(
        "type: mode_dagster.ModeComponent\nattributes:\n  name: emea\n  key_prefix: [acme]\n  group_name: mode\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(project))
    monkeypatch.setenv("HOME", str(tmp_path))

    def dg_command(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [fresh_python, "-c", "from dagster_dg_cli.cli import main; main()", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    where = subprocess.run(
        [fresh_python, "-c", "import mode_dagster; print(mode_dagster.__file__)"], capture_output=True, text=True
    )
    assert where.stdout.startswith(str(Path(fresh_python).parents[1]))
    checked = dg_command("check", "yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = dg_command("list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout[listed.stdout.index("{") :])
    assert {"acme/mode/reports", "acme/mode/sync_ledger"} <= {asset["asset_key"] for asset in found["assets"]}
    assert "mode_sync_emea" in {job["name"] for job in found["jobs"]}

    yaml.write_text("type: mode_dagster.ModeComponent\nattributes:\n  prefix: acme\n")
    refused = dg_command("check", "yaml")
    assert refused.returncode == 1
    assert "prefix" in refused.stdout + refused.stderr
