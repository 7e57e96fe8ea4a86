"""What docs/scale.md says of large workspaces: the tables are computed, and a sandbox is asked as the formulas say."""

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from mode_dagster.extract.endpoints import Listing
from mode_dagster.sandbox import Sandbox, serve
from mode_dagster_tests.conftest import SMALL

ROOT = Path(__file__).parents[1]
REPORTS = 300


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    """The benchmark's formulas."""
    spec = importlib.util.spec_from_file_location("bench_scale", ROOT / "benchmarks" / "bench_scale.py")
    module = sys.modules["bench_scale"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def large_sandbox() -> Iterator[Sandbox]:
    with serve(replace(SMALL, reports=REPORTS, spaces=9, days=1, rate_limit_requests=1_000_000)) as served:
        yield served


@pytest.mark.slow
def test_a_first_load_of_300_reports_asks_what_the_formulas_say(scale, large_sandbox, load_from):
    sync = load_from(large_sandbox, rate_limit_requests=1_000_000)
    said = scale.first_load(scale.found_in(large_sandbox, Listing.COLLECTIONS), Listing.COLLECTIONS)
    assert sync.client.adapter.sent == said
    large_sandbox.requests.clear()
    load_from(large_sandbox, rate_limit_requests=1_000_000)
    open_runs = [run for run in large_sandbox.world.rows("runs") if run["ended_at"] > large_sandbox.world.now()]
    looked_into = len({run["report_token"] for run in open_runs})
    unchanged = scale.unchanged(scale.found_in(large_sandbox, Listing.COLLECTIONS), Listing.COLLECTIONS)
    assert len(large_sandbox.requests) == unchanged + looked_into


@pytest.mark.parametrize(
    "listing",
    [
        Listing.COLLECTIONS,
        pytest.param(Listing.DISCOVERY, marks=pytest.mark.slow),
        pytest.param(Listing.WORKSPACE, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_formulas_hold_in_every_listing(scale, load_from, listing):
    with serve(replace(SMALL, reports=6, days=3, flat=listing is Listing.WORKSPACE)) as served:
        sync = load_from(served, listing=listing)
        said = Counter(scale.first_load(scale.found_in(served, listing), listing))
    asked = Counter(sync.client.adapter.sent)
    if listing is Listing.DISCOVERY:
        # a token is asked for with whichever list comes first, and people are only met as those who ran something
        assert (asked.total() - asked.pop("users")) == (said.total() - said.pop("users"))
    else:
        assert asked == said


def test_the_page_has_what_the_formulas_give(scale):
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert scale.renewed(page) == page, "run `python benchmarks/bench_scale.py --page docs/scale.md`"
