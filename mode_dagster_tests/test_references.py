"""The tables of what queries read, as assets: true on the sandbox, only what changed is parsed, all or nothing."""

import logging
import subprocess
import sys
import warnings
from datetime import timedelta

import dagster as dg
import duckdb
import pytest

from mode_dagster.assets import build_assets
from mode_dagster.lineage import References, Status
from mode_dagster.models import MODELS, run_model
from mode_dagster.models.build import key_check, violations
from mode_dagster.references.assets import build_references, build_references_checks
from mode_dagster.references.external import build_external_tables, by_pattern, with_external_tables
from mode_dagster.references.tables import Answer, answer_all, known_answers, loaded_queries, write_tables
from mode_dagster.resources import ModeDltResource, WarehouseResource
from mode_dagster.warehouse import DuckDBWarehouse, WarehouseError
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.known_rows import found, known_rows

ONLY = Workspace()
FULL_NAME = by_pattern("{database}/{schema}/{table}")
RESOURCES = {"mode_dlt": ModeDltResource(), "mode_warehouse": WarehouseResource()}
READ = ("spaces", "reports", "queries", "data_sources", "definitions")
TRUTH = {
    "Revenue by day": {"PROD.ANALYTICS.ORDERS", "PROD.ANALYTICS.CUSTOMERS"},
    "Churned accounts": {"prod.app.sessions", "prod.app.accounts", "prod.billing.subscriptions"},
    "Net revenue by segment": {"PROD.ANALYTICS.ORDERS", "PROD.ANALYTICS.REFUNDS", "PROD.ANALYTICS.CUSTOMERS"},
    "Funnel": {"sandbox-inc.events.funnel_steps", "prod.events.users"},
    "Orders in a country": {"PROD.ANALYTICS.ORDERS", "PROD.ANALYTICS.CUSTOMERS"},
    "Ticket backlog": {"prod.support.tickets", "prod.support.agents"},
    "Feature adoption": {"product.usage.feature_events", "product.core.accounts"},
    "Staged shipping costs": {"prod.logistics.shipments", "prod.legacy.orders"},
    "Campaign spend": {"prod.marketing.campaigns", "prod.marketing.ad_spend"},
    "Margin (broken)": {"PROD.ANALYTICS.ORDERS"},
}
"""What the sandbox's queries and definitions name (`mode_dagster/sandbox/vocabulary.py`), read by a person."""


@pytest.fixture
def materialize(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:

        def run(workspace: Workspace = ONLY, **options) -> dg.ExecuteInProcessResult:
            assets = [build_references(workspace), *build_references_checks(workspace)]
            options = {"raise_on_error": False, **options}
            return dg.materialize(assets, resources=RESOURCES, instance=instance, **options)

        yield run


@pytest.fixture
def warehouse(tmp_path):
    """The file, with empty tables of the catalogue and a way to put rows in."""
    path = str(tmp_path / "mode_analytics.duckdb")

    def put(**rows) -> None:
        with duckdb.connect(path) as connection:
            known_rows(connection, **rows)

    put()
    return put


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict]:
    return {
        event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


def a_query(token: str, text: str | None, **more) -> dict:
    return {"token": token, "report_token": "r1", "raw_query": text, "data_source_token": "s1", **more}


POSTGRES = {"token": "s1", "id": "1", "adapter": "jdbc:postgresql", "database": "db", "host": "h", "port": "5432"}


def test_the_sandbox_reads_what_its_queries_name_and_a_second_run_parses_nothing(
    sandbox, load_from, materialize, query
):
    load_from(sandbox, *READ)
    first = metadata(materialize())
    rows = query("""
        SELECT queries.name, list(DISTINCT qualified_name)
        FROM mode_analytics_data.queries AS queries
        LEFT JOIN mode_marts.report_table_references AS found ON found.query_token = queries.token GROUP BY ALL
    """)
    assert {name: set(tables) for name, tables in rows} == {name: TRUTH[name] for name, _ in rows}
    assert len(rows) > 5
    numbers = first["report_table_references"]
    assert numbers["parsed_queries"] + numbers["failed_queries"] == first["query_parses"]["dagster/row_count"]
    assert numbers["dagster/table_name"] == "mode_marts.report_table_references"
    assert numbers["sample"].startswith("| query&#95;token |")
    before = query("SELECT * FROM mode_marts.report_table_references ORDER BY ALL")
    assert numbers["dagster/row_count"] == len(before)
    second = metadata(materialize())["query_parses"]
    assert (numbers["texts_unchanged"], second["texts_parsed"]) == (0, 0)
    assert second["texts_unchanged"] == numbers["texts_parsed"] > 0
    assert query("SELECT * FROM mode_marts.report_table_references ORDER BY ALL") == before


def test_an_edited_definition_parses_only_its_users_again(warehouse, materialize, query):
    warehouse(
        data_sources=[POSTGRES],
        definitions=[
            {"token": "d1", "name": "inner", "source": "select a from before"},
            {"token": "d2", "name": "outer", "source": "select a from {{ @inner as i }}"},
        ],
        queries=[a_query("q1", "select a from {{ @outer as o }}"), a_query("q2", "select a from t")],
    )
    assert metadata(materialize())["query_parses"]["texts_parsed"] == 2
    query("UPDATE mode_analytics_data.definitions SET source = 'select a from after' WHERE token = 'd1'")
    assert metadata(materialize())["query_parses"]["texts_parsed"] == 1
    rows = query(
        "SELECT query_token, qualified_name, via_definition, is_direct FROM mode_marts.report_table_references"
    )
    assert sorted(rows) == [("q1", "db.after", "inner", False), ("q2", "db.t", None, True)]


@pytest.mark.parametrize(
    ("change", "parsed"),
    [
        pytest.param("UPDATE mode_analytics_data.queries SET raw_query = 'select 2 from u'", True, id="text"),
        pytest.param("UPDATE mode_analytics_data.data_sources SET database = 'other'", True, id="database"),
        pytest.param("UPDATE mode_analytics_data.data_sources SET adapter = 'jdbc:mysql'", True, id="adapter"),
        pytest.param(
            "UPDATE mode_analytics_data.queries SET name = 'new', report_token = 'r2'", False, id="not_the_text"
        ),
        pytest.param("UPDATE mode_analytics_data.data_sources SET host = 'new'", False, id="host"),
    ],
)
def test_only_what_the_answer_depends_on_makes_a_query_parsed_again(change, parsed):
    with duckdb.connect() as connection:
        known_rows(connection, data_sources=[POSTGRES], queries=[a_query("q1", "select 1 from t")])
        (before,) = loaded_queries(DuckDBWarehouse(connection), ONLY)
        connection.execute(change)
        (after,) = loaded_queries(DuckDBWarehouse(connection), ONLY)
    assert (before.text_hash != after.text_hash) == parsed
    assert before != after


def test_rows_of_deleted_queries_go(warehouse, materialize, query):
    warehouse(data_sources=[POSTGRES], queries=[a_query("q1", "select 1 from t"), a_query("q2", "select 1 from u")])
    materialize()
    query("UPDATE mode_analytics_data.queries SET deleted_at = '2026-06-17 12:00:00+00' WHERE token = 'q2'")
    materialize()
    assert query("SELECT query_token FROM mode_marts.report_table_references") == [("q1",)]
    assert query("SELECT query_token FROM mode_marts.query_parses") == [("q1",)]


def test_a_data_source_is_found_by_number_or_token_or_not_at_all(warehouse, materialize, query):
    warehouse(
        data_sources=[POSTGRES, {"token": "s2", "id": "2", "adapter": "jdbc:snowflake", "database": "db", "name": "W"}],
        queries=[
            a_query("by_id", "select 1 from a.t", data_source_token=None, data_source_id="2"),
            a_query("by_token", "select 1 from a.t", data_source_id="2"),
            a_query("neither", "select 1 from a.t", data_source_token=None),
            a_query("unlisted", "select 1 from a.t", data_source_token="s9"),
        ],
    )
    materialize()
    rows = query(
        "SELECT query_token, data_source_token, warehouse, qualified_name FROM mode_marts.report_table_references"
    )
    assert sorted(rows) == [
        ("by_id", "s2", "snowflake://W", "DB.A.T"),
        ("by_token", "s1", "postgres://h:5432", "db.a.t"),
        ("neither", None, "unknown://unknown", "a.t"),
        ("unlisted", "s9", "unknown://unknown", "a.t"),
    ]


def test_queries_without_text_or_with_odd_names_break_nothing(warehouse, materialize, query):
    odd = 'select "a\x00b" from "x.y"."T | <b>\n"'
    warehouse(data_sources=[POSTGRES], queries=[a_query("q1", None), a_query("q2", ""), a_query("q3", odd)])
    assert materialize().success
    assert query("SELECT query_token, status FROM mode_marts.query_parses ORDER BY 1") == [
        ("q1", "empty"),
        ("q2", "empty"),
        ("q3", "parsed"),
    ]
    assert query("SELECT qualified_name FROM mode_marts.report_table_references") == [('db."x.y".T | <b>\n',)]
    assert query("SELECT column_name FROM mode_marts.report_column_references") == [("a\x00b",)]


def test_empty_tables_make_empty_tables(warehouse, materialize, query):
    result = materialize()
    assert result.success
    assert all(numbers["dagster/row_count"] == 0 for numbers in metadata(result).values())
    assert all(check.passed for check in result.get_asset_check_evaluations())
    described = query("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'report_table_references'")
    assert dict(described)["warehouse"].startswith("Which database server")


def test_a_missing_table_is_named_with_the_asset_that_makes_it(materialize):
    result = materialize()
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    description = failed.step_failure_data.user_failure_data.description
    assert "Materialize first: mode/queries, mode/data_sources, mode/definitions." in description


def test_one_of_the_tables_alone_can_be_asked_for(warehouse, materialize):
    result = materialize(selection=[ONLY.model_key("report_column_references")])
    assert set(metadata(result)) == {"report_column_references"}


def test_a_named_workspace_has_its_own_tables(tmp_path, materialize, query):
    acme = Workspace("acme")
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        known_rows(connection, schema=acme.dataset, queries=[a_query("q1", "select 1 from t")])
    result = materialize(acme)
    assert result.success
    assert {event.asset_key.path[0] for event in result.get_asset_materialization_events()} == {"acme"}
    assert query("SELECT qualified_name FROM mode_marts_acme.report_table_references") == [("t",)]


def test_when_writing_fails_the_tables_are_as_before(warehouse, query, tmp_path):
    warehouse(queries=[a_query("q1", "select 1 from t")])
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        queries = loaded_queries(DuckDBWarehouse(connection), ONLY)
        answers = answer_all(queries, {}, NOON)
        write_tables(DuckDBWarehouse(connection), ONLY, queries, answers)
        connection.execute("DROP TABLE mode_marts.query_parses; CREATE VIEW mode_marts.query_parses AS SELECT 1 AS x")
        with pytest.raises(WarehouseError):
            write_tables(DuckDBWarehouse(connection), ONLY, [], {})
    assert query("SELECT query_token FROM mode_marts.report_table_references") == [("q1",)]


def test_a_text_that_had_to_be_stopped_is_tried_again_a_day_later(warehouse, tmp_path):
    warehouse(queries=[a_query("q1", "select 1 from t")])
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        queries = loaded_queries(DuckDBWarehouse(connection), ONLY)
        stopped = Answer(References(Status.FAILED, reason="takes longer", is_final=False), 10, NOON)
        write_tables(DuckDBWarehouse(connection), ONLY, queries, {queries[0].text_hash: stopped})
        known = known_answers(DuckDBWarehouse(connection), ONLY, queries)
    assert known == {queries[0].text_hash: stopped}
    assert answer_all(queries, known, NOON + timedelta(hours=23)) == known
    (again,) = answer_all(queries, known, NOON + timedelta(hours=25)).values()
    assert again.references.status is Status.PARSED


def test_the_check_warns_when_many_queries_fail(warehouse, materialize, query):
    query("""
        INSERT INTO mode_analytics_data.queries (token, raw_query)
        SELECT 'q' || n, CASE WHEN n <= 25 THEN 'select sum(a from t' ELSE 'select 1 from t' END FROM range(1, 501) t(n)
    """)
    (check,) = materialize().get_asset_check_evaluations()
    assert check.passed
    warehouse(queries=[a_query("one_more", "select sum(a from t | x")])
    (check,) = materialize().get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["failed_queries"].value == 26
    assert check.metadata["failed"].value.count("\n") == 21
    assert "Expecting &#41;" in check.metadata["failed"].value


def asked_for(loaded, references, instance, cursor=None) -> tuple[set[str], object]:
    definitions = dg.Definitions([loaded, references], resources=RESOURCES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of dagster's own making
        result = dg.evaluate_automation_conditions(definitions, instance=instance, cursor=cursor)
    return {each.key.path[-1] for each in result.results if each.true_subset.size}, result.cursor


def test_the_tables_follow_the_loaded_ones_once(warehouse, tmp_path):
    @dg.multi_asset(specs=[dg.AssetSpec(ONLY.table_key(name)) for name in ("queries", "data_sources", "definitions")])
    def loaded():
        for name in ("queries", "data_sources", "definitions"):
            yield dg.MaterializeResult(ONLY.table_key(name))

    references = build_references(ONLY)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        everything = {"resources": RESOURCES, "instance": instance}
        none, cursor = asked_for(loaded, references, instance)
        dg.materialize([loaded, references], **everything)
        together, cursor = asked_for(loaded, references, instance, cursor)
        dg.materialize([loaded], **everything)
        alone, cursor = asked_for(loaded, references, instance, cursor)
        again, cursor = asked_for(loaded, references, instance, cursor)
    assert not none | together | again
    assert alone == {"report_table_references", "report_column_references", "query_parses"}


@pytest.mark.slow
def test_the_warehouses_tables_are_upstream_of_queries_if_wanted(sandbox, reads, load_from, materialize, tmp_path):
    load_from(sandbox, *READ)
    materialize()
    tables = build_external_tables(ONLY, key=lambda database, schema, table: ["dbt", table.lower()])
    assert {table.key.path[0] for table in tables} == {"dbt"}
    assets = with_external_tables(build_assets(ONLY), ONLY, tables)
    graph = dg.Definitions([assets, *tables], resources=RESOURCES).resolve_asset_graph()
    assert graph.get(ONLY.table_key("queries")).parent_keys == {
        ONLY.table_key("reports"),
        ONLY.table_key("data_sources"),
        *(table.key for table in tables),
    }
    assert graph.get(ONLY.table_key("charts")).parent_keys == {ONLY.table_key("queries")}
    reads(sandbox)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        some = [ONLY.table_key("queries"), ONLY.table_key("spaces")]
        result = dg.materialize([assets, *tables], selection=some, resources=RESOURCES, instance=instance)
    assert sorted(event.asset_key for event in result.get_asset_materialization_events()) == sorted(some)


def test_external_tables_say_who_reads_them(warehouse, materialize):
    queries = [a_query("q1", "select 1 from a.t"), a_query("q2", "select 1 from a.t; insert into w select 1")]
    warehouse(data_sources=[POSTGRES], queries=[*queries, a_query("bad", "select sum(a from guessed")])
    materialize()
    (table,) = build_external_tables(ONLY, FULL_NAME)
    assert table.key == dg.AssetKey(["db", "a", "t"])
    assert table.description == "Read by 2 queries of 1 reports in Mode, from postgres://h:5432."
    assert build_external_tables(ONLY, key=lambda *name: []) == []


def test_a_location_loads_without_external_tables_when_nothing_was_loaded(caplog, tmp_path):
    caplog.set_level(logging.INFO, "mode_dagster.references.external")
    assert build_external_tables(ONLY, FULL_NAME) == []
    assert "There is no file" in caplog.text
    duckdb.connect(str(tmp_path / "mode_analytics.duckdb")).close()
    assert build_external_tables(ONLY, FULL_NAME) == []
    assert '"mode_marts.report_table_references" does not exist' in caplog.text
    assets = build_assets(ONLY)
    assert with_external_tables(assets, ONLY, []).specs_by_key == assets.specs_by_key


def test_a_location_loads_without_external_tables_where_the_destination_is_not_set_up(caplog, monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "postgres")
    assert build_external_tables(ONLY, FULL_NAME) == []
    assert "not set: DESTINATION__POSTGRES__CREDENTIALS" in caplog.text


def test_a_location_loads_without_external_tables_while_another_program_has_the_file(caplog, tmp_path):
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / "mode_analytics.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        assert build_external_tables(ONLY, FULL_NAME) == []
        holder.stdin.close()
    assert f"another program has it open (PID {holder.pid})" in caplog.text


@pytest.fixture
def usage():
    """Puts rows in, gives the rows of `table_usage` by name; its checks hold."""

    def run(**rows) -> dict[str, dict]:
        model = MODELS["table_usage"]
        with duckdb.connect() as connection:
            known_rows(connection, data_sources=[POSTGRES], **rows)
            queries = loaded_queries(DuckDBWarehouse(connection), ONLY)
            write_tables(DuckDBWarehouse(connection), ONLY, queries, answer_all(queries, {}, NOON))
            run_model(DuckDBWarehouse(connection), MODELS["run_facts"], ONLY, NOON)
            run_model(DuckDBWarehouse(connection), MODELS["report_owners"], ONLY, NOON)
            run_model(DuckDBWarehouse(connection), model, ONLY, NOON)
            for check in (key_check(model), *model.checks):
                assert violations(DuckDBWarehouse(connection), model, check, ONLY, NOON).rows == [], check
            return {row["qualified_name"]: row for row in found(connection, "SELECT * FROM mode_marts.table_usage")}

    return run


def a_run(token: str, report: str, days: int, **more) -> dict:
    began = NOON - timedelta(days=days)
    return {"token": token, "report_token": report, "state": "succeeded", "created_at": began, **more}


def test_table_usage_tells_who_is_hit(usage):
    tables = usage(
        reports=[
            {"token": "r1", "name": "Sales", "creator_username": "ada", "edited_at": NOON},
            {"token": "r2", "name": "Churn", "creator_email": "ben@example.com", "last_viewed_at": NOON},
            {"token": "r3", "name": "Old", "creator_username": "eve", "archived": True},
            {"token": "r4", "name": "Gone", "deleted_at": NOON},
        ],
        queries=[
            a_query("q1", "select 1 from a.t {% if x %} join a.u on true {% endif %}"),
            a_query("q2", "insert into a.t select 1 from {{ @d as d }}"),
            a_query("q3", "select 1 from a.t", report_token="r2"),
            a_query("q4", "select 1 from a.t; select 1 from a.v", report_token="r3"),
            a_query("q5", "select 1 from a.t, a.w", report_token="r4"),
        ],
        definitions=[{"token": "d1", "name": "d", "source": "select 1 from a.t"}],
        report_schedules=[
            {"token": "s1", "report_token": "r1", "subscriber_count": 3},
            {"token": "s2", "report_token": "r1", "subscriber_count": 2},
            {"token": "s3", "report_token": "r1", "subscriber_count": 9, "deleted_at": NOON},
        ],
        report_subscriptions=[{"token": "p1", "report_token": "r2", "email_subscriber_count": 4}],
        runs=[
            a_run("n1", "r1", 1, report_schedule_token="s1"),
            a_run("n2", "r1", 2, executed_by_username="ada"),
            a_run("n3", "r2", 40),
            a_run("n4", "r3", 1),
        ],
    )
    assert set(tables) == {"db.a.t", "db.a.u", "db.a.v"}
    table = tables["db.a.t"]
    assert (table["warehouse"], table["database_name"], table["schema_name"], table["table_name"]) == (
        "postgres://h:5432", "db", "a", "t",
    )  # fmt: skip
    assert (table["reports"], table["report_names"], table["archived_reports"]) == (2, "Churn, Sales", 1)
    assert (table["queries"], table["conditional_queries"], table["written_by_queries"]) == (3, 0, 1)
    assert (table["owners"], table["owner_usernames"], table["definitions"]) == (2, "ada, ben@example.com", "d")
    assert (table["schedules"], table["subscribers"]) == (2, 9)
    assert (table["runs_30d"], table["manual_runs_30d"]) == (2, 1)
    assert (table["last_run_at"], table["last_viewed_at"], table["last_edited_at"]) == (
        NOON - timedelta(days=1), NOON, NOON,
    )  # fmt: skip
    assert (tables["db.a.u"]["queries"], tables["db.a.u"]["conditional_queries"]) == (1, 1)
    archived = tables["db.a.v"]
    assert (archived["reports"], archived["archived_reports"], archived["queries"], archived["owners"]) == (0, 1, 0, 0)
    assert (archived["subscribers"], archived["runs_30d"], archived["last_run_at"]) == (None, 0, None)


def test_the_runs_of_a_dataset_are_uses_of_its_tables(usage):
    began = NOON - timedelta(days=1)
    tables = usage(
        datasets=[{"token": "s1", "name": "Orders"}],
        queries=[a_query("q1", "select 1 from a.t", report_token="s1")],
        dataset_runs=[
            {"token": "n1", "dataset_token": "s1", "created_at": began, "report_schedule_token": "x"},
            {"token": "n2", "dataset_token": "s1", "created_at": began},
            {"token": "n3", "dataset_token": "s1", "created_at": NOON - timedelta(days=40)},
        ],
    )
    table = tables["db.a.t"]
    assert (table["reports"], table["runs_30d"], table["manual_runs_30d"], table["last_run_at"]) == (1, 2, 1, began)


def test_a_dataset_that_the_list_of_reports_has_too_is_one_report(usage):
    run = {"token": "n1", "created_at": NOON - timedelta(days=1)}
    tables = usage(
        reports=[{"token": "s1", "name": "Orders", "type": "DatasetReport", "last_viewed_at": NOON}],
        datasets=[{"token": "s1", "name": "Orders"}],
        queries=[a_query("q1", "select 1 from a.t", report_token="s1")],
        runs=[{**run, "report_token": "s1", "state": "succeeded"}],
        dataset_runs=[{**run, "dataset_token": "s1"}],
    )
    table = tables["db.a.t"]
    assert (table["reports"], table["report_names"], table["runs_30d"]) == (1, "Orders", 1)


def test_a_definition_is_named_once_however_many_queries_reach_it(usage):
    tables = usage(
        reports=[{"token": "r1"}],
        definitions=[
            {"token": "d1", "name": "one", "source": "select 1 from a.t"},
            {"token": "d2", "name": "two", "source": "select 1 from a.t join {{ @one as o }} on true"},
            {"token": "d3", "name": "on", "source": "select 1 from a.u"},
        ],
        queries=[
            a_query("q1", "select 1 from {{ @one as x }}"),
            a_query("q2", "select 1 from {{ @two as x }}"),
            a_query("q3", "select 1 from {{ @on as x }}"),
        ],
    )
    assert (tables["db.a.t"]["definitions"], tables["db.a.u"]["definitions"]) == ("one, two", "on")


def test_table_usage_of_nothing_is_empty(usage):
    assert usage() == {}


def test_the_same_name_on_two_servers_is_two_tables(usage):
    other = {**POSTGRES, "token": "s2", "id": "2", "host": "elsewhere"}
    with_other = [a_query("q1", "select 1 from t"), a_query("q2", "select 1 from t", data_source_token="s2")]
    with duckdb.connect() as connection:
        known_rows(connection, data_sources=[POSTGRES, other], reports=[{"token": "r1"}], queries=with_other)
        queries = loaded_queries(DuckDBWarehouse(connection), ONLY)
        write_tables(DuckDBWarehouse(connection), ONLY, queries, answer_all(queries, {}, NOON))
        for name in ("run_facts", "report_owners", "table_usage"):
            run_model(DuckDBWarehouse(connection), MODELS[name], ONLY, NOON)
        rows = found(connection, "SELECT warehouse, reports FROM mode_marts.table_usage ORDER BY warehouse")
    assert rows == [
        {"warehouse": "postgres://elsewhere:5432", "reports": 1},
        {"warehouse": "postgres://h:5432", "reports": 1},
    ]


def test_each_check_of_table_usage_fails_on_rows_that_break_it():
    model = MODELS["table_usage"]
    breaks = {"manual_runs_are_runs": "manual_runs_30d = 2", "somebody_is_hit": "reports = 0"}
    assert set(breaks) == set(model.checks)
    with duckdb.connect() as connection:
        known_rows(connection, reports=[{"token": "r1"}], queries=[a_query("q1", "select 1 from t")])
        queries = loaded_queries(DuckDBWarehouse(connection), ONLY)
        write_tables(DuckDBWarehouse(connection), ONLY, queries, answer_all(queries, {}, NOON))
        for check, broken in breaks.items():
            for name in ("run_facts", "report_owners", "table_usage"):
                run_model(DuckDBWarehouse(connection), MODELS[name], ONLY, NOON)
            connection.execute(f"UPDATE mode_marts.table_usage SET {broken}")
            failing = {
                name for name in model.checks if violations(DuckDBWarehouse(connection), model, name, ONLY, NOON).count
            }
            assert failing == {check}
