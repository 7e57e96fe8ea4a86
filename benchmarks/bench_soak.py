"""Days of hourly syncs of a workspace that lives: are the tables right every day, and does anything creep?

`python benchmarks/bench_soak.py [--reports 1000] [--days 30] [--every 1]`

One sandbox whose clock is driven, and one process that syncs again and again, which shows a leak sooner than a new
process for each sync, as Dagster starts it. Once a day every table is compared with what Mode has; a difference is
the end.
The rate limit is out of the way. The whole takes hours; `--every` is the time between syncs, in hours.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.sandbox import Sandbox, SandboxOptions

SCHEMA = "mode_analytics_data"
START = datetime(2026, 6, 1, tzinfo=UTC)
"""A Monday."""
UNLIMITED = 100_000_000
PREFIX = "SOURCES__MODE_ANALYTICS_SOURCE__"
BOOKKEEPING = ("_dlt_loads", "_dlt_pipeline_state", "_dlt_version")
COLUMNS = {
    "day": "day",
    "changed": "lists that changed",
    "requests": "requests",
    "listing": "of them listings",
    "quiet": "least",
    "seconds": "seconds a sync",
    "file": "file MB",
    "rss": "memory MB",
    "loads": "`_dlt_loads`",
    "states": "`_dlt_pipeline_state`",
    "versions": "`_dlt_version`",
    "folder": "dlt's folder kB",
    "packages": "packages kept",
}


class Clock:
    """The sandbox's time, which stands still unless it is set."""

    now = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Synced:
    """What one sync did; `changed` are lists that were read below the listings."""

    requests: int
    changed: int
    listing: int
    seconds: float
    rss: float


@dataclass
class Day:
    """What is printed of one day."""

    day: int
    changed: int
    requests: int
    listing: int
    quiet: int
    """Requests of the day's cheapest sync."""
    seconds: float
    file: float
    rss: float
    loads: int
    states: int
    versions: int
    folder: int
    packages: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--every", type=int, default=1, help="hours between two syncs")
    options = parser.parse_args()
    spaces = max(4, options.reports // 35)
    print(f"{options.reports:,} reports in {spaces} collections, a sync every {options.every} h.\n")
    print(f"| {' | '.join(COLUMNS.values())} |\n|{'--:|' * len(COLUMNS)}", flush=True)
    clock = Clock()
    size = SandboxOptions(
        options.reports, spaces, epoch=START - timedelta(days=10), rate_limit_requests=UNLIMITED, clock=clock
    )
    with Sandbox(size) as sandbox, tempfile.TemporaryDirectory() as folder, Loader(sandbox, Path(folder)) as loader:
        for day in range(options.days + 1):
            print(row(one_day(day, options.every, clock, sandbox, loader)), flush=True)


def one_day(day: int, every: int, clock: Clock, sandbox: Sandbox, loader: "Loader") -> Day:
    """The syncs of a day; day 0 is the first load."""
    syncs = []
    for hour in range(every, 25, every) if day else (0,):
        clock.now = START + timedelta(days=max(day - 1, 0), hours=hour)
        syncs.append(loader.sync(clock.now))
        sandbox.requests.clear()
    compare(loader.file, sandbox)
    with duckdb.connect(str(loader.file), read_only=True) as database:
        loads, states, versions = (database.table(f"{SCHEMA}.{table}").shape[0] for table in BOOKKEEPING)
    files = [path for path in loader.pipelines.rglob("*") if path.is_file()]
    return Day(
        day=day,
        changed=sum(sync.changed for sync in syncs),
        requests=sum(sync.requests for sync in syncs),
        listing=sum(sync.listing for sync in syncs),
        quiet=min(sync.requests for sync in syncs),
        seconds=sum(sync.seconds for sync in syncs) / len(syncs),
        file=loader.file.stat().st_size / 1e6,
        rss=syncs[-1].rss,
        loads=loads,
        states=states,
        versions=versions,
        folder=sum(path.stat().st_size for path in files) // 1_000,
        packages=len(list(loader.pipelines.glob("pipelines/*/load/loaded/*"))),
    )


def row(day: Day) -> str:
    cells = (f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for value in asdict(day).values())
    return f"| {' | '.join(cells)} |"


def compare(file: Path, sandbox: Sandbox) -> None:
    """Every table holds what Mode has, each row once: what is gone is marked, history stays."""
    with duckdb.connect(str(file), read_only=True) as database:
        for endpoint in ENDPOINTS:
            if endpoint.rest is None:
                continue
            live = "" if endpoint.history else "WHERE deleted_at IS NULL"
            rows = database.execute(f"SELECT {', '.join(endpoint.key)} FROM {SCHEMA}.{endpoint.name} {live}").fetchall()
            held = Counter(found[0] if len(endpoint.key) == 1 else found for found in rows)
            truth = truth_of(sandbox, endpoint.name)
            lacks, extra = truth - held.keys(), held.keys() - truth
            # history outlives its report, and people are those who were ever met
            extra = set() if endpoint.history or endpoint.name == "users" else extra
            if lacks or extra or max(held.values(), default=1) > 1:
                raise SystemExit(f"{endpoint.name}: {len(lacks)} rows are lacking, {len(extra)} too many")


def truth_of(sandbox: Sandbox, table: str) -> set[object]:
    """What Mode has; of query runs those of finished runs, the others are read when their run has finished."""
    if table != "query_runs":
        return sandbox.world.truth(table)
    moment, history = sandbox.world.moment(), sandbox.world.history
    runs = (run for report in moment.reports for run in history.runs(report, moment.now))
    return {query.token for run in runs if run.ended_at <= moment.now for query in moment.query_runs(run)}


class Loader:
    """The process that syncs; it is told the time and tells what a sync cost."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.file, self.pipelines = folder / "mode_analytics.duckdb", folder / "dlt"
        settings = {
            **{PREFIX + name.upper(): value for name, value in sandbox.access.items()},
            PREFIX + "RATE_LIMIT_REQUESTS": str(UNLIMITED),
            PREFIX + "QUERY_RUN_DAYS": "0",
            "DESTINATION__DUCKDB__CREDENTIALS": str(self.file),
            "DLT_DATA_DIR": str(self.pipelines),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        context = get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve_syncs, args=(theirs, settings), daemon=True)
        self._process.start()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def sync(self, now: datetime) -> Synced:
        self._ours.send(now)
        while not self._ours.poll(1):
            if not self._process.is_alive():
                raise SystemExit("the sync has failed")
        return self._ours.recv()


def serve_syncs(pipe: Connection, settings: dict[str, str]) -> None:
    """In a process of its own: one sync for each time that is sent."""
    os.environ |= settings
    from mode_dagster.extract.ledger import is_listing
    from mode_dagster.extract.pipeline import load, mode_pipeline
    from mode_dagster.extract.sync import Sync

    while True:
        now, began = pipe.recv(), time.monotonic()
        pipeline = mode_pipeline()
        with Sync(pipeline=pipeline, clock=lambda now=now: now) as sync:
            for info in load(pipeline, sync):
                info.raise_on_failed_jobs()
            listing = [e.name for e in ENDPOINTS if is_listing(e, sync.settings.listing)]
            asked = sync.client.adapter.sent
            synced = Synced(
                requests=sync.requests,
                changed=sum(tally.lists + tally.empty for name, tally in sync.tallies.items() if name not in listing),
                listing=sum(asked.get(name, 0) for name in listing),
                seconds=time.monotonic() - began,
                rss=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
            )
        pipe.send(synced)


assert [field.name for field in fields(Day)] == list(COLUMNS)


if __name__ == "__main__":
    main()
