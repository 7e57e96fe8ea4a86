"""How long a full load takes with the rate limit out of the way, and where the time goes.

`python benchmarks/bench_full_load.py [--reports 300]`: a sandbox in a process of its own, then the same load through
Dagster, through dlt alone, and the requests alone.
A baseline to compare within one run, not a gate.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

PREFIX = "SOURCES__MODE_ANALYTICS_SOURCE__"
REQUESTS_ALONE = """
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.sync import Sync
with Sync() as sync:
    for name in BY_NAME:
        for page in sync.pages(name, frozenset()):
            pass
    print(sync.client.requests)
"""
WAYS = {
    "Dagster job": ["-m", "dagster", "job", "execute", "-m", "mode_dagster.definitions", "-j", "mode_sync"],
    "dlt alone": ["-m", "mode_dagster.extract"],
    "requests alone": ["-c", REQUESTS_ALONE],
    "import of the definitions": ["-c", "import mode_dagster.definitions"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=300)
    parser.add_argument("--spaces", type=int, default=20)
    options = parser.parse_args()
    size = ["--reports", str(options.reports), "--spaces", str(options.spaces)]
    command = [sys.executable, "-m", "mode_dagster.cli", "sandbox", "--port", "0", "--requests", "1000000", *size]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sandbox:
        exports = [sandbox.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(4)]
        try:
            compare(dict(exports))
        finally:
            sandbox.terminate()


def compare(settings: dict[str, str]) -> None:
    print("| way | seconds | share of the job | peak MB |\n|---|--:|--:|--:|")
    whole = None
    for name, command in WAYS.items():
        seconds, peak = timed(command, settings)
        whole = whole or seconds
        print(f"| {name} | {seconds:.1f} | {seconds / whole:.0%} | {peak:.0f} |", flush=True)


def timed(command: list[str], settings: dict[str, str]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            **settings,
            PREFIX + "RATE_LIMIT_REQUESTS": "1000000",
            "DESTINATION__DUCKDB__CREDENTIALS": f"{folder}/mode_analytics.duckdb",
            "DLT_DATA_DIR": f"{folder}/dlt",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        environment.pop("DAGSTER_HOME", None)
        began = time.monotonic()
        done = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(done.pid, 0)
        if status:
            raise SystemExit(f"{command} failed")
        unit = 1024 if sys.platform != "darwin" else resource.getpagesize() * 256
        return time.monotonic() - began, usage.ru_maxrss / unit


if __name__ == "__main__":
    main()
