"""Loads Mode without Dagster: `python -m mode_dagster.extract [table …]`.

Reads `.env` of the current folder first. Prints dlt's own load info; ends with exit code 1 if any table could not be
read.
"""

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dotenv import load_dotenv
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import ModeError
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync

INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended, as shells know it."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one load; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mode_dagster.extract", description="Load Mode without Dagster.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="tables to load; all without any")
    parser.add_argument("--reconcile", action="store_true", help="read everything, whether it moved or not")
    parser.add_argument(
        "--accept-shrunk",
        nargs="+",
        default=[],
        metavar="TABLE",
        choices=[name for name, endpoint in BY_NAME.items() if not endpoint.history],
        help="listings that may be shorter",
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.tables if name not in BY_NAME]:
        parser.error(f"no such table: {', '.join(unknown)} (choose from {', '.join(BY_NAME)})")
    # as `dagster` and `mode-dagster` do: it wins over the environment
    load_dotenv(Path.cwd() / ".env", override=True)
    try:
        pipeline = mode_pipeline()
    except ModeError as error:
        print(error, file=sys.stderr)
        return 1
    with Sync(
        pipeline=pipeline,
        reconcile=options.reconcile,
        accept_shrunk=options.accept_shrunk,
        isolate=True,
        say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
    ) as sync:
        try:
            with _progress_bar(sync):
                for info in load(pipeline, sync, options.tables or None):
                    if info.loads_ids:  # a last part may bring nothing
                        print(info)
        except ModeError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("Stopped. What was loaded stays, and the next sync goes on from there.", file=sys.stderr)
            return INTERRUPTED
        for name, tally in sync.tallies.items():
            if tally.skipped:
                print(f"{name}: {'; '.join(filter(None, [tally.refused, tally.note]))}", file=sys.stderr)
        if sync.is_spent():
            print("Stopped at max_requests; the next sync goes on from there.", file=sys.stderr)
        for name, failure in sync.failures.items():
            print(f"{name} was not loaded completely. {failure}", file=sys.stderr)
        return 1 if sync.failures else 0


@contextmanager
def _progress_bar(sync: Sync) -> Iterator[None]:
    """Requests done of those planned, with the time left; on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    columns = (TextColumn("requests"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("requests", total=None)

        def follow() -> None:
            while not done.wait(0.5):
                progress.update(task, completed=sync.requests, total=sync.requests_planned)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


if __name__ == "__main__":
    sys.exit(main())
