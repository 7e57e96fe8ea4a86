"""The services of compose.yaml as plain processes, on a machine without containers.

Here: commands, environments, health checks and folders, all taken from compose.yaml and the Dockerfile.
Not here: what they are put through (`test_deployment`).
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mode_dagster_tests.processes import HOST, Postgres, Program, free_port, listens, measured, until

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
BIN = Path(sys.executable).parent


def instructions(keyword: str) -> list[str]:
    """What the Dockerfile says after a keyword, each time, on one line and without comments."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(rf"^{keyword} +(.*)$", text, flags=re.MULTILINE)


def image_environment() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(word.split("=", 1) for word in shlex.split(instructions("ENV")[-1]))


def _tags(shown: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in shown}


@dataclass(frozen=True)
class Run:
    """What the webserver says of a run."""

    id: str
    status: str
    job: str
    parent: str | None
    """The run that this one is a retry of."""
    tags: Mapping[str, str]


class Deployment:
    """The services of compose.yaml as plain processes, with its commands, environments and health checks."""

    def __init__(self, folder: Path, database: Postgres, settings: Mapping[str, str]) -> None:
        self.ports = {"code": free_port(), "webserver": free_port()}
        self._state, self._etc = folder / "var", folder / "etc"
        self._settings = settings
        self._replaced = {
            "/var/lib/mode_dagster": str(self._state),
            "/etc/mode_dagster": str(self._etc),
            "0.0.0.0": HOST,
            "4000": str(self.ports["code"]),
            "3000": str(self.ports["webserver"]),
            "5432": str(database.port),
        }
        self.database = database
        self._running: dict[str, Program] = {}
        self.home = self._state / "dagster"
        for made in (self._state / "data", self.home / "storage", self._etc / ".dlt"):
            made.mkdir(parents=True)
        shutil.copy(ROOT / ".dlt/config.toml", self._etc / ".dlt")
        shutil.copy(DEPLOY / "workspace.yaml", self._etc)
        parts = [(DEPLOY / name).read_text(encoding="utf-8") for name in ("dagster.yaml", "dagster.postgres.yaml")]
        (self.home / "dagster.yaml").write_text("".join(parts), encoding="utf-8")

    @property
    def warehouse(self) -> Path:
        return self._state / "data/mode_analytics.duckdb"

    def start(self, service: str) -> Program:
        """Starts a service, and waits until it listens, if it does."""
        command = [self._here(word) for word in COMPOSE["services"][service]["command"]]
        command[0] = str(BIN / command[0])
        log = self._state / f"{service}.log"
        program = self._running[service] = Program(command, log, self._environment(service), self._state)
        if service in self.ports:
            until(lambda: listens(self.ports[service]), 60, f"{service} listens")
        return program

    def check_health(self, service: str) -> None:
        """Compose's own check of a service passes."""
        kind, *command = map(self._here, COMPOSE["services"][service]["healthcheck"]["test"])
        assert kind == "CMD"
        command[0] = str(BIN / command[0])
        done = subprocess.run(
            command, env=self._environment(service), cwd=self._state, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{service}: {done.stdout}{done.stderr}"

    def stop(self) -> None:
        for program in self._running.values():
            program.kill()

    def ask(self, query: str, **variables: Any) -> Any:
        """What the webserver's GraphQL answers."""
        request = urllib.request.Request(
            f"http://{HOST}:{self.ports['webserver']}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def launch(self, job: str) -> None:
        """Puts a run into the queue, as the button of the UI does."""
        mutation = "mutation M($p: ExecutionParams!) {launchRun(executionParams: $p) {__typename}}"
        selector = {"repositoryLocationName": "mode_dagster", "repositoryName": "__repository__", "jobName": job}
        answer = self.ask(mutation, p={"selector": selector, "runConfigData": {}, "mode": "default"})
        assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer

    def runs(self) -> list[Run]:
        """All runs, the first one first."""
        query = "{runsOrError {... on Runs {results {id status jobName parentRunId tags {key value}}}}}"
        return [
            Run(
                run["id"],
                run["status"],
                run["jobName"],
                run["parentRunId"],
                {t["key"]: t["value"] for t in run["tags"]},
            )
            for run in reversed(self.ask(query)["runsOrError"]["results"])
        ]

    def worker(self, run: Run) -> int | None:
        """The process that a run is in, once it is."""
        shown = "... on EventConnection {events {... on MessageEvent {message}}}"
        query = "query Q($id: ID!) {logsForRun(runId: $id) {" + shown + "}}"
        events = self.ask(query, id=run.id)["logsForRun"]["events"]
        text = "\n".join(event.get("message", "") for event in events)
        found = re.search(r"\(pid: (\d+)\)", text)
        return int(found[1]) if found else None

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{program.log.read_text()[-3000:]}" for name, program in self._running.items())

    def _here(self, text: str) -> str:
        for there, here in self._replaced.items():
            text = text.replace(there, here)
        return text

    def _environment(self, service: str) -> dict[str, str]:
        shipped = COMPOSE["services"][service]
        written = self._settings if "env_file" in shipped else {}
        values = {name: self._here(value) for name, value in image_environment().items()}
        values |= {**written, **{name: self._here(value) for name, value in shipped["environment"].items()}}
        values["CODE_SERVER_HOST"] = HOST
        return {**values, **self.database.dagster, **measured(), "PATH": os.environ["PATH"], "HOME": str(self._state)}
