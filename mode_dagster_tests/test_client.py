"""Asking Mode: faults are retried, refusals are explained, lists end, the rate is kept, secrets stay."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mode_dagster.extract import client as client_module
from mode_dagster.extract.client import ModeClient
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing, Pager, Route
from mode_dagster.extract.errors import (
    ModeAuthError,
    ModeConfigError,
    ModeRequestError,
    ModeResponseError,
    ModeUnavailable,
)
from mode_dagster.sandbox import Fault, SandboxOptions, serve
from mode_dagster.sandbox.discovery import SCOPE, mint
from mode_dagster.settings import Settings
from mode_dagster_tests.conftest import NOON

SPACES = BY_NAME["spaces"].route(Listing.COLLECTIONS)


@pytest.fixture
def client(sandbox, reads):
    connected = ModeClient(reads(sandbox))
    yield connected
    connected.close()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("/spaces", status=500, times=2), id="500"),
        pytest.param(Fault("/spaces", status=502, body="<html>bad gateway</html>", times=2), id="502 with HTML"),
        pytest.param(Fault("/spaces", status=503, times=2), id="503"),
        pytest.param(Fault("/spaces", status=408, times=2), id="408"),
        pytest.param(Fault("/spaces", status=429, times=2), id="429 without Retry-After"),
        pytest.param(Fault("/spaces", status=429, headers={"Retry-After": "soon"}, times=2), id="429, odd Retry-After"),
        pytest.param(Fault("/spaces", kind="truncate", times=2), id="cut short"),
        pytest.param(Fault("/spaces", kind="drop", times=2), id="connection dropped"),
        pytest.param(Fault("/spaces", kind="html", times=2), id="HTML with 200"),
        pytest.param(Fault("/spaces", kind="body", body='{"_embedded": {"spa', times=2), id="half of a JSON"),
        pytest.param(Fault("/spaces", kind="body", body="", times=2), id="empty body"),
    ],
)
def test_passing_faults_are_retried_until_the_answer_is_whole(sandbox, client, fault):
    sandbox.faults.append(fault)
    fetched = client.read_list(SPACES, {}, "list spaces")
    assert {row["token"] for row in fetched.rows} == sandbox.world.truth("spaces")
    assert client.requests == 3


def test_retry_after_is_waited_for(sandbox, client):
    sandbox.faults.append(Fault("/spaces", status=429, headers={"Retry-After": "1"}, times=1))
    client.read_list(SPACES, {}, "list spaces")
    first, second = sandbox.requests
    assert second.at - first.at >= 1.0


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Fault("/spaces", status=401), ModeAuthError, "username (API token) and password (API secret)"),
        (Fault("/spaces", status=403, body='{"id":"forbidden","message":"no"}'), ModeRequestError, "(no)"),
        (Fault("/spaces", status=404), ModeRequestError, "not there"),
        (Fault("/spaces", status=500), ModeUnavailable, "run it again later"),
        (Fault("/spaces", status=429), ModeUnavailable, "rate_limit_requests"),
        (Fault("/spaces", kind="drop"), ModeUnavailable, "no answer"),
        (Fault("/spaces", kind="html"), ModeResponseError, "not a JSON object"),
        (Fault("/spaces", kind="body", body="[1]"), ModeResponseError, "not a JSON object"),
        (Fault("/spaces", kind="body", body='{"hello": "world"}'), ModeResponseError, "expected spaces"),
        *(
            (
                Fault("/spaces", kind="body", body=f'{{"a": {"[" * deep}{"]" * deep}}}'),
                ModeResponseError,
                "not a JSON obj",
            )
            for deep in (500, 50_000)
        ),
    ],
    ids=lambda value: getattr(value, "kind", None) and f"{value.kind}-{value.status}",
)
def test_lasting_faults_say_what_was_asked_what_came_and_what_to_do(sandbox, client, fault, error, said):
    sandbox.faults.append(fault)
    with pytest.raises(error) as raised:
        client.read_list(SPACES, {}, "list spaces")
    assert str(raised.value).startswith("Could not list spaces")
    assert said in str(raised.value)


def test_an_unreachable_host_is_said_to_be_one(monkeypatch):
    settings = Settings(workspace="w", username="u", password="p", base_url="http://127.0.0.1:9/api")
    with pytest.raises(ModeUnavailable, match=r"Could not check the credentials: no answer.*Check base_url"):
        ModeClient(settings).verify()


def test_wrong_credentials_are_refused_without_retry_and_without_the_secret(sandbox, reads, caplog):
    caplog.set_level(logging.DEBUG)
    settings = replace(reads(sandbox), password="sec-wrong-4711")
    with pytest.raises(ModeAuthError) as raised:
        ModeClient(settings).verify()
    assert len(sandbox.requests) == 1
    assert "sec-wrong-4711" not in str(raised.value) + repr(raised.value) + caplog.text


def test_counted_lists_are_read_by_their_counters_and_never_past_the_end(sandbox, client):
    groups = BY_NAME["groups"].route(Listing.COLLECTIONS)
    fetched = client.read_list(replace(groups, params={"per_page": "10"}), {}, "list groups")
    assert {row["token"] for row in fetched.rows} == sandbox.world.truth("groups")
    assert fetched.total_count == len(fetched.rows) == 23
    assert len(sandbox.requests) == 3


WHOLE = [endpoint.name for endpoint in ENDPOINTS if endpoint.rest and endpoint.rest.pager is Pager.WHOLE]


@pytest.mark.parametrize("table", WHOLE)
def test_a_list_of_which_nobody_knows_whether_it_has_pages_is_read_to_its_end(table, sandbox, client):
    route = BY_NAME[table].rest
    assert len(WHOLE) > 5
    pages = [[{"token": f"{page} {row}"} for row in range(rows)] for page, rows in ((1, 20), (2, 10), (3, 9))]
    for page, rows in enumerate(pages, start=1):
        body = json.dumps({"_embedded": {route.selectors[0]: rows}})
        sandbox.faults.append(Fault(rf"page={page}(&|$)" if page > 1 else r"^((?!page=\d).)*$", kind="body", body=body))
    fetched = client.read_list(route, dict.fromkeys(route.placeholders, "a"), "list them")
    assert fetched.rows == [row for rows in pages for row in rows]
    assert len(sandbox.requests) == 3


def test_a_list_that_repeats_itself_whole_on_every_page_is_asked_for_twice(sandbox, client):
    rows = [{"name": f"column {number}", "type": "text"} for number in range(70)]
    sandbox.faults.append(Fault("/fields", kind="body", body=json.dumps({"_embedded": {"fields": rows}})))
    assert client.read_list(BY_NAME["dataset_fields"].rest, {"dataset_token": "d"}, "list fields").rows == rows
    assert len(sandbox.requests) == 2


def test_counters_win_where_a_list_has_them_after_all(sandbox, client):
    rows = [{"token": f"row {number}"} for number in range(40)]
    body = {"_embedded": {"fields": rows}, "pagination": {"total_pages": 1, "total_count": 40}}
    sandbox.faults.append(Fault("/fields", kind="body", body=json.dumps(body)))
    assert client.read_list(BY_NAME["dataset_fields"].rest, {"dataset_token": "d"}, "list fields").rows == rows
    assert len(sandbox.requests) == 1


def test_a_list_that_should_come_whole_is_read_on_where_it_counts_several_pages(sandbox, client):
    rows = [{"token": f"row {number}"} for number in range(50)]
    said = {"per_page": 20, "total_pages": 3, "total_count": 50}
    for page in (1, 2, 3):
        body = json.dumps({"_embedded": {"queries": rows[20 * page - 20 : 20 * page]}, "pagination": said})
        asked = rf"/queries\?page={page}$" if page > 1 else "/queries$"
        sandbox.faults.append(Fault(asked, kind="body", body=body))
    queries = BY_NAME["queries"].route(Listing.COLLECTIONS)
    fetched = client.read_list(queries, {"report_token": "r"}, "list queries")
    assert (fetched.rows, fetched.is_short) == (rows, False)
    assert len(sandbox.requests) == 3


def test_a_list_that_counts_several_pages_and_repeats_itself_whole_is_asked_for_twice(sandbox, client):
    rows = [{"token": f"row {number}"} for number in range(50)]
    body = {"_embedded": {"queries": rows}, "pagination": {"per_page": 20, "total_pages": 3, "total_count": 50}}
    sandbox.faults.append(Fault("/queries", kind="body", body=json.dumps(body)))
    queries = BY_NAME["queries"].route(Listing.COLLECTIONS)
    fetched = client.read_list(queries, {"report_token": "r"}, "list queries")
    assert (fetched.rows, fetched.is_short) == (rows, False)
    assert len(sandbox.requests) == 2


def test_lists_without_counters_are_read_until_a_page_brings_nothing_new(sandbox, client):
    reports = BY_NAME["reports"].route(Listing.COLLECTIONS)
    space = max(
        sandbox.world.truth("spaces"), key=lambda t: sum(r["space_token"] == t for r in sandbox.world.rows("reports"))
    )
    fetched = client.read_list(reports, {"space_token": space}, "list reports")
    wanted = {row["token"] for row in sandbox.world.rows("reports") if row["space_token"] == space}
    assert {row["token"] for row in fetched.rows} == wanted
    assert fetched.total_count is None


def test_an_answer_without_content_has_no_rows_and_no_list(sandbox, client):
    sandbox.faults += [Fault("page=2", status=204), Fault("/definitions", status=204)]
    reports = BY_NAME["reports"].route(Listing.COLLECTIONS)
    space = sandbox.world.rows("reports")[0]["space_token"]
    assert client.read_list(reports, {"space_token": space}, "list reports").rows
    fetched = client.read_list(BY_NAME["definitions"].rest, {}, "list definitions")
    assert (fetched.rows, fetched.is_list) == ([], False)
    assert len(sandbox.requests) == 3


@pytest.mark.parametrize("pager", [Pager.COUNTED, Pager.UNSEEN, Pager.NEXT, Pager.CURSOR])
def test_a_list_that_repeats_itself_for_ever_ends(sandbox, client, pager):
    sandbox.faults.append(
        Fault(
            "/definitions",
            kind="body",
            body='{"definitions": [{"token": "a"}], "next_page": "/api/x?page=9", "next_token": "n",'
            ' "pagination": {"total_pages": 99, "total_count": 990}}',
        )
    )
    route = Route("/{workspace}/definitions", ("definitions",), pager)
    assert [row["token"] for row in client.read_list(route, {}, "list definitions").rows] == ["a"]
    assert len(sandbox.requests) <= 2


def test_events_end_where_a_page_has_none_and_no_cursor(sandbox, client, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_EVENT_PAGES", 8)
    sandbox.faults.append(Fault("/events", kind="body", body='{"events": [], "next_page": "?page=7"}'))
    assert list(client.stream(Route("/{workspace}/events", ("events",), Pager.CURSOR), "list events")) == [([], True)]
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        pytest.param("7", "page=7", id="a number"),
        pytest.param('"http://[elsewhere/things?cursor=2"', "page=2", id="no address"),
    ],
)
def test_a_next_page_is_asked_for_by_its_number_where_there_is_no_link(sandbox, client, link, asked):
    sandbox.faults += [
        Fault("/flat", kind="body", body=f'{{"things": [{{"token": "a"}}], "next_page": {link}}}', times=1),
        Fault("/flat", kind="body", body='{"things": [{"token": "b"}], "next_page": null}'),
    ]
    route = Route("/{workspace}/flat", ("things",), Pager.NEXT)
    assert [row["token"] for row in client.read_list(route, {}, "list things").rows] == ["a", "b"]
    assert [request.query for request in sandbox.requests] == ["", asked]


def test_a_flat_list_whose_server_names_no_next_page_is_read_until_nothing_new_comes(sandbox, client):
    for page, body in ((r"flat$", '[{"token": "a"}]'), ("page=2", '[{"token": "b"}]'), ("page=3", '[{"token": "c"}]')):
        sandbox.faults.append(Fault(page, kind="body", body=f'{{"things": {body}}}'))
    sandbox.faults.append(Fault("page=4", kind="body", body='{"things": []}'))
    route = Route("/{workspace}/flat", ("things",), Pager.NEXT)
    assert [row["token"] for row in client.read_list(route, {}, "list things").rows] == ["a", "b", "c"]
    assert len(sandbox.requests) == 4


def test_a_later_page_that_is_refused_is_no_end_of_the_list(sandbox, client):
    sandbox.faults.append(Fault(r"/groups\?.*page=2", status=403))
    groups = BY_NAME["groups"].route(Listing.COLLECTIONS)
    with pytest.raises(ModeRequestError, match="Could not list groups: HTTP 403"):
        client.read_list(replace(groups, params={"per_page": "10"}), {}, "list groups")


def test_links_are_followed_for_their_parameters_only_and_a_dead_one_ends_the_list(sandbox, client):
    sandbox.faults.append(
        Fault(
            r"/flat$",
            kind="body",
            body='{"things": [{"token": "a"}], "next_page": "https://elsewhere.example/steal?cursor=2"}',
        )
    )
    route = Route("/{workspace}/flat", ("things",), Pager.NEXT)
    assert [row["token"] for row in client.read_list(route, {}, "list things").rows] == ["a"]
    assert [request.query for request in sandbox.requests] == ["", "cursor=2"]


def test_audit_logs_are_read_to_the_end_of_their_cursor(sandbox, client):
    route = BY_NAME["audit_logs"].route(Listing.COLLECTIONS)
    window = {"start_timestamp": "2020-01-01T00:00:00+00:00", "end_timestamp": "2030-01-01T00:00:00+00:00"}
    pages, are_last = zip(*client.stream(route, "list audit logs", window), strict=True)
    assert [*are_last] == [False] * (len(pages) - 1) + [True]
    assert {row["id"] for page in pages for row in page} == sandbox.world.truth("audit_logs")


def test_the_rate_limit_is_used_fully_and_never_exceeded():
    seconds = 2  # our own margin is a fiftieth of it, and a busy machine lets some requests arrive late
    options = SandboxOptions(reports=4, spaces=2, days=5, rate_limit_requests=10, rate_limit_seconds=seconds)
    with serve(options) as sandbox:
        settings = Settings(
            **sandbox.access,
            rate_limit_requests=10,
            rate_limit_seconds=seconds,
        )
        client = ModeClient(settings)
        for _ in range(25):
            client.verify()
        assert client.adapter.refused == 0
        assert client.adapter.limit == "10"
        arrivals = [request.at for request in sandbox.requests]
        assert all(later - first >= seconds for first, later in zip(arrivals, arrivals[10:], strict=False))


def test_a_refusal_pauses_all_threads_and_slows_the_rest_down(sandbox, client):
    sandbox.faults.append(Fault("/verify", status=429, headers={"Retry-After": "1"}, times=1))
    client.verify()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.verify(), range(4)))
    first, *others = sandbox.requests
    assert all(request.at - first.at >= 1.0 for request in others)
    assert client.adapter.refused == 1
    assert client.adapter.allowed == 80_000


def test_a_refusal_pauses_the_threads_that_wait_for_their_turn_already(sandbox, reads):
    client = ModeClient(replace(reads(sandbox), rate_limit_requests=2, rate_limit_seconds=0.2))
    sandbox.faults.append(Fault("/verify", status=429, headers={"Retry-After": "1"}, times=1))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.verify(), range(8)))
    first, _, *others = sandbox.requests  # the second left before the first was answered
    assert len(others) == 7
    assert all(request.at - first.at >= 1.0 for request in others)


def test_the_rate_grows_back_after_a_refusal(sandbox, reads):
    client = ModeClient(replace(reads(sandbox), rate_limit_requests=10, rate_limit_seconds=0.1))
    sandbox.faults.append(Fault("/verify", status=429, times=1))
    client.verify()
    slowed = client.adapter.allowed
    for _ in range(60):
        client.verify()
    assert (slowed, client.adapter.allowed) == (8, 10)


def test_discovery_needs_a_plan_and_says_so(reads):
    with serve(SandboxOptions(reports=4, spaces=2, days=5, discovery=False)) as sandbox:
        client = ModeClient(reads(sandbox))
        route = BY_NAME["reports"].route(Listing.DISCOVERY)
        with pytest.raises(ModeConfigError, match=r"Enterprise plan.*collections"):
            client.read_list(route, {}, "list reports")


def test_a_discovery_token_that_is_given_is_used_and_none_is_made(sandbox, reads):
    history = sandbox.world.history
    given = mint(history, {"signature_token": {"name": "given", "expires_at": "2030-01-01", "auth_scope": SCOPE}}, NOON)
    parts = {f"signature_{part}": given[part] for part in ("token", "access_key", "access_secret")}
    client = ModeClient(replace(reads(sandbox), **parts))
    fetched = client.read_list(BY_NAME["reports"].route(Listing.DISCOVERY), {}, "list reports")
    assert {row["token"] for row in fetched.rows} == sandbox.world.truth("reports")
    assert {request.method for request in sandbox.requests} == {"GET"}


def test_a_discovery_token_that_lacks_a_part_is_named(sandbox, client):
    sandbox.faults.append(Fault("/signature_tokens", kind="edit", edit=lambda made: {**made, "access_secret": None}))
    with pytest.raises(ModeResponseError, match="get a Discovery token: the answer holds no token, access_key, acc"):
        client.read_list(BY_NAME["reports"].route(Listing.DISCOVERY), {}, "list reports")


def test_a_discovery_token_may_come_under_its_name(sandbox, client):
    sandbox.faults.append(Fault("/signature_tokens", kind="edit", edit=lambda made: {"signature_token": made}))
    fetched = client.read_list(BY_NAME["reports"].route(Listing.DISCOVERY), {}, "list reports")
    assert {row["token"] for row in fetched.rows} == sandbox.world.truth("reports")


def test_usernames_and_workspaces_cannot_leave_their_place_in_a_path(sandbox, client):
    route = BY_NAME["users"].route(Listing.COLLECTIONS)
    with pytest.raises(ModeRequestError):
        client.read_list(route, {"username": "../batch/x?y=#z"}, "look up a person")
    assert sandbox.requests[-1].path.startswith("/api/..%2Fbatch")
