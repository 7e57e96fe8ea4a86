"""What deploy/ ships: files that fit together, and the processes of compose.yaml through a bad day."""

import os
import signal
from dataclasses import replace

import duckdb
import pytest

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.sandbox import serve
from mode_dagster.settings import ENV_PREFIX
from mode_dagster_tests.conftest import SMALL
from mode_dagster_tests.deployed import COMPOSE, DEPLOY, ROOT, Deployment, image_environment, instructions
from mode_dagster_tests.processes import postgres, until


def environment_file():
    """What env.example has in it."""
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def settings(world):
    """What somebody would write into .env, with a schedule that does not take long to fire."""
    ours = {name: getattr(world, name) for name in ("base_url", "workspace", "username", "password")}
    ours |= {"sync_cron": "* * * * *", "runs_cron": "0 0 29 2 *", "reconcile_cron": "0 0 29 2 *"}
    ours |= {"rate_limit_requests": "100000", "query_run_days": "0", "checkpoint_seconds": "1"}
    return environment_file() | {ENV_PREFIX + name.upper(): value for name, value in ours.items()}


def differences(warehouse, world):
    """By table, the keys that are lacking and those that are too many."""
    found = {}
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        for endpoint in ENDPOINTS:
            if endpoint.rest is None or endpoint.name == "users":
                continue
            table = f"mode_analytics_data.{endpoint.name}"
            rows = connection.execute(f"SELECT {', '.join(endpoint.key)} FROM {table}").fetchall()
            keys = [row[0] if len(endpoint.key) == 1 else row for row in rows]
            assert len(keys) == len(set(keys)), endpoint.name
            if different := world.world.truth(endpoint.name) ^ set(keys):
                found[endpoint.name] = different
    return found


@pytest.fixture
def deployment(tmp_path):
    with postgres() as database:
        with serve(replace(SMALL, latency=0.01)) as world:
            deployed = Deployment(tmp_path, database, settings(world))
            try:
                yield deployed, world
            finally:
                deployed.stop()
                print(deployed.logs())  # pytest shows it where the test failed


def test_a_scheduled_sync_outlives_its_process_the_daemon_and_a_new_release(deployment):
    deployed, world = deployment
    code = deployed.start("code")
    deployed.start("webserver")
    daemon = deployed.start("daemon")

    (first,) = until(deployed.runs, 90, "the schedule fires")
    assert (first.job, first.tags["dagster/schedule_name"]) == ("mode_sync", "mode_sync_schedule")
    worker = until(lambda: deployed.worker(first), 60, "the run starts")
    until(lambda: len(world.requests) > 60, 60, "the sync has begun")
    os.kill(worker, signal.SIGKILL)
    daemon.kill()

    daemon = deployed.start("daemon")
    before = len(world.requests)
    until(lambda: len(world.requests) > before + 20, 60, "the retry has begun")
    for service in ("code", "webserver", "daemon"):
        deployed.check_health(service)
    code.signal(signal.SIGTERM)  # as for a new release: it takes no other run, and waits for this one
    until(lambda: not code.is_running, 90, "the retry has ended, and then the code server")

    assert [run.status for run in deployed.runs()[:2]] == ["FAILURE", "SUCCESS"]
    retry = deployed.runs()[1]
    assert (retry.job, retry.parent) == ("mode_sync", first.id)
    assert differences(deployed.warehouse, world) == {}
    # so that everything else in the image can be read-only
    assert sorted(path.name for path in deployed.home.iterdir()) == ["dagster.yaml", "storage"]
