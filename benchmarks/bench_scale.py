"""What a large workspace costs: requests and rows on paper, the same counted by a sandbox, and the memory of a load.

`python benchmarks/bench_scale.py [--reports 3000] [--memory 3000,30000] [--page docs/scale.md]`

With `--reports`, a sandbox of that size is loaded in every listing, and what it was asked is compared with what the
formulas say of it. With `--memory`, a first load and a sync after it, each in a process of its own. With `--page`, the
tables of that page are written anew; they are computed, and take no time.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mode_dagster.extract.client import PAGE, SMALLEST_PAGE
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint, Listing, Pager
from mode_dagster.extract.ledger import is_listing
from mode_dagster.extract.limiter import WINDOW_MARGIN
from mode_dagster.extract.plan import duration
from mode_dagster.sandbox import Sandbox, SandboxOptions
from mode_dagster.sandbox.records import Report

PER_SECOND = 40 / (10 * WINDOW_MARGIN)
BATCH_PAGE = 1_000
AUDIT_PAGE = 100
BEGIN, END = "<!-- begin: bench_scale.py --page -->", "<!-- end -->"
NOON = datetime(2026, 6, 17, 12, 20, tzinfo=UTC)
UNLIMITED = 100_000_000
PREFIX = "SOURCES__MODE_ANALYTICS_SOURCE__"
SIGNATURE = "signature token"

Lists = Counter[tuple[int, bool]]
"""How many lists of a table are asked for, by their rows and whether the parent's counter says how many those are."""


@dataclass(frozen=True)
class Workspace:
    """What there is to be read in a first load."""

    lists: Mapping[str, Lists]
    """By table; those that a counter says are empty are not among them."""
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Habits:
    """What a workspace is like; the tables of the page are for these numbers."""

    reports_per_space: int = 35
    queries_per_report: int = 3
    charts_per_query: float = 1.2
    filters_per_report: int = 1
    scheduled: float = 0.6
    """Share of the reports with a schedule; as many have a subscription."""
    runs_per_day: float = 0.6
    """Of a report."""
    edits_per_day: float = 1 / 60
    """Of a report."""
    days: int = 365
    """Of runs and audit events that are read."""
    query_run_days: int = 30
    people_per_report: float = 0.1
    events_per_day: float = 0.5
    """Audit events of a report."""


def pages(pager: Pager, rows: int, is_counted: bool, batch: bool = False) -> int:
    """Requests for one list."""
    full = math.ceil(rows / (BATCH_PAGE if batch else AUDIT_PAGE if pager is Pager.CURSOR else PAGE))
    if pager is Pager.WHOLE:
        # a page that may be full is not taken for the last one
        return max(1, full) + ((rows - 1) % PAGE + 1 >= SMALLEST_PAGE if rows else 0)
    if pager is Pager.UNSEEN:
        # without a counter, an empty page tells that the list has ended
        return max(1, full) if is_counted or not rows else full + 1
    if pager is Pager.NEXT:
        # a first page that names no next one may come from a server that never does
        return 2 if full == 1 else max(1, full)
    return 1 if pager in (Pager.SINGLE, Pager.OBJECT) else max(1, full)


def first_load(workspace: Workspace, listing: Listing) -> dict[str, int]:
    """Requests of a first load, by table."""
    asked = {endpoint.name: requests_of(endpoint, workspace, listing) for endpoint in ENDPOINTS}
    if listing is Listing.DISCOVERY:
        asked[SIGNATURE] = 1
    return {name: requests for name, requests in asked.items() if requests}


def requests_of(endpoint: Endpoint, workspace: Workspace, listing: Listing) -> int:
    route = endpoint.route(listing)
    if route is None:
        return 0
    lists = workspace.lists.get(endpoint.name, Counter())
    if route.parent is None:  # one list of the whole workspace
        lists = Counter([(workspace.rows.get(endpoint.name, 0), False)])
    return sum(times * pages(route.pager, rows, counted, route.batch) for (rows, counted), times in lists.items())


def unchanged(workspace: Workspace, listing: Listing) -> int:
    """Requests of a sync that finds nothing changed: its listings, and of the audit log a page."""
    listings = [endpoint.name for endpoint in ENDPOINTS if is_listing(endpoint, listing)]
    asked = first_load(workspace, listing)
    return sum(asked.get(name, 0) for name in (*listings, SIGNATURE)) - asked["audit_logs"] + 1


def hourly(reports: int, habits: Habits, workspace: Workspace, listing: Listing) -> int:
    """Requests of a sync an hour after the last: the listings, and the lists of what ran or was edited."""
    run = 2 + 2 * habits.scheduled
    edit = 2 + 2 * habits.scheduled + habits.queries_per_report
    if listing is not Listing.COLLECTIONS:
        edit -= 1 + habits.queries_per_report
    changed = reports * (habits.runs_per_day * run + habits.edits_per_day * edit) / 24
    return unchanged(workspace, listing) + math.ceil(changed)


def typical(reports: int, habits: Habits, listing: Listing) -> Workspace:
    """A workspace of those habits, with everything spread evenly over the reports."""
    spaces, has_counters = reports // habits.reports_per_space, listing is not Listing.DISCOVERY
    queries, scheduled = reports * habits.queries_per_report, int(reports * habits.scheduled)
    runs, people = round(habits.runs_per_day * habits.days), int(reports * habits.people_per_report)
    looked_into = round(habits.runs_per_day * min(habits.query_run_days, habits.days))
    unscheduled: Lists = Counter() if has_counters else Counter({(0, False): reports - scheduled})
    lists: dict[str, Lists] = {
        "reports": Counter({(habits.reports_per_space, False): spaces}),
        "queries": Counter({(habits.queries_per_report, True): reports}),
        "charts": Counter({(1, True): queries}),
        "report_filters": Counter({(habits.filters_per_report, False): reports}),
        "runs": Counter({(runs, True): reports}),
        "query_runs": Counter({(habits.queries_per_report, False): reports * looked_into}),
        "report_schedules": Counter({(1, has_counters): scheduled}) + unscheduled,
        "report_subscriptions": Counter({(1, False): scheduled}) + unscheduled,
        "datasets": Counter({(0, False): spaces}),
        "space_memberships": Counter({(2, False): spaces}),
        "space_permissions": Counter({(2, False): spaces}),
        "users": Counter({(1, False): people}),
    }
    rows = {name: sum(size * times for (size, _), times in found.items()) for name, found in lists.items()}
    alone = {"spaces": spaces, "reports": reports, "report_stats": reports, "memberships": people, "members": people}
    few = {"workspaces": 1, "data_sources": 20, "definitions": 20, "groups": 20}
    charts, events = int(queries * habits.charts_per_query), int(reports * habits.events_per_day * habits.days)
    return Workspace(lists, {**rows, **alone, **few, "charts": charts, "audit_logs": events})


def found_in(sandbox: Sandbox, listing: Listing) -> Workspace:
    """What a sandbox has, list by list; what its clock says now."""
    moment, history = sandbox.world.moment(), sandbox.world.history
    reports, datasets, spaces = moment.reports, history.datasets, history.spaces

    def has(counter: str, owner: Report) -> bool:
        """Whether the row of a report or dataset has a counter: Mode leaves some out, Discovery all."""
        if owner.is_dataset:
            return counter != "chart_count"
        every, place = {"chart_count": (7, 2), "runs_count": (9, 4), "schedules_count": (11, 5)}[counter]
        return listing is not Listing.DISCOVERY and owner.index % every != place

    def of(owners: Iterable, rows: Callable, counter: str = "") -> Lists:
        found = [(len(rows(owner)), bool(counter) and has(counter, owner)) for owner in owners]
        return Counter(one for one in found if one != (0, True))

    children: dict[str, Lists] = {
        "reports": of(spaces, moment.space_reports),
        "datasets": of(spaces, moment.space_datasets),
        "space_memberships": of(spaces, moment.space_memberships),
        "space_permissions": of(spaces, moment.space_permissions),
        "queries": Counter(
            (len(moment.queries(owner)), True) for owner in (*reports, *datasets) if moment.queries(owner)
        ),
        "charts": Counter(
            (len(moment.charts(query)), True)
            for owner in (*reports, *datasets)
            if not has("chart_count", owner) or any(moment.charts(query) for query in moment.queries(owner))
            for query in moment.queries(owner)
        ),
        "report_filters": of(reports, moment.filters),
        "runs": of(reports, moment.runs, "runs_count"),
        "query_runs": Counter((len(moment.query_runs(run)), False) for each in reports for run in moment.runs(each)),
        "report_schedules": of(reports, moment.schedules, "schedules_count"),
        "report_subscriptions": Counter(
            (len(moment.subscriptions(each)), False)
            for each in reports
            if each.schedule_count or not has("schedules_count", each)
        ),
        "dataset_runs": of(datasets, moment.runs, "runs_count"),
        "dataset_schedules": of(datasets, moment.schedules, "schedules_count"),
        "dataset_fields": of(datasets, moment.fields),
        "dataset_field_descriptions": of(datasets, moment.fields),
        "group_memberships": Counter((len(group.members), True) for group in history.groups if group.members),
        "users": Counter({(1, False): len(history.authors)}),
    }
    return Workspace(children, {name: len(sandbox.world.rows(name)) for name in BY_NAME})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=0, help="compare with sandboxes of so many reports")
    parser.add_argument("--memory", default="", help="measure loads of so many reports, as 3000,30000")
    parser.add_argument("--page", type=Path, help="the page to renew")
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load_once()
    if options.reports:
        check(options.reports)
    if options.memory:
        measure([int(reports) for reports in options.memory.split(",")])
    if options.page:
        options.page.write_text(renewed(options.page.read_text()))


def renewed(page: str) -> str:
    """The page with its tables as they are computed now."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{rest.split(END)[1]}"


def tables() -> str:
    shapes = {
        "the defaults": Habits(),
        "`history_days = 30`, `query_run_days = 1`": Habits(days=30, query_run_days=1),
    }
    lines = [
        "| settings | listing | reports | first load | hours | rows | nothing changed | an hour later | takes |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, habits in shapes.items():
        for listing in Listing:
            lines += [f"| {name} | {listing} | {row}" for row in rows_of(habits, listing)]
    return "\n".join(lines) + "\n"


def rows_of(habits: Habits, listing: Listing) -> Iterator[str]:
    for reports in (1_000, 10_000, 100_000):
        workspace = typical(reports, habits, listing)
        requests = sum(first_load(workspace, listing).values())
        later = hourly(reports, habits, workspace, listing)
        numbers = [requests, requests / PER_SECOND / 3600, sum(workspace.rows.values()), unchanged(workspace, listing)]
        cells = [f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for value in [reports, *numbers, later]]
        yield f"{' | '.join(cells)} | {duration(later / PER_SECOND)} |"


def check(reports: int) -> None:
    """Counts a first load of a sandbox in each listing, beside the formulas."""
    print("| listing | reports | formulas | sandbox counted |\n|---|--:|--:|--:|")
    for listing in Listing:
        quiet = {"rate_limit_requests": UNLIMITED, "clock": lambda: NOON, "flat": listing is Listing.WORKSPACE}
        size = SandboxOptions(reports, max(4, reports // 35), days=3, **quiet)
        with Sandbox(size) as sandbox, tempfile.TemporaryDirectory() as folder:
            said = sum(first_load(found_in(sandbox, listing), listing).values())
            settings = {**sandbox.access, "listing": listing, "query_run_days": "0"}
            loaded({PREFIX + name.upper(): value for name, value in settings.items()}, Path(folder))
            print(f"| {listing} | {reports:,} | {said:,} | {len(sandbox.requests):,} |", flush=True)


def measure(sizes: Iterable[int]) -> None:
    """Peak memory of a first load, and of the sync after it, in which next to nothing has changed."""
    print("| reports | what | requests | seconds | before, MB | peak, MB | file, MB |\n|--:|---|--:|--:|--:|--:|--:|")
    for reports in sizes:
        size = ["--reports", str(reports), "--spaces", str(reports // 35), "--days", "1", "--requests", str(UNLIMITED)]
        command = [sys.executable, "-m", "mode_dagster.cli", "sandbox", "--port", "0", *size]
        with (
            tempfile.TemporaryDirectory() as folder,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as served,
        ):
            exports = [served.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(4)]
            try:
                for what in ("first load", "the sync after it"):
                    cells = loaded(dict(exports), Path(folder))
                    print(f"| {reports:,} | {what} | {' | '.join(f'{cell:,}' for cell in cells)} |", flush=True)
            finally:
                served.terminate()


def loaded(settings: Mapping[str, str], folder: Path) -> tuple[int, int, int, int, int]:
    """Loads in a process of its own; gives requests, seconds, MB before, MB at most, MB of the file."""
    file = folder / "mode_analytics.duckdb"
    shutil.copytree(Path(__file__).parents[1] / ".dlt", folder / ".dlt", dirs_exist_ok=True)
    environment = {
        **os.environ,
        **settings,
        PREFIX + "RATE_LIMIT_REQUESTS": str(UNLIMITED),
        "DESTINATION__DUCKDB__CREDENTIALS": str(file),
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "MALLOC_ARENA_MAX": "2",  # as Makefile and deploy/ set it, and the next
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    command = [sys.executable, __file__, "--load"]
    done = subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return (*json.loads(done.stdout.splitlines()[-1]), round(file.stat().st_size / 1e6))


def load_once() -> None:
    """What a process of `loaded` does."""
    import resource
    import time

    from mode_dagster.extract.pipeline import load, mode_pipeline
    from mode_dagster.extract.sync import Sync

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    before, began, pipeline = peak(), time.monotonic(), mode_pipeline()
    with Sync(pipeline=pipeline) as sync:
        for info in load(pipeline, sync):
            info.raise_on_failed_jobs()
    print(json.dumps([sync.requests, round(time.monotonic() - began), before, peak()]))


if __name__ == "__main__":
    main()
