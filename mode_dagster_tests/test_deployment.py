"""What deploy/ ships: files that fit together, and the processes of compose.yaml through a bad day."""

import inspect
import json
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from dataclasses import replace

import dagster as dg
import duckdb
import pytest
import yaml
from dagster._core.errors import DagsterLaunchFailedError, DagsterUserCodeUnreachableError
from dagster._core.launcher import DefaultRunLauncher, WorkerStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._daemon.monitoring.run_monitoring import monitor_started_run
from dagster._grpc.server import DagsterApiServer

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.run_launcher import IT_SHUTS_DOWN, WatchedRunLauncher
from mode_dagster.sandbox import serve
from mode_dagster.settings import ENV_PREFIX
from mode_dagster_tests.conftest import SMALL
from mode_dagster_tests.deployed import BIN, COMPOSE, DEPLOY, ROOT, Deployment, instructions
from mode_dagster_tests.processes import HOST, Program, free_port, listens, postgres, until


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


def lines_of(keyword, text):
    """What follows a keyword in a unit of systemd."""
    return re.findall(rf"^{keyword}=(.*)$", text, flags=re.MULTILINE)


def pins(path):
    """Package → version of a lock."""
    text = path.read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, flags=re.MULTILINE))


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
    with postgres() as database, serve(replace(SMALL, latency=0.01)) as world:
        deployed = Deployment(tmp_path, database, settings(world))
        try:
            yield deployed, world
        finally:
            deployed.stop()
            sys.stdout.write(deployed.logs())  # pytest shows it where the test failed


def worker_status(instance, run_id):
    return instance.run_launcher.check_run_worker_health(instance.get_run_by_id(run_id)).status


@pytest.mark.slow
def test_a_scheduled_sync_outlives_its_process_the_daemon_and_a_new_release(deployment, monkeypatch):
    deployed, world = deployment
    code = deployed.start("code")
    deployed.start("webserver")
    daemon = deployed.start("daemon")
    for service in ("code", "webserver", "daemon"):
        deployed.check_health(service)

    (first,) = until(deployed.runs, 120, "the schedule fires")
    assert (first.job, first.tags["dagster/schedule_name"]) == ("mode_sync", "mode_sync_schedule")
    worker = until(lambda: deployed.worker(first), 120, "the run starts")
    until(lambda: len(world.requests) > 60, 120, "the sync has begun")
    os.kill(worker, signal.SIGKILL)
    daemon.kill()

    daemon = deployed.start("daemon")
    before = len(world.requests)
    until(lambda: len(world.requests) > before + 20, 120, "the retry has begun")
    for name, value in deployed.database.dagster.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(deployed.home)) as instance:
        assert worker_status(instance, deployed.runs()[1].id) is WorkerStatus.RUNNING
    deployed.launch("mode_runs_hourly")
    code.signal(signal.SIGTERM)  # as for a new release: it takes no other run, and waits for this one
    until(lambda: not code.is_running, 300, "the retry has ended, and then the code server")

    assert [run.status for run in deployed.runs()[:2]] == ["FAILURE", "SUCCESS"]
    retry = deployed.runs()[1]
    assert (retry.job, retry.parent) == ("mode_sync", first.id)
    assert differences(deployed.warehouse, world) == {}
    # so that everything else in the image can be read-only
    assert sorted(path.name for path in deployed.home.iterdir()) == ["dagster.yaml", "storage"]

    (waiting,) = [run for run in deployed.runs() if run.job == "mode_runs_hourly"]
    deployed.start("code")
    until(lambda: deployed.worker(waiting), 120, "what waited runs in the new code server")


@pytest.mark.slow
def test_a_run_that_was_lost_with_its_code_server_is_failed_at_the_next_look(tmp_path, monkeypatch):
    shutil.copy(DEPLOY / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    port = free_port()
    server = json.dumps({"host": HOST, "port": port})
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__"), "job")
        run = instance.create_run_for_job(dg.GraphDefinition("job").to_job(), remote_job_origin=origin)
        instance.add_run_tags(run.run_id, {GRPC_INFO_TAG: server})
        instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "job"), run.run_id)
        assert worker_status(instance, run.run_id) is WorkerStatus.RUNNING, "nobody answers: nothing is known"

        command = [word.replace("4000", str(port)) for word in COMPOSE["services"]["code"]["command"]]
        restarted = Program([str(BIN / command[0]), *command[1:]], tmp_path / "code.log", os.environ, tmp_path)
        try:
            until(lambda: listens(port), 60, "code server listens")
            assert worker_status(instance, run.run_id) is WorkerStatus.FAILED
            record = instance.get_run_record_by_id(run.run_id)
            monitor_started_run(instance, None, record, logging.getLogger("monitoring"))
        finally:
            restarted.kill()
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE
        assert worker_status(instance, run.run_id) is WorkerStatus.RUNNING, "what has ended is not asked for"


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (f"Tried to start a run on a server {IT_SHUTS_DOWN}", DagsterUserCodeUnreachableError),
        ("no such job", DagsterLaunchFailedError),
    ],
)
def test_a_run_whose_code_server_is_about_to_go_returns_to_the_queue(monkeypatch, answer, raised):
    def refuse(*_):
        raise DagsterLaunchFailedError(answer)

    monkeypatch.setattr(DefaultRunLauncher, "launch_run", refuse)
    with pytest.raises(raised, match=answer):
        WatchedRunLauncher().launch_run(None)
    assert IT_SHUTS_DOWN in inspect.getsource(DagsterApiServer.StartRun), "Dagster's own words"
    queue = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))["run_queue"]
    seconds = queue["max_user_code_failure_retries"] * queue["user_code_failure_retry_delay"]
    assert seconds > 15 * 60, "longer than a new release may take"


def test_the_image_starts_what_compose_starts():
    code = COMPOSE["services"]["code"]
    assert json.loads(instructions("CMD")[-1]) == code["command"]
    assert json.loads(instructions("HEALTHCHECK")[-1].partition("CMD ")[2]) == code["healthcheck"]["test"][1:]
    assert instructions("USER") == ["10001:10001"], "no root, and a number so that Kubernetes can see it"
    ours = [service for name, service in COMPOSE["services"].items() if name != "postgres"]
    assert all(service["read_only"] for service in ours)
    assert {service["pull_policy"] for service in ours} == {"never"}, "nobody else's image of that name"


def test_the_image_is_built_from_files_that_are_sent_to_the_builder():
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line[1:] for line in ignore if line.startswith("!")}
    copied = {source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert copied == sent
    assert "**" in ignore
    assert all((ROOT / source).exists() for source in copied)
    assert not any("secrets.toml" in source and not source.endswith(".example") for source in copied)


@pytest.mark.slow
def test_the_package_can_be_built_from_what_the_image_copies(tmp_path):
    first_stage = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[1]
    for line in re.findall(r"^COPY +(.*)$", first_stage, flags=re.MULTILINE):
        *sources, target = line.split()
        folder = tmp_path / "src" / target
        folder.mkdir(parents=True, exist_ok=True)
        for source in map(ROOT.joinpath, sources):
            if source.is_dir():
                shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy(source, folder)
    options = re.findall(r"^RUN pip install (.*) \.$", first_stage, flags=re.MULTILINE)[-1].split()
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(tmp_path / "image"), "."]
    built = subprocess.run(command, cwd=tmp_path / "src", capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "image/mode_dagster/models/run_facts.sql").exists()


def test_the_image_has_the_versions_that_are_tested():
    image = pins(DEPLOY / "requirements.lock")
    for lock in ("requirements.lock", "requirements-dev.lock"):
        tested = pins(ROOT / lock)
        different = {
            name: (image[name], tested[name]) for name in image if tested.get(name, image[name]) != image[name]
        }
        assert different == {}, f"make lock renews deploy/requirements.lock with {lock}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra in ("deploy", "postgres", "celery") for line in project["optional-dependencies"][extra]]
    needed = {re.match(r"[\w-]+", line)[0] for line in [*project["dependencies"], *extras]}
    assert {*needed, "dagster-k8s", "hatchling"} <= set(image)
    assert not {"pytest", "ruff", "dagster-dg-cli"} & set(image)
    for command in instructions("RUN"):
        assert "pip install" not in command or "--require-hashes" in command or "--no-index" in command


def test_the_readme_adds_a_driver_as_make_lock_would():
    shown = subprocess.run(
        ["make", "--no-print-directory", "-n", "lock"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    renewing = shown.replace("\\\n", "").split("\n.venv/bin/uv ")[-1].split()
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    adding = readme.replace("\\\n", "").split("$ .venv/bin/uv ")[1].split("\n")[0].split()
    assert " ".join(adding).replace("--extra snowflake", "--upgrade") == " ".join(renewing)


def test_only_the_code_server_knows_the_credentials_of_mode():
    services = COMPOSE["services"]
    assert [name for name, service in services.items() if "env_file" in service] == ["code"]
    assert [port for service in services.values() for port in service.get("ports", [])] == ["127.0.0.1:3000:3000"]
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text(encoding="utf-8")
        assert lines_of("EnvironmentFile", text) == (["/etc/mode_dagster.env"] if "code" in unit.name else [])


def test_what_is_shipped_has_no_secret_in_it():
    values = environment_file()
    secret = [name for name in values if name.endswith(("USERNAME", "PASSWORD", "WEBHOOK_URL"))]
    assert len(secret) == 4
    assert not any(values[name] for name in secret)
    needed = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    assert needed <= set(values)
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_systemd_starts_what_compose_starts():
    shared = {}
    for unit in sorted((DEPLOY / "systemd").iterdir()):
        service = unit.stem.removeprefix("mode-dagster-")
        text = unit.read_text(encoding="utf-8")
        (start,) = lines_of("ExecStart", text)
        compose = " ".join(COMPOSE["services"][service]["command"]).replace("0.0.0.0", "127.0.0.1")
        compose = compose.replace("/etc/mode_dagster/workspace.yaml", "deploy/workspace.yaml")
        assert start == f"/opt/mode_dagster/.venv/bin/{compose}"
        shared[service] = re.search(r"\nUser=[^#[]*", text)[0].strip()
    assert set(shared) == {"code", "webserver", "daemon"}
    assert len(set(shared.values())) == 1, "the same restrictions for each"
    code = (DEPLOY / "systemd/mode-dagster-code.service").read_text(encoding="utf-8")
    assert lines_of("TimeoutStopSec", code) == ["15min"]
    assert COMPOSE["services"]["code"]["stop_grace_period"] == "15m"
    assert lines_of("OOMPolicy", code) == ["continue"], "a run that is killed for its memory takes no other with it"


def test_systemd_kills_nobody_for_a_call_to_the_kernel():
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text(encoding="utf-8")
        # V8, which draws the charts, calls those of @pkey, which are not in @system-service
        assert lines_of("SystemCallFilter", text) == ["@system-service @pkey"]
        assert lines_of("SystemCallErrorNumber", text) == ["EPERM"]


def test_systemd_waits_until_the_code_server_listens_or_is_gone():
    (wait,) = lines_of("ExecStartPost", (DEPLOY / "systemd/mode-dagster-code.service").read_text(encoding="utf-8"))
    port = free_port()
    command = shlex.split(wait.replace("4000", str(port)))
    server = subprocess.Popen(["sleep", "60"])
    waiting = subprocess.Popen(command, env={**os.environ, "MAINPID": str(server.pid)})
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.2)
        with socket.create_server((HOST, port)):
            assert waiting.wait(10) == 0
    finally:
        waiting.kill()
        server.kill()
    server.wait()
    gone = subprocess.run(command, env={**os.environ, "MAINPID": str(server.pid)}, capture_output=True, check=False)
    assert gone.returncode == 1


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path):
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text(encoding="utf-8").replace("/opt/mode_dagster/.venv/bin", str(BIN))
        (tmp_path / unit.name).write_text(text.replace("/opt/mode_dagster", str(ROOT)), encoding="utf-8")
    units = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "mode-dagster" in line]
    assert (done.returncode, ours) == (0, [])


CHART = {
    "global": {"postgresqlSecretName"},
    "postgresql": {
        "enabled", "postgresqlHost", "postgresqlUsername", "postgresqlDatabase", "postgresqlScheme", "service",
    },
    "dagsterWebserver": {"image", "service", "readinessProbe", "podSecurityContext", "securityContext", "resources"},
    "dagsterDaemon": {
        "image", "podSecurityContext", "securityContext", "resources", "runCoordinator", "runMonitoring", "runRetries",
    },
    "concurrency": {"enabled", "runs", "pools"},
    "retention": {"enabled", "schedule", "sensor", "autoMaterialize"},
    "telemetry": {"enabled"},
    "additionalInstanceConfig": {"nux"},
    "pythonLogs": {"pythonLogLevel", "managedPythonLoggers"},
    "dagster-user-deployments": {"enabled", "enableSubchart", "deployments"},
    "runLauncher": {"type", "config"},
    "computeLogManager": {"type"},
    "rabbitmq": {"enabled"},
    "redis": {"enabled"},
    "flower": {"enabled"},
    "ingress": {"enabled"},
}  # fmt: skip
"""What Dagster's chart (1.13) knows of what is used here; it refuses or overlooks other names."""
CHART_VALUES = {
    "dagsterWebserver": {
        "service": {"type": "ClusterIP", "port": 80},
        "readinessProbe": {"httpGet": {"path": "/server_info", "port": 80}},
        "podSecurityContext": {},
    },
}
"""Some of the chart's own values, for what is not set here."""


def helm_values():
    return yaml.safe_load((DEPLOY / "helm/values.yaml").read_text(encoding="utf-8"))


def overlaid(chart, ours):
    """Values of the chart and ours over them, as Helm does it: maps are merged, anything else is replaced."""
    if not isinstance(chart, dict) or not isinstance(ours, dict):
        return ours
    return chart | {name: overlaid(chart.get(name), value) for name, value in ours.items()}


def test_on_kubernetes_no_port_needs_root():
    values = overlaid(CHART_VALUES, helm_values())
    webserver, (code,) = values["dagsterWebserver"], values["dagster-user-deployments"]["deployments"]
    # the webserver listens on the port of its service, and the probe has one of its own
    ports = {webserver["service"]["port"], webserver["readinessProbe"]["httpGet"]["port"]}
    assert ports == {3000}
    user = {pod["podSecurityContext"].get("runAsUser", 0) for pod in (webserver, values["dagsterDaemon"], code)}
    assert user == {10001}, "that of the image"
    assert min(ports | {code["port"]}) >= 1024, "many clusters let only root open lower ones"


def test_on_kubernetes_a_run_gets_what_its_code_server_has():
    values = helm_values()
    (code,) = values["dagster-user-deployments"]["deployments"]
    launched = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    assert code["includeConfigInLaunchedRuns"] == {"enabled": True}
    assert code["resources"] == {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    assert "resources" not in launched["containerConfig"], "those of the code server would replace them"
    # these are not passed on
    assert launched["containerConfig"]["securityContext"] == code["securityContext"]
    assert launched["podSpecConfig"]["securityContext"] == code["podSecurityContext"]


def test_helm_values_say_what_dagster_yaml_says():
    values = helm_values()
    assert values.pop("generatePostgresqlPasswordSecret") is False
    assert {name: set(part) - CHART[name] for name, part in values.items()} == {name: set() for name in CHART}

    instance = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    daemon = values["dagsterDaemon"]
    snake = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in daemon["runMonitoring"].items()}
    assert snake == instance["run_monitoring"]
    snake = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in daemon["runRetries"].items()}
    assert snake == instance["run_retries"]
    assert values["concurrency"]["pools"] == {"defaultLimit": 1, "granularity": "run"}
    assert instance["concurrency"]["pools"] == {"default_limit": 1, "granularity": "run"}
    assert not values["telemetry"]["enabled"]
    assert not instance["telemetry"]["enabled"]
    assert values["additionalInstanceConfig"]["nux"] == instance["nux"] == {"enabled": False}

    (code,) = values["dagster-user-deployments"]["deployments"]
    command = ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", str(code["port"]), *code["dagsterApiGrpcArgs"]]
    assert command == COMPOSE["services"]["code"]["command"]
    assert (
        code["image"]["tag"]
        == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    )
    for page in ("helm/values.yaml", "README.md"):
        text = (DEPLOY / page).read_text(encoding="utf-8")
        assert re.findall(r"--version (\S+) ", text) == [pins(ROOT / "requirements.lock")["dagster"]], page


def test_what_the_readme_says_of_kubernetes_is_in_the_values():
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    (code,) = helm_values()["dagster-user-deployments"]["deployments"]
    secret = set(re.findall(r"^ +(\w+)=", readme.split("## Kubernetes")[1], flags=re.MULTILINE))
    assert secret == {f"{ENV_PREFIX}USERNAME", f"{ENV_PREFIX}PASSWORD", "DESTINATION__POSTGRES__CREDENTIALS"}
    assert not secret & set(code["env"])
    assert code["env"]["DESTINATION_TYPE"] == "postgres"
    for made in (code["envSecrets"][0]["name"], helm_values()["global"]["postgresqlSecretName"]):
        assert f"create secret generic {made} " in readme
    image = helm_values()["dagsterWebserver"]["image"]
    assert f"docker push {image['repository']}:{image['tag']}\n" in readme
    # of a release `dagster`, the chart calls it so
    assert f"deployment/dagster-dagster-user-deployments-{code['name']} " in readme
    assert f"{ENV_PREFIX}EXECUTOR" in code["env"]
    assert f"`{ENV_PREFIX}EXECUTOR`" in readme
