"""How much of Mode's permitted rate a first load uses, and whether it is ever refused.

`python benchmarks/bench_rate.py [--reports 40] [--latency 0.3]`: a sandbox with Mode's real limit (40 requests in any
10 s) that takes that many seconds for every answer. Takes minutes.
The limit permits request n to come 10 s * ((n - 1) // 40) after the first; the share is that time of the last request,
over the time at which it came.
"""

import argparse
import os
import sys
import tempfile
import time

from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Sandbox, SandboxOptions, serve
from mode_dagster.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=40)
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--query-run-days", type=int, default=20)
    options = parser.parse_args()
    with serve(SandboxOptions(reports=options.reports, latency=options.latency)) as sandbox:
        print("| requests | refused (429) | first to last, s | whole load, s | share of the limit |")
        print("|--:|--:|--:|--:|--:|")
        refused, seconds = load_once(sandbox, options.query_run_days)
        sent = len(sandbox.requests)
        asking = sandbox.requests[-1].at - sandbox.requests[0].at
        print(f"| {sent} | {refused} | {asking:.1f} | {seconds:.1f} | {(sent - 1) // 40 * 10 / asking:.1%} |")


def load_once(sandbox: Sandbox, query_run_days: int) -> tuple[int, float]:
    settings = Settings(
        **sandbox.access,
        query_run_days=query_run_days,
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            DESTINATION__DUCKDB__CREDENTIALS=f"{folder}/mode_analytics.duckdb", DLT_DATA_DIR=f"{folder}/dlt"
        )
        pipeline = mode_pipeline()
        began = time.monotonic()
        with Sync(settings, pipeline=pipeline, say=lambda sentence: print(sentence, file=sys.stderr)) as sync:
            list(load(pipeline, sync))
            return sync.client.adapter.refused, time.monotonic() - began


if __name__ == "__main__":
    main()
