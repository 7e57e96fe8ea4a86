"""The warehouse's tables upstream of Mode's queries: off as shipped, on by a setting."""

import dagster as dg
import pytest

from mode_dagster.build import build_mode_definitions
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.settings import ENV_PREFIX


def upstream_of_queries(definitions: dg.Definitions) -> set[str]:
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["mode", "queries"]))
    return {key.to_user_string() for key in node.parent_keys} - {"mode/reports", "mode/data_sources"}


def test_the_tables_that_queries_read_meet_the_assets_of_the_same_location(sandbox, reads, monkeypatch, tmp_path):
    reads(sandbox)
    assert upstream_of_queries(build_mode_definitions()) == set()
    selection = ["mode/reports", "mode/queries", "mode/data_sources", "mode/definitions"]
    keys = [dg.AssetKey(key.split("/")) for key in [*selection, "mode_marts/report_table_references"]]
    monkeypatch.setenv(f"{ENV_PREFIX}EXTERNAL_TABLES", "{schema}/{table}")
    assert upstream_of_queries(build_mode_definitions()) == set()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        job = build_mode_definitions().resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(asset_selection=keys, instance=instance).success

    @dg.asset(key=["analytics", "orders"])
    def orders() -> None: ...

    together = dg.Definitions.merge(dg.Definitions(assets=[orders]), build_mode_definitions())
    dg.Definitions.validate_loadable(together)
    assert {"analytics/orders", "analytics/customers"} <= upstream_of_queries(together)


@pytest.mark.parametrize("pattern", ["{shema}/{table}", "{schema}", "{table", "{schema}//{table}"])
def test_a_pattern_that_makes_no_key_is_refused(monkeypatch, pattern):
    monkeypatch.setenv(f"{ENV_PREFIX}EXTERNAL_TABLES", pattern)
    with pytest.raises(ModeConfigError, match=r"external_tables: .* is not a pattern of"):
        build_mode_definitions()
