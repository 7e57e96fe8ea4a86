"""Days of a workspace in short: each sync is right, costs what changed, and leaves nothing behind.

`benchmarks/bench_soak.py` does the same at full size.
"""

from collections import Counter
from typing import Any

import pytest

from mode_dagster.extract.client import PAGE
from mode_dagster.extract.endpoints import FINISHED
from mode_dagster.extract.pipeline import KEPT_PACKAGES
from mode_dagster.sandbox import Sandbox
from mode_dagster.sandbox.shapes import SHAPES

pytestmark = pytest.mark.slow

SYNCS = 3
HOURS_BETWEEN = 7
"""No divisor of a day, so that each hour of it has its turn."""


class Seen:
    """What a sync could see of the workspace: reports and datasets as they are listed, and all runs' states."""

    def __init__(self, world: Sandbox) -> None:
        moment = world.world.moment()
        self.reports = {report.token: SHAPES["reports"](moment, report) for report in moment.reports}
        self.datasets = {each.token: SHAPES["datasets"](moment, each) for each in moment.history.datasets}
        owners = (*moment.reports, *moment.history.datasets)
        self.queries = {owner.token: len(moment.queries(owner)) for owner in owners}
        self.schedules = {owner.token: owner.schedule_count for owner in owners}
        self.states = {
            owner.token: {run.token: run.state(moment.now) for run in moment.runs(owner)} for owner in owners
        }
        self.listed: dict[str, dict[str, Any]] = {**self.reports, **self.datasets}

    def moved_since(self, before: "Seen", *fields: str) -> set[str]:
        """What is new, or says anything else in one of the fields than before."""
        return {
            token
            for token, row in self.listed.items()
            if token not in before.listed or any(row.get(name) != before.listed[token].get(name) for name in fields)
        }

    def ran_since(self, before: "Seen") -> set[str]:
        """What ran, or was running."""
        was_open = {
            token for token, states in before.states.items() if any(state not in FINISHED for state in states.values())
        }
        moved = self.moved_since(before, "last_run_at", "runs_count") | (was_open & self.listed.keys())
        return {token for token in moved if self.listed[token].get("runs_count") != 0}

    def cost_since(self, before: "Seen") -> Counter[str]:
        """The requests that it takes to read what changed, by the last word of their paths."""
        edited = self.moved_since(before, "edited_at", "last_saved_at", "query_count", "chart_count")
        touched = self.moved_since(before, "updated_at", "schedules_count")
        scheduled = [token for token in touched if self.listed[token].get("schedules_count") != 0]
        return +Counter(
            {
                "queries": sum(self.listed[token]["query_count"] != 0 for token in edited),
                "charts": sum(self.queries[token] for token in edited if self.listed[token].get("chart_count") != 0),
                "filters": len(edited & self.reports.keys()),
                "runs": sum(
                    -(-max(1, len(self.fresh_runs(token, before))) // PAGE) for token in self.ran_since(before)
                ),
                "query_runs": sum(self.runs_to_look_into(token, before) for token in self.reports),
                "schedules": sum(map(self.pages_of_schedules, scheduled)),
                "subscriptions": len(self.reports.keys() & scheduled),
            }
        )

    def fresh_runs(self, token: str, before: "Seen") -> set[str]:
        return self.states[token].keys() - before.states.get(token, {}).keys()

    def runs_to_look_into(self, token: str, before: "Seen") -> int:
        """Runs that finished; of a report that is new, all."""
        if token not in before.states:
            return len(self.states[token])
        old = before.states[token]
        return sum(state in FINISHED and old.get(run) not in FINISHED for run, state in self.states[token].items())

    def pages_of_schedules(self, token: str) -> int:
        """A list that has as many rows as the counter says ends there; else an empty page tells that it has ended."""
        count = self.schedules[token]
        has_counter = "schedules_count" in self.listed[token]
        return -(-count // PAGE) + (0 if has_counter and count else 1)


def requests_below_listings(world: Sandbox) -> Counter[str]:
    names = ("queries", "charts", "filters", "runs", "query_runs", "schedules", "subscriptions")
    asked = Counter(request.path.rsplit("/", 1)[-1] for request in world.requests)
    return +Counter({name: asked[name] for name in names})


def test_each_sync_of_some_days_is_right_and_costs_what_changed(world, clock, load_from, assert_true, query):
    load_from(world)
    changes = 0
    for number in range(SYNCS):
        before = Seen(world)
        clock.pass_by(hours=HOURS_BETWEEN)
        world.requests.clear()
        load_from(world)
        asked = requests_below_listings(world)
        assert asked == Seen(world).cost_since(before), f"sync {number}"
        assert_true(world)
        changes += asked.total()
    assert changes > SYNCS
    # one load of the listings and one of what changed; rows name the loads that they came with
    assert query("SELECT count(*) FROM mode_analytics_data._dlt_loads") == [(2 * (SYNCS + 1),)]
    assert query("SELECT count(*) FROM mode_analytics_data._dlt_pipeline_state") == [(1,)]


def test_dlt_keeps_a_bounded_number_of_old_loads_in_its_folder(world, load_from, query, tmp_path):
    load_from(world, "spaces")
    (folder,) = tmp_path.glob("dlt/pipelines/*/load/loaded")
    old = [f"10000000{number}.5" for number in range(10, 30)]
    for load_id in old:
        (folder / load_id / "completed_jobs").mkdir(parents=True)
    load_from(world, "spaces")
    loads = query("SELECT load_id FROM mode_analytics_data._dlt_loads ORDER BY load_id")
    (first, second) = (load_id for (load_id,) in loads)
    assert sorted(path.name for path in folder.iterdir()) == [*old[1 - KEPT_PACKAGES :], first, second]
