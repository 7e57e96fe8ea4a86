"""Tables as files: the same tables as in DuckDB, on a disk and in a bucket, in each format."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest
import requests

from mode_dagster.build import RESOURCES, build_mode_definitions
from mode_dagster.extract.destination import DATASET, PIPELINE, database_path, load_options
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.extract.pipeline import mode_pipeline, read_warehouse
from mode_dagster.models import MODELS
from mode_dagster.warehouse import NoWarehouseError, open_warehouse
from mode_dagster.workspace import MARTS
from mode_dagster_tests.living import query_destination, until_a_report_is_gone
from mode_dagster_tests.processes import until

BUCKET = "warehouse"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: server.poll() is not None or _answers(url), 120, "an S3 server answers")
            assert server.poll() is None
            yield url
        finally:  # else it would be waited for
            server.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture
def files(tmp_path, monkeypatch) -> Callable[..., None]:
    """Points the destination at a folder."""

    def point(table_format: str = "") -> None:
        monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
        monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", (tmp_path / "bucket").as_uri())
        if table_format:
            monkeypatch.setenv("DESTINATION__FILESYSTEM__TABLE_FORMAT", table_format)

    return point


@pytest.fixture
def bucket(s3, monkeypatch) -> Callable[..., None]:
    """Points the destination at an empty bucket."""

    def point(table_format: str = "") -> None:
        settings = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "endpoint_url": s3}
        for name, value in {**settings, "region_name": "eu-central-1"}.items():
            monkeypatch.setenv(f"DESTINATION__FILESYSTEM__CREDENTIALS__{name.upper()}", value)
        monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
        monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", f"s3://{BUCKET}")
        if table_format:
            monkeypatch.setenv("DESTINATION__FILESYSTEM__TABLE_FORMAT", table_format)
        with mode_pipeline().destination_client() as client:
            if client.fs_client.exists(BUCKET):
                client.fs_client.rm(BUCKET, recursive=True)
            client.fs_client.mkdir(BUCKET)

    return point


@pytest.fixture
def query() -> Callable[[str], list[tuple]]:
    """Rows of a query on the files."""
    return query_destination


@pytest.mark.slow
@pytest.mark.parametrize("table_format", ["", "delta"])
def test_in_a_bucket_too(bucket, table_format, world, clock, load_from, assert_true):
    bucket(table_format)
    load_from(world)
    clock.pass_by(days=19)
    load_from(world)
    assert_true(world)


def test_an_unchanged_workspace_is_known_from_the_files_alone(files, world, load_from, tmp_path, monkeypatch):
    files()
    first = load_from(world)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "another machine"))
    again = load_from(world)
    assert again.requests < first.requests / 3
    assert again.tallies["queries"].lists == 0


@pytest.mark.slow
def test_what_is_gone_is_marked_and_read_again_when_it_returns(files, world, clock, load_from, query):
    tables = ("spaces", "reports", "queries")
    files()
    load_from(world, *tables)
    gone = until_a_report_is_gone(world, clock)
    load_from(world, *tables)
    assert query(f"SELECT deleted_at FROM mode_analytics_data.reports WHERE token = '{gone}'") == [(clock.now,)]
    kept = f"SELECT count(*) FROM mode_analytics_data.sync_ledger WHERE parent = '{gone}' AND endpoint = 'queries'"
    assert query(kept) == [(0,)]
    marked = f"SELECT count(*) FROM mode_analytics_data.queries WHERE report_token = '{gone}' AND deleted_at IS NULL"
    assert query(marked) == [(0,)]


@pytest.mark.slow
def test_the_job_makes_every_model_and_check(files, sandbox, reads, query):
    files()
    reads(sandbox)
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_mode_definitions()
            .resolve_job_def("mode_sync")
            .execute_in_process(instance=instance, resources=RESOURCES)
        )
        assert result.success
        says = [each.description or "" for each in result.get_asset_check_evaluations()]
        assert not [each for each in says if "Could not check" in each]
    with read_warehouse() as warehouse:
        assert set(warehouse.columns(MARTS)) >= set(MODELS)
    assert query("SELECT count(*) FROM mode_marts.report_catalogue") == [(len(sandbox.world.truth("reports")),)]


def test_a_model_of_snapshots_keeps_the_rows_of_other_keys(files, sandbox, load_from):
    files()
    load_from(sandbox, "spaces")
    with open_warehouse(mode_pipeline()) as warehouse:
        warehouse.replace_rows("mode_marts.days", "SELECT 1 AS day, 'old' AS word UNION ALL SELECT 2, 'old'", ["day"])
        warehouse.replace_rows("mode_marts.days", "SELECT 2 AS day, 'new' AS word, TRUE AS is_new", ["day"])
        rows = warehouse.query("SELECT day, word, is_new FROM mode_marts.days ORDER BY day").rows
    assert rows == [(1, "old", None), (2, "new", True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "table_format"), [("files", ""), ("bucket", "delta"), ("files", "delta"), ("bucket", "")]
)
def test_many_files_become_one_with_the_same_rows(
    request, place, table_format, world, clock, load_from, assert_true, monkeypatch
):
    request.getfixturevalue(place)(table_format)
    load_from(world)
    monkeypatch.setattr("mode_dagster.warehouse.files.MANY_FILES", 1)
    clock.pass_by(days=19)
    load_from(world)
    assert_true(world)
    with mode_pipeline().destination_client() as client:
        in_folder = [path for path in client.list_table_files("reports") if path.endswith(".parquet")]
    if not table_format:
        assert len(in_folder) == 1
    again = load_from(world)
    assert again.tallies["queries"].lists == 0
    assert_true(world)


@pytest.mark.slow
@pytest.mark.parametrize("table_format", ["", "delta"])
def test_copies_that_no_table_reads_any_more_are_deleted(
    bucket, table_format, world, clock, load_from, query, monkeypatch
):
    bucket(table_format)
    load_from(world, "reports")
    copies = Path(mode_pipeline().pipelines_dir, f"{PIPELINE}_files", BUCKET, DATASET, "reports")
    (first,) = copies.iterdir()
    (cut_short := copies / f"{first.name}.1").touch()
    monkeypatch.setattr("mode_dagster.warehouse.files.MANY_FILES", 1)
    clock.pass_by(days=1)
    load_from(world, "reports")
    assert first.exists(), "somebody may be reading it"
    for copy in copies.iterdir():
        os.utime(copy, (0, 0))
    clock.pass_by(days=1)
    load_from(world, "reports")
    tokens = {token for (token,) in query(f"SELECT token FROM {DATASET}.reports WHERE deleted_at IS NULL")}
    assert tokens == world.world.truth("reports")
    assert not first.exists()
    assert not cut_short.exists()


def test_nothing_loaded_yet_is_said(files):
    files()
    with open_warehouse(mode_pipeline()) as warehouse:
        assert warehouse.columns("mode_analytics_data") == {}


def test_a_folder_of_others_that_is_called_like_an_alias_is_left_alone(files, sandbox, load_from, tmp_path, query):
    files()
    load_from(sandbox, "reports")
    other = tmp_path / "bucket" / "r" / "token" / "x.parquet"
    other.parent.mkdir(parents=True)
    other.write_text("not Parquet")
    assert len(query(f"SELECT r.token, 1.5 FROM {DATASET}.reports AS r")) == 12


def test_a_format_that_is_none_is_named(files):
    files("hudi")
    with pytest.raises(ModeConfigError, match=r"'hudi'.*delta"):
        load_options()


def test_a_setting_of_the_destination_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
    with pytest.raises(ModeConfigError, match="DESTINATION__FILESYSTEM__BUCKET_URL"), read_warehouse():
        pass


def test_a_file_that_the_same_process_writes_is_not_read_beside():
    with duckdb.connect(database_path()), pytest.raises(NoWarehouseError, match="another program has it open: "):
        read_warehouse().__enter__()


def test_a_destination_that_lets_nobody_in_is_said_to(monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "bigquery")
    values = {"project_id": "p", "client_email": "loader@p.iam.gserviceaccount.com", "private_key": "sec-4711"}
    for name, value in values.items():
        monkeypatch.setenv(f"DESTINATION__BIGQUERY__CREDENTIALS__{name.upper()}", value)
    with pytest.raises(NoWarehouseError, match="Could not reach the destination: ") as raised, read_warehouse():
        pass
    assert "4711" not in str(raised.value)
