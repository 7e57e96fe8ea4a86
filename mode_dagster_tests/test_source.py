"""Tables: every documented column with its type, values kept whole, one row a key however often it is loaded."""

import json
import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from mode_dagster.extract import pipeline as pipelines
from mode_dagster.extract.destination import database_path
from mode_dagster.extract.endpoints import ENDPOINTS, Listing
from mode_dagster.extract.errors import ModeError
from mode_dagster.extract.pipeline import BLOCK_SIZE, ROW_GROUP, join_row_groups, mode_pipeline
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.sandbox import Fault, serve
from mode_dagster_tests.conftest import SMALL

BACKUP = Path(__file__).parents[1] / "docs" / "backup.md"

DUCKDB_TYPES = {
    "text": "VARCHAR",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "json": "JSON",
}


def columns_of(query, table: str) -> dict[str, str]:
    sql = f"SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{table}'"
    return dict(query(sql + " AND table_schema = 'mode_analytics_data'"))


@pytest.mark.slow
def test_loading_twice_gives_every_key_once_and_all_tables_with_all_columns(sandbox, load_from, query, keys):
    load_from(sandbox)
    load_from(sandbox)
    for endpoint in ENDPOINTS:
        found = columns_of(query, endpoint.name)
        for column in endpoint.all_columns:
            assert found.get(column.name) == DUCKDB_TYPES[column.data_type], f"{endpoint.name}.{column.name}"
        if endpoint.rest is not None:
            assert sorted(keys(endpoint.name)) == sorted(sandbox.world.truth(endpoint.name)), endpoint.name


def test_nothing_is_stored_that_is_secret_or_useless(sandbox, load_first, query):
    load_first(sandbox)
    for table in ("reports", "data_sources", "runs"):
        names = columns_of(query, table)
        assert not [n for n in names if n.strip("_") in {"forms", "links", "layout", "web_preview_image"}]
        assert not {"pusher_channel_name", "data_index_auth_token", "ssl_trusted_cert"} & names.keys()


def test_no_value_changes_its_type_into_a_second_column(sandbox, load_first, query):
    load_first(sandbox)
    sql = "SELECT table_name, column_name FROM information_schema.columns WHERE contains(column_name, '__v_')"
    assert query(sql) == []


def test_users_column_names_stay_inside_one_json_value(sandbox, load_from, query):
    load_from(sandbox, "charts")
    (chart,) = query("SELECT view_vegas FROM mode_analytics_data.charts WHERE view_vegas IS NOT NULL LIMIT 1")
    assert "encoding" in json.loads(chart[0])
    assert query("SELECT count(*) FROM mode_analytics_data.charts WHERE chart_type IS NULL") == [(0,)]


def test_lineage_columns_join(sandbox, load_first, query):
    load_first(sandbox)
    orphans = """
        SELECT count(*) FROM mode_analytics_data.query_runs q
        LEFT JOIN mode_analytics_data.runs r ON r.token = q.run_token AND r.report_token = q.report_token
        LEFT JOIN mode_analytics_data.reports p ON p.token = q.report_token
        LEFT JOIN mode_analytics_data.spaces s ON s.token = p.space_token
        WHERE r.token IS NULL OR s.token IS NULL
    """
    assert query(orphans) == [(0,)]
    sources = """
        SELECT count(*) FROM mode_analytics_data.queries q
        LEFT JOIN mode_analytics_data.data_sources d ON d.id = q.data_source_id WHERE d.id IS NULL
    """
    assert query(sources) == [(0,)]


def test_unexpected_fields_and_types_are_kept(sandbox, load_from, query):
    body = {
        "_embedded": {
            "definitions": [
                {"token": "a", "id": 1, "name": {"en": "x"}, "new_scalar": 7, "new_object": {"deep": [1]}},
                {"token": "b", "id": "2", "name": "plain", "created_at": "not a date"},
            ]
        }
    }
    sandbox.faults.append(Fault("/definitions", kind="body", body=json.dumps(body)))
    load_from(sandbox, "definitions")
    rows = query("SELECT token, id, name, new_scalar, new_object FROM mode_analytics_data.definitions ORDER BY token")
    assert rows[0][:2] == ("a", "1")
    assert json.loads(rows[0][2]) == {"en": "x"}
    assert rows[0][3] == 7
    assert json.loads(rows[0][4]) == {"deep": [1]}
    assert query("SELECT created_at__v_text FROM mode_analytics_data.definitions WHERE token = 'b'") == [
        ("not a date",)
    ]


def test_a_failed_load_leaves_the_tables_as_they_were(sandbox, load_from, keys):
    load_from(sandbox, "spaces", "definitions")
    sandbox.faults.append(Fault("/definitions", status=500))
    with pytest.raises(ModeError, match="Could not list definitions: HTTP 500"):
        load_from(sandbox, "spaces", "definitions")
    assert sorted(keys("definitions")) == sorted(sandbox.world.truth("definitions"))


def test_a_first_load_that_brings_nothing_fails_and_the_next_brings_everything(sandbox, load_from, keys):
    sandbox.faults.append(Fault("/definitions", status=500))
    failed = load_from(sandbox, "definitions", isolate=True)
    assert set(failed.failures) == {"definitions"}
    assert keys("definitions") == []
    sandbox.faults.clear()
    load_from(sandbox, "definitions")
    assert sorted(keys("definitions")) == sorted(sandbox.world.truth("definitions"))


def test_discovery_fills_the_same_tables(sandbox, load_from, keys, query):
    load_from(sandbox, listing=Listing.DISCOVERY)
    for endpoint in ENDPOINTS:
        assert sorted(keys(endpoint.name)) == sorted(sandbox.world.truth(endpoint.name)), endpoint.name
    assert query("SELECT count(*) FROM mode_analytics_data.reports WHERE creator_email IS NULL") == [(0,)]


def test_the_flat_listing_fills_the_same_tables(flat_sandbox, load_from, keys):
    load_from(flat_sandbox, listing=Listing.WORKSPACE)
    for table in ("reports", "queries", "charts", "runs", "query_runs", "data_sources"):
        assert sorted(keys(table)) == sorted(flat_sandbox.world.truth(table)), table


def test_the_source_alone_works_as_any_dlt_source(sandbox, reads, keys):
    reads(sandbox)
    mode_pipeline().run(mode_analytics_source().with_resources("spaces"))
    assert sorted(keys("spaces")) == sorted(sandbox.world.truth("spaces"))


def test_a_file_called_like_its_schema_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "mode_analytics_data.duckdb"))
    with pytest.raises(ModeError, match="name of its schema"):
        mode_pipeline()


def test_rows_that_came_in_parts_are_put_together_unless_somebody_reads_the_file(load_from, query, monkeypatch):
    groups = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('mode_analytics_data.reports')"
    monkeypatch.setattr("mode_dagster.extract.sync.MOST_ROWS", 10)
    with serve(replace(SMALL, reports=26)) as world:
        with monkeypatch.context() as patch:
            patch.setattr(pipelines, "join_row_groups", lambda path: None)
            load_from(world, "spaces", "reports")
        ((apart,),) = query(groups)
        assert apart > 1
        with duckdb.connect(database_path(), read_only=True):
            join_row_groups(database_path())
        assert query(groups) == [(apart,)]
        query("CREATE TABLE joining AS SELECT 1 AS theirs")
        load_from(world, "spaces", "reports", reconcile=True)
        assert query(groups) == [(1,)]
        assert query("SELECT theirs FROM joining") == [(1,)]
        assert query("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'") == [("joining",)]


def test_joined_row_groups_are_smaller_than_those_that_duckdb_makes(query):
    query("CREATE TABLE parts (number BIGINT)")
    for part in range(10):
        with duckdb.connect(database_path(), config={"max_vacuum_tasks": 0}) as file:
            file.execute(f"INSERT INTO parts SELECT range FROM range({part * 3000}, {part * 3000 + 3000})")
    join_row_groups(database_path())
    groups = "SELECT DISTINCT row_group_id FROM pragma_storage_info('parts')"
    assert query(f"SELECT count(*) FROM ({groups})") == [(-(-30_000 // ROW_GROUP),)]
    assert query("SELECT count(*), sum(number) FROM parts") == [(30_000, sum(range(30_000)))]
    assert not Path(f"{database_path()}.tmp").exists()


def test_a_new_file_has_small_blocks_and_one_that_is_there_keeps_its_own(sandbox, load_from, query, tmp_path):
    block_size = "SELECT block_size FROM pragma_database_size()"
    load_from(sandbox, "spaces")
    assert query(block_size) == [(BLOCK_SIZE,)]
    (tmp_path / "mode_analytics.duckdb").unlink()
    duckdb.connect(tmp_path / "mode_analytics.duckdb").close()
    ((before,),) = query(block_size)
    assert before > BLOCK_SIZE
    load_from(sandbox, "spaces", "reports", "queries")
    assert query(block_size) == [(before,)]
    (copying,) = re.findall(r"```sql\n(.*?)```", BACKUP.read_text(encoding="utf-8"), re.DOTALL)
    duckdb.connect().execute(copying).close()
    (tmp_path / "copy.duckdb").replace(tmp_path / "mode_analytics.duckdb")
    assert load_from(sandbox, "spaces", "reports", "queries").tallies["queries"].lists == 0
    assert query(block_size) == [(BLOCK_SIZE,)]
