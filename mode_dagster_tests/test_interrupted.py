"""Syncs that are cut off between two loads, or fail in one: what is loaded stays, and the next one makes it right.

And what others see of the file meanwhile.

Not here: syncs that are killed (`test_kills`).
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.pipeline import Pipeline
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Fault, Sandbox, SandboxOptions, serve
from mode_dagster.settings import Settings
from mode_dagster_tests.truth import differences

START = datetime(2026, 6, 1, 9, 5, tzinfo=UTC)
WORLD = SandboxOptions(
    reports=10, spaces=3, rate_limit_requests=1_000_000, epoch=datetime(2026, 5, 28, tzinfo=UTC), clock=lambda: START
)
HISTORIES = int(os.environ.get("MODE_HISTORIES", "1"))
"""How many are drawn, beside the two that are written down; `make kills` takes 20."""


def test_a_merge_that_fails_half_way_leaves_the_rows_that_were_there(sandbox, load_from, query, keys):
    load_from(sandbox, "audit_logs")
    before = sorted(keys("audit_logs"))
    # what is merged is deleted first and then inserted, and the second will fail
    query("ALTER TABLE mode_analytics_data.audit_logs ALTER COLUMN action SET NOT NULL")
    sandbox.faults.append(Fault("/audit_logs", kind="edit", edit=without_actions))
    with pytest.raises(PipelineStepFailed, match="NOT NULL constraint"):
        load_from(sandbox, "audit_logs", reconcile=True)
    assert sorted(keys("audit_logs")) == before


def test_what_was_fetched_before_the_end_is_loaded_first_and_not_asked_for_again(sandbox, load_from, reads, keys):
    load_from(sandbox, "data_sources")
    fetch_definitions(sandbox, reads).normalize()  # and there the process ends
    asked = len(sandbox.requests)
    load_from(sandbox, "data_sources")
    assert sorted(keys("definitions")) == sorted(sandbox.world.truth("definitions"))
    assert not [request for request in sandbox.requests[asked:] if request.path.endswith("/definitions")]


def test_a_load_that_ended_just_before_the_kill_is_not_ended_twice(sandbox, load_from, keys, query, tmp_path):
    load_from(sandbox, "data_sources")
    (ended,) = tmp_path.glob("dlt/pipelines/*/load/loaded/*")
    # dlt notes in the package that it is complete, and moves it then
    ended.rename(ended.parents[1] / "normalized" / ended.name)
    load_from(sandbox, "definitions")
    assert sorted(keys("definitions")) == sorted(sandbox.world.truth("definitions"))
    assert query(f"SELECT count(*) FROM mode_analytics_data._dlt_loads WHERE load_id = '{ended.name}'") == [(1,)]


@pytest.mark.parametrize("deleted", ["nothing", "its jobs"])
def test_a_package_that_was_normalized_just_before_the_kill_is_not_normalized_twice(
    deleted, sandbox, load_from, reads, keys, tmp_path
):
    load_from(sandbox, "data_sources")
    pipeline = fetch_definitions(sandbox, reads)
    (extracted,) = tmp_path.glob("dlt/pipelines/*/normalize/extracted/*")
    shutil.copytree(extracted, tmp_path / "extracted")
    pipeline.normalize()
    # dlt renames what it has normalized, and deletes what it was made of then
    shutil.copytree(tmp_path / "extracted", extracted)
    if deleted == "its jobs":
        shutil.rmtree(extracted / "new_jobs")
    asked = len(sandbox.requests)
    load_from(sandbox, "data_sources")
    assert sorted(keys("definitions")) == sorted(sandbox.world.truth("definitions"))
    assert not [request for request in sandbox.requests[asked:] if request.path.endswith("/definitions")]


def fetch_definitions(sandbox: Sandbox, reads: Callable[..., Settings]) -> Pipeline:
    """Fetches them, as far as dlt's own folder."""
    settings, pipeline = reads(sandbox), mode_pipeline()
    with Sync(settings, pipeline=pipeline, clock=sandbox.world.now) as sync:
        pipeline.extract(mode_analytics_source(sync).with_resources("definitions"))
    return pipeline


def without_actions(body: dict) -> dict:
    return {**body, "audit_logs": [{**row, "action": None} for row in body["audit_logs"]]}


steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 26, 24 * 9]),
        st.sampled_from(["whole", "cut after the listings", "cut and the machine is lost", "max_requests"]),
    ),
    min_size=1,
    max_size=2,
)


@pytest.mark.slow
@settings(
    max_examples=HISTORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@example(history=[(0, "cut after the listings"), (26, "max_requests")])
@example(history=[(26, "cut and the machine is lost"), (24 * 9, "cut after the listings")])
@given(history=steps)
def test_any_history_of_syncs_ends_with_the_tables_that_mode_has(history, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("history")
    monkeypatch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(folder / "mode_analytics.duckdb"))
    now = [START]
    with serve(replace(WORLD, clock=lambda: now[0])) as world:
        for hours, how in [*history, (1, "whole")]:
            now[0] += timedelta(hours=hours)
            sync_once(world, how, folder)
        assert differences(folder / "mode_analytics.duckdb", world) == {}


def sync_once(world: Sandbox, how: str, folder: Path) -> None:
    options = Settings(
        **world.access,
        rate_limit_requests=1_000_000,
        query_run_days=0,
        max_requests=120 if how == "max_requests" else 0,
    )
    pipeline = mode_pipeline()
    with Sync(options, pipeline=pipeline, clock=world.world.now) as sync:
        for _ in load(pipeline, sync):
            if how.startswith("cut"):
                break
    if how.endswith("lost"):
        shutil.rmtree(folder / "dlt")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_dlt_loads_ends_the_sync(sandbox, reads, load_from, keys, tmp_path, sent):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    pipeline, folder, jobs = mode_pipeline(), tmp_path / "dlt", "pipelines/*/load/normalized/*"

    def send() -> None:
        # the last files of a load: dlt ends it well, and forgets the signal; once it has ended it is too late for that
        while not any(folder.glob("pipelines/*/load/loaded/*")) and (
            not any(folder.glob(f"{jobs}/started_jobs/*sql*")) or any(folder.glob(f"{jobs}/new_jobs/*"))
        ):
            time.sleep(0.001)
        os.kill(os.getpid(), sent)

    sender = threading.Thread(target=send, daemon=True)
    try:
        with Sync(reads(sandbox), pipeline=pipeline, clock=sandbox.world.now) as sync:
            sender.start()
            with pytest.raises(KeyboardInterrupt):
                list(load(pipeline, sync, ["data_sources"]))
    finally:
        sender.join(10)
        signal.signal(signal.SIGTERM, before)
    load_from(sandbox, "data_sources")
    assert set(keys("data_sources")) == sandbox.world.truth("data_sources")


def test_others_can_read_the_file_while_mode_is_asked(sandbox, load_from, tmp_path):
    read = (
        "import duckdb, sys; file = duckdb.connect(sys.argv[1], read_only=True); "
        "print(file.execute('SELECT count(*) FROM mode_analytics_data.reports').fetchall())"
    )
    seen = []

    def look(body: dict) -> dict:
        command = [sys.executable, "-c", read, str(tmp_path / "mode_analytics.duckdb")]
        seen.append(subprocess.run(command, capture_output=True, text=True, check=False))
        return body

    sandbox.faults.append(Fault("/queries", kind="edit", edit=look, times=1))
    load_from(sandbox, "spaces", "reports", "queries")
    assert [each.stdout or each.stderr for each in seen] == [f"[({len(sandbox.world.truth('reports'))},)]\n"]
