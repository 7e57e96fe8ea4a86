"""Syncs in processes of their own, which can be killed at a chosen moment.

Here: one warm process that has imported everything and forks a child for each sync; what a child counts; the kill.
Not here: which moments, and what must be in the tables afterwards (`test_kills`).

A child counts what it does, and kills itself when it comes to the step that it was told; after so many seconds the
warm process kills it. Both send SIGKILL: nothing is closed, written or said any more. Instead of being killed, it can
be held at that step until another child has ended.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS, REQUESTS, FILES, STATEMENTS, JOBS = "seconds", "requests", "files", "statements", "jobs"
STATEMENT = "mode_dagster_tests.statement"
CHANGES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir"})


@dataclass(frozen=True)
class Moment:
    """When a sync is killed."""

    kind: str
    """After so many seconds, or at the step of that number: requests sent, changes of dlt's files, SQL statements,
    jobs of a load that were done."""
    at: float
    later: float = 0.0
    """Seconds to let pass after that step, so that it is killed in the middle of it."""
    until_ended: str = ""
    """What the sync prints to that is waited for there, instead of being killed."""

    def earlier(self, times: int) -> Self:
        """The moment at which so many times less is done."""
        return replace(self, at=self.at / times if self.kind == SECONDS else max(1, self.at // times))


@dataclass(frozen=True)
class Start:
    """One sync to be run."""

    now: str
    """What time it is for it."""
    environment: Mapping[str, str]
    tables: Sequence[str] = ()
    """None means all."""
    in_dagster: bool = False
    wait: float = 0.0
    """Seconds before it begins."""
    when_held: str = ""
    """What the sync prints to that must have been held at its moment first."""
    kill: Moment | None = None
    said: str = "said.txt"
    """File for what it prints."""


@dataclass(frozen=True)
class End:
    """What became of it."""

    status: int
    """Exit code; negative where it was killed."""
    seconds: float
    said: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """How much it did, by kind of moment."""
    killed_at: str = ""
    """The step that it was killed at."""

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Syncs:
    """The warm process; leaving the `with` block ends it."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SOURCES__", "DESTINATION"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[1],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def run(self, *starts: Start) -> list[End]:
        """Runs syncs at the same time, until all have ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([asdict(start) for start in starts]), file=self._process.stdin, flush=True)
        ends = self._process.stdout.readline()
        assert ends, "the warm process has died"
        return [End(**end) for end in json.loads(ends)]


# what follows runs in the warm process and its children


def main() -> None:
    warm_up()
    for line in sys.stdin:
        starts = [Start(**{**start, "kill": start["kill"] and Moment(**start["kill"])}) for start in json.loads(line)]
        children = [Child(start) for start in starts]
        while sum(child.look() for child in children) < len(children):
            time.sleep(0.002)
        sys.stdout.write(json.dumps([child.end() for child in children]) + "\n")
        sys.stdout.flush()


def mark(said: str, kind: str) -> Path:
    """What a child and the warm process tell each other."""
    return Path(said).with_suffix(f".{kind}")


def await_mark(said: str, kind: str) -> None:
    while not mark(said, kind).exists():
        time.sleep(0.01)


def warm_up() -> None:
    for name in ("mode_dagster.extract.__main__", "mode_dagster.build", "duckdb", "pandas", "pyarrow.parquet"):
        importlib.import_module(name)


class Child:
    """One sync, in a fork."""

    def __init__(self, start: Start) -> None:
        assert threading.active_count() == 1, "threads do not survive a fork"
        self._start = start
        self._report = mark(start.said, "json")
        for left in ("json", "held", "ended"):
            mark(start.said, left).unlink(missing_ok=True)
        self._began = time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            live(start, self._report)
        self._status: int | None = None
        self._seconds = 0.0

    def look(self) -> bool:
        """Whether it has ended; kills it when its time has come."""
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._seconds = time.monotonic() - self._began
            kill = self._start.kill
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                mark(self._start.said, "ended").touch()
            elif kill and kill.kind == SECONDS and self._seconds >= kill.at:
                os.kill(self._pid, signal.SIGKILL)
        return self._status is not None

    def end(self) -> dict[str, Any]:
        told = json.loads(self._report.read_text()) if self._report.exists() else {}
        for name in set(told.pop("modules", ())) - sys.modules.keys():
            with contextlib.suppress(Exception):
                importlib.import_module(name)  # the next child has it already
        said = Path(self._start.said).read_text()
        return {"status": self._status, "seconds": self._seconds, "said": said, **told}


def live(start: Start, report: Path) -> None:
    """The life of a child; never returns."""
    status = 1
    try:
        os.environ.update(start.environment)
        output = os.open(start.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        time.sleep(start.wait)
        if start.when_held:
            await_mark(start.when_held, "held")
        steps = Steps(start, report)
        sys.addaudithook(steps.note)
        audit_statements()
        clock = partial(datetime.fromisoformat, start.now)
        status = (run_in_dagster if start.in_dagster else run_alone)(clock, start.tables)
        told = {"counts": dict(steps.counts), "modules": [*sys.modules]}
        report.write_text(json.dumps(told))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Steps:
    """Counts what a sync does, from Python's own audit events, and kills (or holds) it at the step that was told."""

    def __init__(self, start: Start, report: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._kill = start.kill
        self._said = start.said
        self._report = report
        self._files = start.environment["DLT_DATA_DIR"]

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        for kind in self._kinds(event, arguments):
            self.counts[kind] += 1
            kill = self._kill
            if kill is not None and kill.kind == kind and self.counts[kind] >= kill.at:
                self._kill = None
                self._report.write_text(json.dumps({"killed_at": f"{event} {arguments}"[:300]}))
                self._end(kill)

    def _end(self, kill: Moment) -> None:
        if kill.until_ended:
            mark(self._said, "held").touch()
            await_mark(kill.until_ended, "ended")
        elif kill.later:
            threading.Timer(kill.later, die).start()
        else:
            die()

    def _kinds(self, event: str, arguments: tuple[Any, ...]) -> Iterator[str]:
        if event == "http.client.send":
            yield REQUESTS
        elif event == STATEMENT:
            yield STATEMENTS
        elif (event in CHANGES or (event == "open" and arguments[2] & os.O_CREAT)) and str(arguments[0]).startswith(
            self._files
        ):
            yield FILES
            if event == "os.rename" and "completed_jobs" in str(arguments[1]):
                yield JOBS


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def audit_statements() -> None:
    """DuckDB tells nobody of its statements; here each raises an audit event first."""
    from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

    from mode_dagster.warehouse import DuckDBWarehouse

    DuckDbSqlClient.execute_query = audited(DuckDbSqlClient.execute_query)  # type: ignore[method-assign]
    DuckDBWarehouse.query = audited(DuckDBWarehouse.query)  # type: ignore[method-assign]


def audited(execute: Callable[..., Any]) -> Callable[..., Any]:
    def statement(self: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
        sys.audit(STATEMENT, sql)
        return execute(self, sql, *args, **kwargs)

    return statement


def run_alone(clock: Callable[[], datetime], tables: Sequence[str]) -> int:
    from mode_dagster.extract import __main__ as program

    program.Sync = partial(program.Sync, clock=clock)  # type: ignore[misc]
    return program.main([*tables])


def run_in_dagster(clock: Callable[[], datetime], tables: Sequence[str]) -> int:
    import dagster as dg

    from mode_dagster import assets
    from mode_dagster.build import RESOURCES
    from mode_dagster.extract.ledger import LEDGER
    from mode_dagster.workspace import Workspace

    assets.Sync = partial(assets.Sync, clock=clock)  # type: ignore[misc]
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(
            [assets.build_assets(), assets.build_ledger_check()],
            selection=[Workspace().table_key(table) for table in (*tables, LEDGER)] if tables else None,
            resources=RESOURCES,
            instance=instance,
            raise_on_error=False,
        )
    return 0 if result.success else 1


if __name__ == "__main__":
    main()
