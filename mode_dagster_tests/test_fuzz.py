"""Whatever a server sends: readers raise nothing but named errors, walks end, and what was read can be loaded."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from mode_dagster.extract import client as client_module
from mode_dagster.extract.client import ModeClient, identity
from mode_dagster.extract.endpoints import ENDPOINTS, Listing, Pager, Route
from mode_dagster.extract.errors import ModeError
from mode_dagster.extract.ledger import (
    Entry,
    is_before,
    is_due,
    is_known_empty,
    newest_move,
    version_of,
)
from mode_dagster.extract.personal import PersonalData, Privacy
from mode_dagster.extract.responses import is_not_json, read_body, seconds_to_wait
from mode_dagster.extract.rows import RowReader, counters, has_list, next_page, next_token, read_rows
from mode_dagster.sandbox import Fault
from mode_dagster_tests.conftest import NOON

PROFILE = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}
TIMES = ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", "20000-01-01", "yesterday", "2026-01-01T24:00:00Z"]
LINKS = ["//[", "?page=2", "?page=2&page=3", "https://elsewhere.example/?cursor=1", "²", "9" * 400, "/api/x/y?%zz"]

texts = st.one_of(st.text(max_size=8), st.sampled_from(TIMES + LINKS), st.datetimes().map(str))
numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
names = sorted(
    {c.name for e in ENDPOINTS for c in e.columns} | {"_dlt_id", "brand_new", "Name", "name", "", "a\0b", "🤖"}
)
links = st.one_of(values, st.fixed_dictionaries({"href": texts}))
rows = st.dictionaries(st.sampled_from(names), values, max_size=8).flatmap(
    lambda row: st.fixed_dictionaries(
        {},
        optional={
            "token": values,
            "_links": st.one_of(values, st.dictionaries(st.sampled_from(["self", "creator", "report", "web"]), links)),
            "view_vegas": values,
            "actor": values,
        },
    ).map(lambda more: {**row, **more})
)


def bodies(selectors: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Answers for a list: nearly right ones, and any other JSON."""
    lists = st.one_of(st.lists(rows, max_size=4), values)
    under = st.dictionaries(st.sampled_from([*selectors, "other"]), lists, max_size=2)
    pagination = st.one_of(
        values, st.dictionaries(st.sampled_from(["total_count", "total_pages", "per_page", "next_token"]), scalars)
    )
    envelope = {"_embedded": st.one_of(under, values), "pagination": pagination}
    envelope |= {"next_page": st.one_of(scalars, links), "next_token": scalars, "_links": values}
    whole = st.fixed_dictionaries({}, optional=envelope)
    return st.one_of(st.builds(lambda one, two: {**one, **two}, whole, under), values)


def answer(status: int, body: bytes, headers: dict[str, str]) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content, response.url = status, body, "https://mode.example/api/x?y=1"
    response.headers.update(headers)
    response.request = requests.Request("GET", response.url, auth=("who", "secret-4711")).prepare()
    return response


@settings(max_examples=300, **PROFILE)
@given(data=st.data())
def test_any_json_for_any_list_becomes_rows_or_a_named_error(data):
    endpoint = data.draw(st.sampled_from(ENDPOINTS))
    route = endpoint.route(data.draw(st.sampled_from(list(Listing)))) or endpoint.discovery
    drawn = json.dumps(data.draw(bodies(route.selectors))).encode()
    try:
        body = read_body(answer(200, drawn, {}), "list things")
        page = read_rows(body, route, "list things")
    except ModeError as error:
        assert str(error).startswith("Could not list things")  # noqa: PT017
        return
    assert all(isinstance(value, int | None) for value in counters(body))
    assert isinstance(next_page(body), str | None)
    assert isinstance(next_token(body), str | None)
    assert has_list(body, route) in (True, False)
    privacy = Privacy(data.draw(st.sampled_from(list(PersonalData))), "k" * 16, "acme")
    for raw in page:
        row = RowReader(endpoint).read(raw, {"report_token": "r"})
        assert all(isinstance(row[name], str) and row[name] for name in endpoint.key)
        assert isinstance(identity(raw), str)
        stored = privacy.protect(endpoint, row)
        assert all(stored[name] for name in endpoint.key)
        ask_ledger(row)


def ask_ledger(row: dict) -> None:
    """What the plan asks of a parent's row."""
    newest_move(row)
    is_before(row, NOON)
    for child in ENDPOINTS:
        version = version_of(child, row)
        is_known_empty(child, row)
        is_due(child, Entry(version, "complete", NOON), version, timedelta(hours=1), NOON)
        json.dumps(version)


@settings(max_examples=200, **PROFILE)
@given(
    status=st.integers(100, 599),
    body=st.one_of(st.binary(max_size=60), values.map(lambda value: json.dumps(value).encode()), st.just(b"[" * 2000)),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Date", "Location", "Content-Type"]), texts),
)
@example(status=302, body=b"", headers={"Location": "//["})
def test_any_answer_is_a_json_object_or_a_named_error(status, body, headers):
    response = answer(status, body, headers)
    assert is_not_json(response, None) in (True, False)
    assert seconds_to_wait(response) >= 0
    try:
        assert isinstance(read_body(response, "list things"), dict)
    except ModeError as error:
        assert str(error).startswith("Could not list things")  # noqa: PT017
        assert "secret-4711" not in str(error)  # noqa: PT017


def faults() -> st.SearchStrategy[Fault]:
    answers = bodies(("things",)).map(lambda body: Fault("/things", kind="body", body=json.dumps(body)))
    good = st.lists(st.fixed_dictionaries({"token": texts}), max_size=3).map(
        lambda rows: Fault("/things", kind="body", body=json.dumps({"things": rows, "next_page": "?page=7"}))
    )
    refusals = st.sampled_from([401, 403, 404, 429, 500]).map(lambda status: Fault("/things", status=status))
    return st.one_of(answers, good, refusals)


@pytest.mark.parametrize("pager", list(Pager))
@settings(max_examples=12, **PROFILE)
@given(answers=st.lists(faults(), min_size=1, max_size=5))
def test_any_server_comes_to_an_end(pager, answers, sandbox, reads, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_PAGES", 8)
    monkeypatch.setattr(client_module, "MOST_EVENT_PAGES", 8)
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.001")
    *first, last = answers
    sandbox.faults[:] = [*first, last]
    for answer in first:
        answer.times = 1
    last.times = None
    sandbox.requests.clear()
    client = ModeClient(reads(sandbox))
    selectors = () if pager is Pager.OBJECT else ("things",)
    try:
        fetched = client.read_list(Route("/{workspace}/things", selectors, pager), {}, "list things")
        marks = [identity(row) for row in fetched.rows]
        assert len(marks) == len(set(marks))
    except ModeError as error:
        assert str(error).startswith("Could not list things")  # noqa: PT017
    finally:
        client.close()
    assert len(sandbox.requests) <= 2 * (8 + 1)


@pytest.mark.slow
# a load takes a second: a failing example is not made smaller
@settings(max_examples=3, phases=[Phase.generate], **PROFILE)
@given(odd=st.lists(rows, min_size=8, max_size=24))
def test_any_row_can_be_loaded(odd, sandbox, load_from, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("odd")
    monkeypatch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(folder / "mode_analytics.duckdb"))
    tables = {
        "definitions": "definitions",
        "data_sources": "data_sources",
        "groups": "groups",
        "memberships": "memberships",
    }
    sandbox.faults[:] = [
        Fault(rf"/{table}(\?|$)", kind="body", body=json.dumps({selector: odd[number :: len(tables)]}))
        for number, (table, selector) in enumerate(tables.items())
    ]
    sync = load_from(sandbox, *tables)
    assert not sync.failures


@pytest.mark.slow
@pytest.mark.parametrize("target", ["readers", "answers", "pagers", "lineage"])
def test_a_short_guided_search_finds_nothing(target, tmp_path):
    pytest.importorskip("atheris", reason="atheris is there for Python 3.11 on Linux only")
    script = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
    command = [sys.executable, str(script), target, "--runs", "400", "--seconds", "60"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "number_of_executed_units" in done.stderr
