"""How much of Mode's permitted rate a first load uses, and whether it is ever refused.

`python benchmarks/bench_rate.py [--reports 40] [--latency 0.3]`: a sandbox in a process of its own, with Mode's real
limit (40 requests in any 10 s) and that many seconds for every answer; takes minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

PREFIX = "SOURCES__MODE_ANALYTICS_SOURCE__"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", default="40")
    parser.add_argument("--latency", default="0.3")
    parser.add_argument("--query-run-days", default="20")
    options = parser.parse_args()
    command = [sys.executable, "-m", "mode_dagster.cli", "sandbox", "--port", "0", "--reports", options.reports]
    with subprocess.Popen(
        [*command, "--latency", options.latency], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as sandbox:
        exports = [sandbox.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(4)]
        os.environ.update(dict(exports), **{PREFIX + "QUERY_RUN_DAYS": options.query_run_days})
        try:
            measure()
        finally:
            sandbox.terminate()


def measure() -> None:
    from mode_dagster.extract.pipeline import load, mode_pipeline
    from mode_dagster.extract.sync import Sync

    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            DESTINATION__DUCKDB__CREDENTIALS=f"{folder}/mode_analytics.duckdb", DLT_DATA_DIR=f"{folder}/dlt"
        )
        pipeline = mode_pipeline()
        began = time.monotonic()
        with Sync(pipeline=pipeline, say=lambda sentence: print(sentence, file=sys.stderr)) as sync:
            list(load(pipeline, sync))
            requests, refused = sync.client.requests, sync.client.refused
        seconds = time.monotonic() - began
    permitted = (requests - 40) / 4
    print("| requests | refused (429) | seconds | seconds that the limit permits | share |\n|--:|--:|--:|--:|--:|")
    print(f"| {requests} | {refused} | {seconds:.1f} | {permitted:.1f} | {permitted / seconds:.1%} |")


if __name__ == "__main__":
    main()
