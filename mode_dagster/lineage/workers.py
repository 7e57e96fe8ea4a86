"""Many queries, each within its time: processes that parse, and are stopped when they take too long.

Here: starting, asking and stopping the processes.
Not here: what runs in them (`worker`).

Processes, because nothing else holds: Dagster may run an op outside the main thread, where no signal arrives, a thread
can't be stopped, and one query's memory must not be the run's. Not `multiprocessing`, which imports the parent's main
module, all of Dagster, into each child, or forks a process that has threads.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from threading import Timer

from mode_dagster.lineage.dialects import dialect_of
from mode_dagster.lineage.query import References, Request, Status

SECONDS = 10.0
"""What one query may take; the longest of ten thousand ordinary ones takes a tenth of a second."""
WORTH_A_PROCESS = 50
"""Queries for which it pays to start another process."""
_START_SECONDS = 60.0
_RUN = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from mode_dagster.lineage.worker import run; run()"
"""The child imports what the parent would, from wherever either of them was started."""


@dataclass(frozen=True)
class Parsed:
    """What is known of one query, and how long it took."""

    references: References
    seconds: float


def parse_all(requests: Sequence[Request], seconds: float = SECONDS, processes: int | None = None) -> list[Parsed]:
    """Parses queries, in this order.

    Args:
        seconds: What each may take; one that takes longer is failed, and the others go on.
        processes: How many to use at most; None takes the machine's cores.

    Raises:
        RuntimeError: The processes can't be started.
    """
    if not requests:
        return []
    count = max(1, min(processes or os.cpu_count() or 1, len(requests) // WORTH_A_PROCESS))
    workers = [_Worker(seconds) for _ in range(count)]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def parse(request: Request) -> Parsed:
        worker = idle.get()
        try:
            return worker.parse(request)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(count, thread_name_prefix="lineage")
    try:
        return list(pool.map(parse, requests))
    finally:
        pool.shutdown(cancel_futures=True)
        for worker in workers:
            worker.stop()


class _Worker:
    """One process at a time; a new one when it had to be stopped."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.process: subprocess.Popen[bytes] | None = None

    def parse(self, request: Request) -> Parsed:
        line, seconds = self._ask(request)
        if line is None and seconds < self.seconds:
            # it may have been stopped by the clock of the query before; a second time it is this one's doing
            line, seconds = self._ask(request)
        if line is not None:
            return Parsed(References.from_json(line), seconds)
        in_time = seconds < self.seconds
        reason = "the process that parsed it ended" if in_time else f"takes longer than {self.seconds:g} seconds"
        dialect = dialect_of(request.adapter)
        return Parsed(References(Status.FAILED, dialect=dialect, reason=reason, is_final=False), seconds)

    def _ask(self, request: Request) -> tuple[str | None, float]:
        """The answer, or None where the process ended; and how long that took."""
        process = self.process = self.process or _start()
        line = json.dumps({**asdict(request), "seconds": self.seconds}).encode() + b"\n"
        began = time.monotonic()
        answer = _exchange(process, line, self.seconds)
        seconds = time.monotonic() - began
        if answer is None:
            self.stop()
        return answer, seconds

    def stop(self) -> None:
        """Ends the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-P", "-c", _RUN, json.dumps(sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if _exchange(process, b"", _START_SECONDS) != "ready":
        process.kill()
        process.communicate()
        raise RuntimeError(f"Could not start a process to parse queries: it ended with {process.returncode}.")
    return process


def _exchange(process: subprocess.Popen[bytes], line: bytes, seconds: float) -> str | None:
    """Sends a line and waits for one; after `seconds` the process is killed, and there is none."""
    if process.stdin is None or process.stdout is None:
        return None
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        process.stdin.write(line)
        process.stdin.flush()
        answer = process.stdout.readline()
    except OSError:
        return None
    finally:
        timer.cancel()
    return answer.decode().rstrip("\n") if answer.endswith(b"\n") else None
