"""Syncs killed with SIGKILL at any moment, and two at once: the next sync makes every table right.

Which moments is drawn from a seed. `MODE_KILLS_SEED=7 pytest mode_dagster_tests/test_kills.py` draws others; a failure
prints the moments that led to it.
"""

import os
import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from mode_dagster.extract.destination import DATASET, PIPELINE
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.sandbox import Sandbox, SandboxOptions, serve
from mode_dagster.settings import ENV_PREFIX
from mode_dagster_tests.killable import FILES, JOBS, REQUESTS, SECONDS, STATEMENTS, End, Moment, Start, Syncs
from mode_dagster_tests.truth import differences, keys, unlike

SEED = int(os.environ.get("MODE_KILLS_SEED", "1"))
KILLS = int(os.environ.get("MODE_KILLS", "5"))
"""About how many in all; `make kills` takes 50."""
FIRST = datetime(2026, 6, 1, 9, 5, tzinfo=UTC)
LATER = FIRST + timedelta(days=9)
"""After some edits and many runs; a report is gone and another one is there."""
WORLD = SandboxOptions(
    reports=10, spaces=3, groups=3, rate_limit_requests=1_000_000, epoch=datetime(2026, 5, 29, tzinfo=UTC)
)
ALONE: Mapping[str, object] = {}
IN_DAGSTER: Mapping[str, object] = {
    "in_dagster": True,
    # Dagster takes its time for each table
    "tables": ("spaces", "reports", "queries", "charts", "report_schedules", "runs", "query_runs", "audit_logs"),
}
IN_A_ROW = 5
"""Kills on the same file before a sync may end."""


@dataclass(frozen=True)
class Place:
    """A machine's disk: the DuckDB file, dlt's folder, Dagster's home."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "mode.duckdb"

    @property
    def dlt(self) -> Path:
        return self.folder / "dlt"

    def become(self, other: "Place | None") -> None:
        """A copy of another one; without one, empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if other:
            shutil.copytree(other.folder, self.folder)
        (self.folder / "dagster").mkdir(parents=True, exist_ok=True)

    def keys(self) -> dict:
        """Looks at a copy: whoever opens the file tidies it up."""
        with suppress(FileNotFoundError):
            for suffix in ("", ".wal"):
                shutil.copy(f"{self.database}{suffix}", f"{self.folder}/looked_at.duckdb{suffix}")
        found = keys(self.folder / "looked_at.duckdb")
        for left in self.folder.glob("looked_at*"):
            left.unlink()
        return found


class Mode:
    """A workspace whose clock is moved, and the syncs of it."""

    def __init__(self, folder: Path, sandbox: Sandbox, syncs: Syncs, clock: list[datetime]) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self._syncs = syncs
        self._clock = clock
        self.measured: dict[tuple, End] = {}

    def start(self, place: Place, dlt: Path | None = None, said: object = None, **options: object) -> Start:
        settings = {
            **self.sandbox.access,
            "rate_limit_requests": 1_000_000,
            "query_run_days": 0,
        }
        environment = {ENV_PREFIX + name.upper(): str(value) for name, value in settings.items()} | {
            "DESTINATION__DUCKDB__CREDENTIALS": str(place.database),
            "DLT_DATA_DIR": str(dlt or place.dlt),
            "DAGSTER_HOME": str(place.folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        said = said or place.folder / "said.txt"
        return Start(self._clock[0].isoformat(), environment, said=str(said), **options)

    def at(self, now: datetime) -> None:
        self._clock[0] = now

    def run(self, *starts: Start) -> list[End]:
        return self._syncs.run(*starts)

    def sync(self, place: Place, **options: object) -> End:
        (end,) = self.run(self.start(place, **options))
        return end

    def whole(self, place: Place, **options: object) -> End:
        end = self.sync(place, **options)
        assert end.status == 0, end.said
        return end


@pytest.fixture(scope="module")
def mode(tmp_path_factory) -> Iterator[Mode]:
    clock = [FIRST]
    with serve(replace(WORLD, clock=lambda: clock[0])) as sandbox, Syncs() as syncs:
        yield Mode(tmp_path_factory.mktemp("kills"), sandbox, syncs, clock)


@pytest.fixture(scope="module")
def unkilled(mode) -> dict[datetime, tuple[Place, End]]:
    """What syncs that nobody kills leave behind, and how much they do: a first load, and one after it."""
    found, before = {}, None
    for now in (FIRST, LATER):
        mode.at(now)
        place = Place(mode.folder / f"unkilled {now.day}")
        place.become(before)
        end = mode.whole(place)
        assert differences(place.database, mode.sandbox) == {}
        found[now], before = (place, end), place
    return found


def moments(name: str, whole: End) -> Iterator[Moment]:
    """Moments all over a sync, in every way of telling them, in an order that leaves no gaps."""
    draw = random.Random(f"{SEED} {name}")
    kinds = {**whole.counts, SECONDS: whole.seconds}
    place = draw.random()
    while True:
        for kind in (STATEMENTS, REQUESTS, FILES, SECONDS):
            place = (place + 0.618034) % 1
            at = kinds[kind] * place if kind == SECONDS else 1 + int(kinds[kind] * place)
            yield Moment(kind, at, later=draw.choice([0, draw.uniform(0, 0.01)]))


@pytest.mark.parametrize(
    ("now", "how", "kills"),
    [
        pytest.param(FIRST, ALONE, 2 * KILLS // 5, id="a first load", marks=pytest.mark.slow),
        pytest.param(LATER, ALONE, 2 * KILLS // 5, id="a later sync"),
        pytest.param(FIRST, IN_DAGSTER, max(KILLS // 10, 1), id="a first load, in Dagster", marks=pytest.mark.slow),
        pytest.param(LATER, IN_DAGSTER, max(KILLS // 10, 1), id="a later sync, in Dagster", marks=pytest.mark.slow),
    ],
)
def test_a_sync_killed_at_any_moment_is_made_right_by_the_next(now, how, kills, mode, unkilled, request):
    mode.at(now)
    twin, whole = unkilled[now]
    place = Place(mode.folder / request.node.callspec.id)
    if how is IN_DAGSTER:
        place.become(unkilled[FIRST][0] if now == LATER else None)
        whole = mode.whole(place, **how)
    drawn = moments(request.node.callspec.id, whole)
    while kills:
        place.become(unkilled[FIRST][0] if now == LATER else None)
        killed, ended = kill_in_a_row(mode, place, drawn, min(kills, IN_A_ROW), how)
        if not ended:
            mode.whole(place, **how)
        kills -= len(killed)
        assert unlike(place.database, twin.database, **tables(how)) == {}, f"MODE_KILLS_SEED={SEED}: {killed}"
        assert_consistent(place)


def tables(how: Mapping[str, object]) -> dict[str, object]:
    return {"tables": how["tables"]} if how else {}


def kill_in_a_row(
    mode: Mode, place: Place, drawn: Iterator[Moment], most: int, how: Mapping[str, object]
) -> tuple[list[str], bool]:
    """Kills one sync after the other; what was loaded before a kill is loaded after it.

    Returns:
        What was killed where, and whether the last sync ended before its moment had come.
    """
    killed: list[str] = []
    while len(killed) < most:
        # the less is left to do, the earlier
        kill = next(drawn).earlier(len(killed) + 1)
        had = place.keys()
        end = mode.sync(place, kill=kill, **how)
        if not end.was_killed:
            assert end.status == 0, f"MODE_KILLS_SEED={SEED}: {killed}: {end.said}"
            return killed, True
        killed.append(f"{kill} {end.killed_at}")
        assert not had - place.keys(), f"MODE_KILLS_SEED={SEED}: {killed}"
        if len(killed) == 3:
            shutil.rmtree(place.dlt, ignore_errors=True)  # as if the machine was lost, and only the warehouse is left
    return killed, False


def assert_consistent(place: Place) -> None:
    """Nothing is pending, and the ledger knows of no load that was not completed."""
    packages = place.dlt / "pipelines" / PIPELINE / "load"
    # what it was about to rename may be left, as files
    assert not [path for path in (*packages.glob("new/*"), *packages.glob("normalized/*")) if path.is_dir()]
    with duckdb.connect(str(place.database)) as connection:
        open_loads = f"""
            SELECT * FROM {DATASET}.{LEDGER} l WHERE NOT EXISTS
                (SELECT 1 FROM {DATASET}._dlt_loads d WHERE d.load_id = l._dlt_load_id AND d.status = 0)
        """
        assert connection.execute(open_loads).fetchall() == []


@pytest.mark.parametrize(
    "how", [pytest.param(ALONE, id="alone"), pytest.param(IN_DAGSTER, id="in Dagster", marks=pytest.mark.slow)]
)
def test_of_two_syncs_at_once_one_says_that_the_other_is_under_way(how, mode, unkilled, tmp_path):
    mode.at(LATER)
    twin, place = unkilled[LATER][0], Place(tmp_path / "place")
    place.become(unkilled[FIRST][0])
    # two processes that make Dagster's own databases at once get into each other's way
    with dg.DagsterInstance.from_config(str(place.folder / "dagster")):
        pass
    ends = mode.run(*(mode.start(place, said=tmp_path / name, **how) for name in ("one", "two")))
    done, refused = sorted(ends, key=lambda end: end.status)
    assert (done.status, refused.status) == (0, 1), [end.said for end in ends]
    assert "Could not start: another sync of mode_analytics_data is under way on this machine." in refused.said
    assert unlike(place.database, twin.database, **tables(how)) == {}


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(Moment(REQUESTS, 100), id="while the first one asks"),
        pytest.param(Moment(JOBS, 1), id="while the first one loads", marks=pytest.mark.slow),
    ],
)
def test_a_sync_of_the_same_file_from_another_machines_folder_is_refused_too(held, mode, unkilled, tmp_path):
    mode.at(LATER)
    twin, place = unkilled[LATER][0], Place(tmp_path / "place")
    place.become(unkilled[FIRST][0])
    one, two = (str(tmp_path / name) for name in ("one", "two"))
    first = mode.start(place, said=one, kill=replace(held, until_ended=two))
    second = mode.start(place, said=two, when_held=one, dlt=tmp_path / "dlt")
    done, refused = mode.run(first, second)
    assert done.status == 0, done.said
    assert refused.status == 1, refused.said
    assert "another sync of mode_analytics_data is under way" in refused.said
    assert unlike(place.database, twin.database) == {}
