"""The process that parses queries for `workers`: a request a line in, an answer a line out.

Here: the limits that a process can set itself.
Not here: parsing (`query`), the limit of time, which the parent watches (`workers`).
"""

import json
import logging
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import BinaryIO

from mode_dagster.lineage.query import References, parse_query

MEMORY = 2 * 1024**3
"""Bytes of address space: a text that grows without end gets a MemoryError, not the whole machine."""
RECURSION = 3_000
"""Frames; Python's own 1,000 are too few for an expression of a hundred brackets."""


def run() -> None:
    """Answers requests from standard input until there are no more."""
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may write between the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    limit_memory()
    sys.setrecursionlimit(RECURSION)
    # sqlglot warns of each statement that it only knows the first word of: `reason` says it
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    say(answers, "ready")
    for line in sys.stdin.buffer:
        say(answers, json.dumps(asdict(answer(json.loads(line)))))


def answer(request: dict[str, object]) -> References:
    """The answer to one request, which holds the arguments of `parse_query` and `seconds`."""
    seconds = float(str(request.pop("seconds")))
    # the parent watches the time; this is for when it is gone
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 2 * seconds + 1)
    try:
        return parse_query(**request)  # type: ignore[arg-type]
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def say(answers: BinaryIO, line: str) -> None:
    """Writes one line at once."""
    answers.write(line.encode() + b"\n")
    answers.flush()


def limit_memory() -> None:
    """Limits this process where the system can; Windows can't."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(ValueError, OSError):  # macOS refuses it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard < 0 else min(MEMORY, hard), hard))
