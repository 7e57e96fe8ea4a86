"""How many requests this project and its peers need for a first load and for the syncs after it.

`python benchmarks/bench_peers.py [--sizes 300,2756] [--loaders ours,plain,datahub] [--datahub-venv PATH]`

Three loaders read the same sandbox, each from an empty folder: this project, plain declarative dlt (`plain_dlt.py`)
and DataHub's Mode source, installed at the first use into a virtual environment of its own. Each loads three times:
first, again with nothing changed (the sandbox's clock stands still), and after the clock moved on until 1 % of the
reports were edited or had run.
Requests are counted by the sandbox; seconds are with every rate limit out of the way, minutes are what the requests
take at the 4 a second that Mode allows. No number is a gate; a loader that fails or lacks rows gets no numbers.
Both sizes take a quarter of an hour.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from mode_dagster.sandbox import Sandbox, SandboxOptions

DATAHUB = "acryl-datahub[mode]==1.7.0.17"
RUN_RECIPE = """
import sys
from datahub.configuration.config_loader import load_config_file
from datahub.ingestion.run.pipeline import Pipeline
pipeline = Pipeline.create(load_config_file(sys.argv[1]), report_to=None, no_progress=True)
pipeline.run()
pipeline.raise_from_status()
"""
"""What `datahub ingest` does, without its look for a newer version, which takes up to 3 seconds."""
UNLIMITED = 10_000_000
PREFIX = "SOURCES__MODE_ANALYTICS_SOURCE__"
TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
START = TODAY - timedelta(days=(TODAY.weekday() - 3) % 7 + 1)
"""Last Wednesday noon: a busy time, and near enough to now for `query_run_days` to leave nothing out."""
LOADED = ("reports", "queries", "charts", "runs", "query_runs")
ENOUGH = 0.98
"""How much of the truth has to be there; runs that are not over have no query runs yet."""
SHARE = 0.01
STEP = timedelta(minutes=1)
FOOTNOTES = """
Times ours: requests, divided by this project's in the same step. Refused: responses with 4xx, which Mode sends for what
a token may not read or what was deleted. What each loader reads:

- ours: every table of the endpoint catalogue, so besides reports, queries and charts also runs, query runs,
  filters, schedules, subscriptions, datasets, definitions, members, groups, permissions and the audit log;
- plain: collections, reports, queries, charts, runs, query runs, data sources;
- datahub: collections, reports, datasets, queries, charts, data sources, definitions and creators, and it parses
  the SQL for lineage (in its seconds); no runs, query runs, schedules, filters, subscriptions, groups, permissions
  or audit log. Personal collections are read too, as by the others; a deleted creator (404) is requested again
  each time.
"""


class Clock:
    """The sandbox's clock, which stands still unless it is set."""

    now = START

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Loader:
    name: str
    command: Callable[[Sandbox, Path], list[str]]
    held: Callable[[Path], dict[str, int]]
    """How many rows there are, by table, where the loader put them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="300,2756", help="how many reports, in turn")
    parser.add_argument("--loaders", default="ours,plain,datahub", help="of %(default)s; ours first, to compare with")
    parser.add_argument("--days", type=int, default=10, help="days of runs before the first load (%(default)s)")
    parser.add_argument("--datahub-venv", type=Path, default=Path.home() / ".cache/mode-dagster-datahub")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="file for what the loaders print")
    options = parser.parse_args()
    known = {loader.name: loader for loader in loaders(options.datahub_venv)}
    chosen = [known[name] for name in options.loaders.split(",")]
    if "datahub" in options.loaders.split(","):
        install_datahub(options.datahub_venv)
    print(f"Sandbox with {options.days} days of runs. DataHub: {DATAHUB}.\n")
    print("| loader | reports | what | requests | seconds | minutes at 4/s | times ours |")
    print("|---|--:|---|--:|--:|--:|--:|")
    with options.log.open("w") as log:
        for reports in map(int, options.sizes.split(",")):
            compare(chosen, SandboxOptions(reports, spaces_for(reports), days=options.days), log.fileno())
    print(FOOTNOTES)


def spaces_for(reports: int) -> int:
    """80 collections at 2,756 reports, as in the largest workspace that DataHub's issues tell of."""
    return 20 if reports < 1_000 else 80


def compare(chosen: list[Loader], size: SandboxOptions, log: int) -> None:
    ours: dict[str, int] = {}
    for loader in chosen:
        try:
            for step, (what, requests, refused, seconds) in enumerate(measured(loader, size, log)):
                ours |= {step: requests} if loader.name == "ours" else {}
                times = f"{requests / ours[step]:.1f}" if step in ours else "-"
                count = f"{requests:,} ({refused:,} refused)" if refused else f"{requests:,}"
                row = f"{what} | {count} | {seconds:.1f} | {requests / 240:.1f} | {times}"
                print(f"| {loader.name} | {size.reports:,} | {row} |", flush=True)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"| {loader.name} | {size.reports:,} | {error} | - | - | - | - |", flush=True)


def measured(loader: Loader, size: SandboxOptions, log: int) -> Iterator[tuple[str, int, int, float]]:
    """Each step's name, requests, how many of them got an error, and seconds; from an empty folder on."""
    clock = Clock()
    quiet = {"rate_limit_requests": UNLIMITED, "clock": clock}
    size = SandboxOptions(reports=size.reports, spaces=size.spaces, days=size.days, **quiet)
    with Sandbox(size) as sandbox, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield "first load", *once(loader, sandbox, folder, log)
        yield "nothing changed", *once(loader, sandbox, folder, log)
        moved = move(clock, sandbox)
        yield f"{moved:.1%} changed, {clock.now - START} later", *once(loader, sandbox, folder, log)


def once(loader: Loader, sandbox: Sandbox, folder: Path, log: int) -> tuple[int, int, float]:
    sandbox.requests.clear()
    began = time.monotonic()
    done = subprocess.run(
        loader.command(sandbox, folder),
        env={**os.environ, **settings(sandbox, folder)},
        cwd=folder,
        stdout=log,
        stderr=log,
        timeout=3_600,
    )
    seconds, requests = time.monotonic() - began, len(sandbox.requests)
    if done.returncode:
        raise RuntimeError(f"failed after {requests} requests: exit code {done.returncode}")
    for table, rows in loader.held(folder).items():
        if rows < ENOUGH * (truth := len(sandbox.world.truth(table))):
            raise RuntimeError(f"holds {rows} of {truth} {table}")
    return requests, sum(request.status >= 400 for request in sandbox.requests), seconds


def settings(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    return {
        **{PREFIX + name.upper(): value for name, value in sandbox.access.items()},
        PREFIX + "RATE_LIMIT_REQUESTS": str(UNLIMITED),
        "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "mode_analytics.duckdb"),
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DATAHUB_TELEMETRY_ENABLED": "false",
        "HOME": str(folder),
    }


def move(clock: Clock, sandbox: Sandbox) -> float:
    """Lets time pass until enough reports were edited or had run; returns which share of them did."""
    before, share = versions(sandbox), 0.0
    while share < SHARE:
        clock.now += STEP
        now = versions(sandbox)
        share = sum(before.get(token) != version for token, version in now.items()) / len(now)
    return share


def versions(sandbox: Sandbox) -> dict[str, tuple[datetime, datetime | None]]:
    """Each report's `edited_at` and `last_run_at`, as its row in the listing would have them."""
    moment, history = sandbox.world.moment(), sandbox.world.history
    return {
        report.token: (
            history.edited_at(report, history.revision(report, moment.now)),
            next((run.created_at for run in moment.runs(report)), None),
        )
        for report in moment.reports
    }


def loaders(datahub: Path) -> tuple[Loader, ...]:
    plain = str(Path(__file__).with_name("plain_dlt.py"))
    return (
        Loader("ours", lambda *_: [sys.executable, "-m", "mode_dagster.extract"], tables),
        Loader("plain", lambda *_: [sys.executable, plain], tables),
        Loader("datahub", lambda *where: [str(datahub / "bin/python"), "-c", RUN_RECIPE, recipe(*where)], entities),
    )


def tables(folder: Path) -> dict[str, int]:
    with duckdb.connect(str(folder / "mode_analytics.duckdb"), read_only=True) as database:
        return {name: database.table(f"mode_analytics_data.{name}").shape[0] for name in LOADED}


def entities(folder: Path) -> dict[str, int]:
    text = (folder / "datahub.json").read_text()
    kinds = {"reports": "dashboard", "charts": "chart"}
    return {name: len(set(re.findall(rf"urn:li:{kind}:\(mode,\w+\)", text))) for name, kind in kinds.items()}


def recipe(sandbox: Sandbox, folder: Path) -> str:
    config = {
        "connect_uri": sandbox.base_url.removesuffix("/api"),
        "workspace": sandbox.workspace,
        "token": sandbox.username,
        "password": sandbox.password,
        "max_threads": 8,
        "exclude_personal_collections": False,
        "api_options": {"requests_per_minute": UNLIMITED},
    }
    sink = {"type": "file", "config": {"filename": str(folder / "datahub.json")}}
    path = folder / "recipe.json"
    path.write_text(json.dumps({"source": {"type": "mode", "config": config}, "sink": sink}))
    return str(path)


def install_datahub(folder: Path) -> None:
    marker = folder / "installed"
    if not (marker.is_file() and marker.read_text() == DATAHUB):
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-qq", DATAHUB], check=True)
        marker.write_text(DATAHUB)


if __name__ == "__main__":
    main()
