"""What one run does otherwise than usual, what a failing table holds up, and that no two syncs overlap."""

import dagster as dg
import pytest

from mode_dagster.assets import SyncConfig, build_assets, build_ledger_check
from mode_dagster.build import RESOURCES
from mode_dagster.extract.errors import DestinationBusy
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.pipeline import mode_pipeline, no_other_sync
from mode_dagster.sandbox import Fault
from mode_dagster.workspace import Workspace

key = Workspace().table_key


@dg.asset(deps=[key("definitions")])
def from_definitions() -> None: ...


@dg.asset(deps=[key("spaces"), key("reports")])
def from_reports() -> None: ...


@pytest.fixture
def run(tmp_path):
    assets = [build_assets(), build_ledger_check(), from_definitions, from_reports]
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:

        def materialize(*selection: dg.AssetKey, **config: object) -> dg.ExecuteInProcessResult:
            return dg.materialize(
                assets,
                selection=list(selection) or None,
                resources=RESOURCES,
                run_config={"ops": {"mode": {"config": config}}},
                instance=instance,
                raise_on_error=False,
            )

        materialize.instance = instance
        yield materialize


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    failed = [event for event in result.all_events if event.is_step_failure]
    return {event.step_key: event.step_failure_data.user_failure_data.description for event in failed}


def test_a_failing_table_holds_up_only_what_needs_it_and_the_run_is_red(sandbox, reads, run):
    sandbox.faults.append(Fault(r"/definitions", status=500))
    reads(sandbox)
    selected = [*map(key, ("spaces", "reports", "definitions", LEDGER)), from_reports.key, from_definitions.key]
    result = run(*selected)
    assert not result.success
    assert "from_reports" in materialized(result)
    assert {"definitions", "from_definitions"} & materialized(result) == set()
    (failed,) = failures(result).items()
    assert failed[0] == "mode__sync_ledger_every_table_was_read"
    assert "1 of the tables could not be read completely" in failed[1]
    assert "- definitions: Could not list definitions: HTTP 500" in failed[1]
    sandbox.faults.clear()
    again = run(*selected)
    assert again.success
    assert {"definitions", "from_definitions"} <= materialized(again)


def test_a_failing_table_fails_its_step_where_the_ledger_is_not_selected(sandbox, reads, run):
    sandbox.faults.append(Fault(r"/definitions", status=500))
    reads(sandbox)
    result = run(key("definitions"), key("spaces"))
    assert materialized(result) == {"spaces"}
    assert "Could not list definitions: HTTP 500" in failures(result)["mode"]


def test_a_dry_run_tells_the_plan_and_loads_nothing(sandbox, reads, run, query):
    reads(sandbox)
    result = run(dry_run=True)
    assert result.success
    assert materialized(result) == set()
    observed = {
        event.asset_observation_data.asset_observation.asset_key.path[-1]: {
            name: value.value for name, value in event.asset_observation_data.asset_observation.metadata.items()
        }
        for event in result.get_asset_observation_events()
    }
    # of 12 reports and 4 datasets
    assert observed["queries"]["lists_due"] == 16
    assert observed["queries"]["plan"].startswith("plan: 12 of 12 reports changed, ")
    assert not any("/queries" in request.path for request in sandbox.requests)
    assert query("SELECT table_name FROM information_schema.tables") == []


def test_a_sync_of_some_reports_asks_for_nothing_of_others(sandbox, reads, run, query):
    reads(sandbox)
    wanted = sorted(sandbox.world.truth("reports"))[:2]
    assert run(key("reports"), key("queries"), key("charts"), key("runs"), reports=wanted).success
    below = {
        request.path.split("/reports/")[1].split("/")[0] for request in sandbox.requests if "/reports/" in request.path
    }
    assert below == set(wanted)
    assert query("SELECT count(*) FROM mode_analytics_data.reports")[0][0] == 12
    # the others are due all the same in the next sync
    assert run(key("reports"), key("runs")).success
    assert query("SELECT count(DISTINCT report_token) FROM mode_analytics_data.runs")[0][0] > 2


def test_a_sync_of_some_reports_reads_what_hangs_on_no_report_as_ever(sandbox, reads, run, query):
    reads(sandbox)
    wanted = sorted(sandbox.world.truth("reports"))[:1]
    assert run(key("spaces"), key("reports"), key("space_permissions"), reports=wanted).success
    lists = "SELECT count(*) FROM mode_analytics_data.sync_ledger WHERE endpoint = 'space_permissions'"
    assert query(lists) == [(len(sandbox.world.truth("spaces")),)]


def test_a_report_that_is_not_there_is_named(sandbox, reads, run):
    reads(sandbox)
    result = run(key("queries"), reports=["nosuchreport"])
    assert "nosuchreport is not listed in the workspace" in failures(result)["mode"]


def test_max_requests_of_the_run_wins_over_the_setting(sandbox, reads, run):
    reads(sandbox, max_requests=0)
    assert run(key("queries"), max_requests=20).success
    assert len(sandbox.requests) <= 40
    before = len(sandbox.requests)
    assert run(key("queries")).success
    assert len(sandbox.requests) > before


def test_the_launchpad_shows_what_can_be_given():
    fields = SyncConfig.to_config_schema().as_field().config_type.fields
    assert set(fields) == {"reconcile", "dry_run", "reports", "max_requests", "accept_shrunk"}
    assert all(field.description for field in fields.values())
    shrinkable = fields["accept_shrunk"].config_type.inner_type.inner_type
    assert {"reports", "spaces"} <= {value.config_value for value in shrinkable.enum_values}


def test_a_table_of_which_nothing_can_be_gone_is_refused(sandbox, reads, run):
    reads(sandbox)
    with pytest.raises(dg.DagsterInvalidConfigError, match="not in enum type Listed got runs"):
        run(key("spaces"), accept_shrunk=["runs"])


def test_run_tags_say_workspace_and_listing(sandbox, reads, run):
    reads(sandbox)
    result = run(key("spaces"))
    tags = run.instance.get_run_by_id(result.run_id).tags
    assert tags["mode/workspace"] == sandbox.workspace
    assert tags["mode/listing"] == "collections"


def test_a_second_sync_at_the_same_time_is_refused_by_name(sandbox, reads, run, load_from):
    reads(sandbox)
    with no_other_sync(mode_pipeline()):
        result = run(key("spaces"))
        with pytest.raises(DestinationBusy, match="another sync of mode_analytics_data is under way"):
            load_from(sandbox, "spaces")
    assert "another sync of mode_analytics_data is under way" in failures(result)["mode"]
    assert run(key("spaces")).success
