"""The audit log is read on from where it was left, wherever that was, and no event is lost."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import ModeAuthError, ModeError, ModeRequestError
from mode_dagster.sandbox import Fault, Sandbox, serve
from mode_dagster_tests.living import LIVELY, START, requests_of

AUDIT = replace(LIVELY, reports=3, epoch=START - timedelta(days=40))
OTHERS = set(BY_NAME) - {"audit_logs"}


def test_an_audit_log_that_breaks_off_is_kept_as_far_as_it_came_and_asked_for_again(
    clock, load_from, assert_true, query
):
    count = "SELECT count(*) FROM mode_analytics_data.audit_logs"
    with serve(replace(AUDIT, clock=clock)) as world:
        events = len(world.world.truth("audit_logs"))
        assert events > 100, "two pages"
        world.faults.append(Fault(r"/audit_logs\?.*next_token=", status=418))
        with pytest.raises(ModeRequestError, match="list audit logs"):
            load_from(world, "audit_logs")
        world.faults.clear()
        clock.pass_by(hours=1)
        load_from(world, "audit_logs")
        assert_true(world, *OTHERS)
        assert query(count)[0][0] >= events
        clock.pass_by(hours=1)
        asked = requests_of(world, lambda: load_from(world, "audit_logs"))
        assert asked["audit_logs"] == 1
        assert_true(world, *OTHERS)


@pytest.mark.parametrize("status", [401, *(pytest.param(each, marks=pytest.mark.slow) for each in (400, 404))])
def test_an_audit_log_that_is_refused_on_a_later_page_is_asked_for_again(clock, load_from, assert_true, status):
    with serve(replace(AUDIT, clock=clock)) as world:
        world.faults.append(Fault(r"/audit_logs\?.*next_token=", status=status, times=1))
        sync = None
        with suppress(ModeAuthError):  # nobody can tell a revoked key from an expired cursor
            sync = load_from(world, "audit_logs", isolate=True)
        assert sync is None or "list audit logs" in str(sync.failures["audit_logs"])
        clock.pass_by(hours=1)
        load_from(world, "audit_logs")
        assert_true(world, *OTHERS)


def test_a_key_that_could_not_read_the_audit_log_for_a_while_loses_no_event(clock, load_from, assert_true):
    with serve(replace(AUDIT, clock=clock)) as world:
        load_from(world, "audit_logs")
        world.faults.append(Fault("/audit_logs", status=403, times=1))
        clock.pass_by(hours=9)
        assert load_from(world, "audit_logs").tallies["audit_logs"].skipped == {403: 1}
        clock.pass_by(hours=9)
        asked = requests_of(world, lambda: load_from(world, "audit_logs"))
        assert asked["audit_logs"] == 1
        assert_true(world, *OTHERS)


def test_more_days_of_history_bring_the_older_audit_events(clock, load_from, assert_true, query):
    with serve(replace(AUDIT, clock=clock)) as world:
        load_from(world, "audit_logs", history_days=3)
        ((some,),) = query("SELECT count(*) FROM mode_analytics_data.audit_logs")
        assert some < len(world.world.truth("audit_logs"))
        load_from(world, "audit_logs", history_days=0)
        assert_true(world, *OTHERS)
        assert requests_of(world, lambda: load_from(world, "audit_logs"))["audit_logs"] == 1


def audit_pages(world: Sandbox, events: list[dict], size: int = 100, *, has_end: bool = True) -> Callable[[dict], dict]:
    """Answers with these events, in their order, as far as the time asked for (its end included or not) has them."""

    def answer(_: dict) -> dict:
        asked = dict(parse_qsl(world.requests[-1].query))
        start, end = (datetime.fromisoformat(asked[f"{name}_timestamp"]) for name in ("start", "end"))
        there = [
            {**event, "timestamp": event.get("said", event["timestamp"].isoformat())}
            for event in events
            if start <= event["timestamp"] < end or (has_end and event["timestamp"] == end)
        ]
        first = int(asked.get("next_token", 0))
        more = str(first + size) if first + size < len(there) else None
        return {"audit_logs": there[first : first + size], "pagination": {"next_token": more}}

    return answer


@pytest.mark.parametrize("newest_first", [True, False])
def test_max_requests_bounds_the_audit_log_and_the_next_syncs_go_on(clock, load_from, assert_true, newest_first):
    with serve(replace(AUDIT, clock=clock)) as world:
        syncs, note = 0, "never read"
        while note:
            rows = sorted(world.world.rows("audit_logs"), key=lambda row: row["timestamp"], reverse=newest_first)
            world.faults[:] = [Fault("/audit_logs", kind="edit", edit=audit_pages(world, rows))]
            world.requests.clear()
            note = load_from(world, "audit_logs", max_requests=1).tallies["audit_logs"].note
            assert len(world.requests) <= 1
            syncs += 1
            clock.pass_by(hours=7)
        assert 2 <= syncs < 6
        clock.pass_by(hours=-7)
        assert_true(world, *OTHERS)


def events_of(seconds: list[float]) -> list[dict]:
    """An event so many seconds into the day before, each."""
    began = START - timedelta(days=1)
    return [
        {"id": f"e{number}", "action": "a", "timestamp": began + timedelta(seconds=after)}
        for number, after in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    "has_end",
    [
        pytest.param(True, id="end included", marks=pytest.mark.slow),
        pytest.param(False, id="end not included"),
    ],
)
def test_events_of_the_moment_where_max_requests_stopped_are_not_lost(clock, load_from, query, has_end):
    events = events_of([2400 * (number // 3) for number in range(30)])
    with serve(replace(AUDIT, clock=clock)) as world:
        answer = audit_pages(world, events[::-1], size=10, has_end=has_end)
        world.faults.append(Fault("/audit_logs", kind="edit", edit=answer))
        syncs, note = 0, "never read"
        while note and syncs < 12:
            note = load_from(world, "audit_logs", max_requests=1).tallies["audit_logs"].note
            syncs += 1
    assert not note
    stored = {token for (token,) in query("SELECT id FROM mode_analytics_data.audit_logs")}
    assert stored == {event["id"] for event in events}


def test_an_audit_log_with_more_events_at_once_than_max_requests_lets_through_says_so(clock, load_from):
    events = events_of([number / 100 for number in range(40)])
    with serve(replace(AUDIT, clock=clock)) as world:
        answer = audit_pages(world, events[::-1], size=10)
        world.faults.append(Fault("/audit_logs", kind="edit", edit=answer))
        assert load_from(world, "audit_logs", max_requests=1).tallies["audit_logs"].note
        with pytest.raises(ModeError, match=r"max_requests = 1 was reached, .* or too many at once"):
            load_from(world, "audit_logs", max_requests=1)


@pytest.mark.parametrize("order", ["id", "none said"])
def test_an_audit_log_that_would_begin_anew_at_max_requests_says_so(clock, load_from, order):
    with serve(replace(AUDIT, clock=clock)) as world:
        rows = sorted(world.world.rows("audit_logs"), key=lambda row: row["id" if order == "id" else "timestamp"])
        rows = rows if order == "id" else [{**row, "said": None} for row in rows]
        world.faults.append(Fault("/audit_logs", kind="edit", edit=audit_pages(world, rows)))
        with pytest.raises(ModeError, match="max_requests = 1 was reached, and the events come in no order of time"):
            load_from(world, "audit_logs", max_requests=1)
