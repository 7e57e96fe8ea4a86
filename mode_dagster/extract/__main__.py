"""Loads Mode without Dagster: `python -m mode_dagster.extract [table …]`.

Prints dlt's own load info; ends with exit code 1 if any table could not be read.
"""

import argparse
import sys

from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import ModeError
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync


def main(arguments: list[str] | None = None) -> int:
    """Runs one load; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mode_dagster.extract", description="Load Mode without Dagster.")
    parser.add_argument("tables", nargs="*", choices=[[], *BY_NAME], help="tables to load; all without any")
    parser.add_argument("--reconcile", action="store_true", help="read everything, whether it moved or not")
    parser.add_argument("--accept-shrunk", nargs="+", default=[], metavar="TABLE", help="listings that may be shorter")
    options = parser.parse_args(arguments)
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
            for info in load(pipeline, sync, options.tables):
                print(info)
        except ModeError as error:
            print(error, file=sys.stderr)
            return 1
        for name, failure in sync.failures.items():
            print(f"{name} was not loaded completely. {failure}", file=sys.stderr)
        return 1 if sync.failures else 0


if __name__ == "__main__":
    sys.exit(main())
