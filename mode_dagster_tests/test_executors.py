"""Steps in other processes: which settings allow it, and a whole sync on two of Celery's workers."""

import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import dagster as dg
import psycopg2
import pytest
import yaml

from mode_dagster.build import build_mode_definitions
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.settings import ENV_PREFIX
from mode_dagster_tests.deployed import BIN, DEPLOY
from mode_dagster_tests.processes import HOST, Program, postgres, redis

SEVERAL = ("multiprocess", "celery", "k8s")
CLOCKS = {
    "late_reports.expected_by",
    "late_reports.minutes_late",
    "query_parses.parsed_at",
    "query_parses.seconds",
    "report_snapshots.taken_at",
}
"""Columns of models that differ from one run to the next."""


WORKER = yaml.safe_load((DEPLOY / "compose.celery.yaml").read_text(encoding="utf-8"))["services"]["worker"]


@pytest.mark.parametrize("executor", SEVERAL)
def test_a_duckdb_file_is_not_given_to_several_processes(executor, monkeypatch):
    monkeypatch.setenv(f"{ENV_PREFIX}EXECUTOR", executor)
    with pytest.raises(ModeConfigError, match=f"executor: '{executor}' works steps in several processes, and a DuckDB"):
        build_mode_definitions()


def test_an_executor_that_is_none_is_refused_by_name(monkeypatch):
    monkeypatch.setenv(f"{ENV_PREFIX}EXECUTOR", "threads")
    with pytest.raises(ModeConfigError, match="'threads' is not one of in_process, multiprocess, celery, k8s"):
        build_mode_definitions()


@pytest.mark.parametrize(("executor", "module"), [("celery", "dagster_celery"), ("k8s", "dagster_k8s")])
def test_an_executor_whose_library_is_missing_says_what_to_install(executor, module, monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "postgres")
    monkeypatch.setenv(f"{ENV_PREFIX}EXECUTOR", executor)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModeConfigError, match=rf"{module} is not installed.*'\.\[{executor}\]'"):
        build_mode_definitions()


@pytest.mark.parametrize("executor", ["in_process", "multiprocess", "celery"])
def test_the_setting_decides_for_every_job(executor, monkeypatch):
    monkeypatch.setenv("DESTINATION_TYPE", "postgres")
    monkeypatch.setenv(f"{ENV_PREFIX}EXECUTOR", executor)
    definitions = build_mode_definitions()
    jobs = [definitions.resolve_job_def(name) for name in ("mode_sync", "mode_runs_hourly", "mode_reconcile")]
    assert {job.executor_def.name for job in jobs} == {executor}


@contextmanager
def workers(folder, *names):
    """Celery's workers, as compose.celery.yaml starts them."""
    program, *shipped = WORKER["command"]
    started = []
    try:
        for name in names:
            command = [str(BIN / program), *(word.replace("%h", name) for word in shipped)]
            started.append(Program(command, folder / f"{name}.log", os.environ, folder))
        yield
    finally:
        for worker in started:
            worker.kill()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Postgres for Dagster and for the tables, Redis for Celery, and an environment that says so."""
    with postgres() as database, redis(tmp_path) as port:
        address = f"postgresql://{database.username}:{database.password}@{HOST}:{database.port}"
        connection = psycopg2.connect(f"{address}/{database.database}")
        connection.autocommit = True
        for name in ("on_workers", "in_process"):
            connection.cursor().execute(f"CREATE DATABASE {name}")
        connection.close()
        home = tmp_path / "dagster"
        home.mkdir()
        parts = [(DEPLOY / name).read_text(encoding="utf-8") for name in ("dagster.yaml", "dagster.postgres.yaml")]
        (home / "dagster.yaml").write_text("".join(parts), encoding="utf-8")
        values = {
            "DAGSTER_HOME": str(home),
            "DESTINATION_TYPE": "postgres",
            **database.dagster,
            **WORKER["environment"],
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value.replace("redis:6379", f"{HOST}:{port}"))
        yield address


def contents(address):
    """Column → its values and how often each is there, of all tables and models."""
    found = {}
    connection = psycopg2.connect(address)
    cursor = connection.cursor()
    cursor.execute(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns "
        "WHERE table_schema IN ('mode_analytics_data', 'mode_marts') "
        r"AND table_name NOT LIKE '\_dlt\_%' AND column_name NOT LIKE '\_dlt\_%'"
    )
    for schema, table, column in cursor.fetchall():
        if f"{table}.{column}" not in {*CLOCKS, "sync_ledger.read_at", "sync_ledger.first_load_id"}:
            # how far the audit log was read is a time of the clock, too
            where = "WHERE endpoint <> 'audit_logs'" if (table, column) == (LEDGER, "version") else ""
            cursor.execute(f'SELECT "{column}"::text, count(*) FROM {schema}.{table} {where} GROUP BY 1')
            found[f"{table}.{column}"] = dict(cursor.fetchall())
    connection.close()
    return found


@pytest.mark.slow
def test_two_workers_make_the_tables_that_one_process_makes(server, sandbox, reads, tmp_path, monkeypatch):
    reads(sandbox)
    with monkeypatch.context() as celery:
        celery.setenv("DESTINATION__POSTGRES__CREDENTIALS", f"{server}/on_workers")
        celery.setenv("DLT_DATA_DIR", str(tmp_path / "workers"))
        command = [str(BIN / "dagster"), "job", "execute", "-m", "mode_dagster.definitions", "-j", "mode_sync"]
        with workers(tmp_path, "one", "two"):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
            (run,) = instance.get_runs()
            logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    found = [entry.dagster_event.event_specific_data.metadata.get("Celery worker") for entry in logs]
    steps = Counter(worker.value for worker in found if worker)
    assert steps.keys() == {"worker@one", "worker@two"}
    assert min(steps.values()) > 10

    monkeypatch.setenv(f"{ENV_PREFIX}EXECUTOR", "in_process")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", f"{server}/in_process")
    job = build_mode_definitions().resolve_job_def("mode_sync")
    tables = job.get_subset(asset_selection=job.asset_layer.selected_asset_keys, asset_check_selection=set())
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        assert tables.execute_in_process(instance=instance).success
    expected = contents(f"{server}/in_process")
    assert len(expected) > 500
    assert contents(f"{server}/on_workers") == expected
