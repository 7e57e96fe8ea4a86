"""Syncs that are cut off: the next one makes every table right, and repeats little."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Sandbox, SandboxOptions, serve
from mode_dagster.settings import Settings

START = datetime(2026, 6, 1, 9, 5, tzinfo=UTC)
WORLD = SandboxOptions(
    reports=10, spaces=3, rate_limit_requests=1_000_000, epoch=datetime(2026, 5, 28, tzinfo=UTC), clock=lambda: START
)


def differences(database: Path, world: Sandbox) -> dict[str, tuple[int, int]]:
    """By table, how many keys are lacking and how many too many; query runs of unfinished runs may be there or not."""
    found = {}
    with duckdb.connect(str(database)) as connection:
        for endpoint in ENDPOINTS:
            if endpoint.rest is None or endpoint.name == "users":
                continue
            live = "" if endpoint.history else "WHERE deleted_at IS NULL"
            key = ", ".join(endpoint.key)
            rows = connection.execute(f"SELECT {key} FROM mode_analytics_data.{endpoint.name} {live}").fetchall()
            keys = [row[0] if len(endpoint.key) == 1 else row for row in rows]
            assert len(keys) == len(set(keys)), endpoint.name
            truth = world.world.truth(endpoint.name)
            open_runs = {r["token"] for r in world.world.rows("runs") if r["ended_at"] > world.world.now()}
            if endpoint.name == "query_runs":
                truth = {r["token"] for r in world.world.rows("query_runs") if r["run_token"] not in open_runs}
            lacking, more = len(truth - set(keys)), 0 if endpoint.history else len(set(keys) - truth)
            if lacking or more:
                found[endpoint.name] = (lacking, more)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_sync_killed_at_any_moment_is_made_right_by_the_next(seed, reads, tmp_path):
    with serve(replace(WORLD, latency=0.004)) as world:
        reads(world, checkpoint_seconds=1)
        command = [sys.executable, "-m", "mode_dagster.extract"]
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # imports take the first second or two: most moments fall into extracting, normalizing and loading
        moment = random.Random(seed).uniform(1.5, 6.0)
        while process.poll() is None and time.monotonic() - began < moment:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == 0, done.stderr
        assert differences(tmp_path / "mode_analytics.duckdb", world) == {}


@pytest.mark.parametrize("requests", [3, 120], ids=["in the listings", "late"])
def test_a_dagster_run_killed_at_any_moment_is_made_right_by_the_next(requests, reads, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (tmp_path / "dagster").mkdir()
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "mode_dagster.definitions"]
    command += ["--select", 'key:"mode/*"']
    with serve(replace(WORLD, latency=0.004)) as world:
        reads(world, checkpoint_seconds=1)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(world.requests) < requests:
            time.sleep(0.005)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == 0, done.stderr
        assert differences(tmp_path / "mode_analytics.duckdb", world) == {}


steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 26, 24 * 9]),
        st.sampled_from(["whole", "cut after the listings", "cut and the machine is lost", "max_requests"]),
    ),
    min_size=1,
    max_size=2,
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
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
        workspace=world.workspace,
        username=world.username,
        password=world.password,
        base_url=world.base_url,
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
