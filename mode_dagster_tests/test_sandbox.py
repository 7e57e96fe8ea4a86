"""The sandbox keeps its word: what it serves is what `World` says, with Mode's manners.

Not here: what our loader makes of it.
"""

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing
from mode_dagster.sandbox import Fault, Sandbox, SandboxOptions, serve

NOON = datetime(2026, 3, 18, 12, 0, tzinfo=UTC)
QUICK = SandboxOptions(rate_limit_requests=100_000, clock=lambda: NOON)
WINDOW = {"start_timestamp": "2026-01-01T00:00:00Z", "end_timestamp": "2026-12-31T00:00:00Z"}
SCOPE = {"authentication_for": "batch-api", "authorization_type": "read-only"}
WISH = {"signature_token": {"name": "tests", "expires_at": "2030-01-01T00:00:00Z", "auth_scope": SCOPE}}


class Reader(requests.Session):
    """A session with the sandbox's credentials."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.auth = (sandbox.username, sandbox.password)

    def ask(self, path: str, **params: object) -> requests.Response:
        base = self.sandbox.base_url.removesuffix("/api") if path.startswith("/batch") else self.sandbox.base_url
        return self.get(base + path.replace("{workspace}", self.sandbox.workspace), params=params, timeout=10)

    def rows(self, key: str, path: str, **params: object) -> list[dict]:
        body = self.ask(path, **params).json()
        return body.get("_embedded", body).get(key, [])

    def mint(self) -> None:
        base = self.sandbox.base_url.removesuffix("/api")
        minted = self.post(f"{base}/batch/{self.sandbox.workspace}/signature_tokens", json=WISH, timeout=10).json()
        secret = ":".join(minted[name] for name in ("token", "access_key", "access_secret"))
        self.auth = None
        self.headers["Authorization"] = "Bearer " + base64.b64encode(secret.encode()).decode()


@contextmanager
def reading(options: SandboxOptions = QUICK, **changes: object) -> Iterator[Reader]:
    with serve(replace(options, **changes)) as sandbox, Reader(sandbox) as reader:
        yield reader


@pytest.fixture(scope="module")
def mode() -> Iterator[Reader]:
    with reading() as reader:
        yield reader


def filled(reader: Reader, path: str, name: str) -> str:
    """The path with the tokens of the first parent that has such rows."""
    row = reader.sandbox.world.rows(name)[0]
    return re.sub(r"{(?!workspace)(\w+)}", lambda found: str(row[found[1]]), path)


def report_of(reader: Reader, **facts: object) -> dict:
    rows = reader.sandbox.world.rows("reports")
    return next(row for row in rows if all(row[name] == value for name, value in facts.items()))


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.rest], ids=lambda e: e.name)
def test_every_rest_row_of_the_catalogue_is_served(mode: Reader, endpoint) -> None:
    answer = mode.ask(
        filled(mode, endpoint.rest.path, endpoint.name),
        **endpoint.rest.params,
        **(WINDOW if endpoint.name == "audit_logs" else {}),
    )
    body = answer.json()
    assert answer.status_code == 200
    assert not endpoint.rest.selectors or body.get("_embedded", body)[endpoint.rest.selectors[0]]


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.flat], ids=lambda e: e.name)
def test_flat_lists_are_bare_and_end_without_next_page(endpoint) -> None:
    with reading(flat=True) as reader:
        path, tokens = filled(reader, endpoint.flat.path, endpoint.name), set()
        while path:
            body = reader.ask(path.removeprefix("/api")).json()
            tokens |= {row["token"] for row in body[endpoint.flat.selectors[0]]}
            path = body.get("next_page")
        truth = reader.sandbox.world.rows(endpoint.name)
        wanted = [row for row in truth if row.get("report_token") == truth[0].get("report_token")]
        assert tokens == {row["token"] for row in (wanted if endpoint.flat.placeholders else truth)}


@pytest.mark.parametrize("name", ["reports", "queries", "charts"])
def test_flat_lists_are_unknown_paths_by_default(mode: Reader, name: str) -> None:
    answer = mode.ask("/{workspace}/" + name)
    assert (answer.status_code, answer.json()["message"]) == (404, "request path not recognized")


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.discovery], ids=lambda e: e.name)
def test_discovery_pages_hold_the_truth(endpoint) -> None:
    with reading(reports=120) as reader:
        reader.mint()
        rows, page, path = [], 1, "/batch" + endpoint.discovery.path
        while True:
            body = reader.ask(path, include_spaces="all", per_page=50, page=page).json()
            rows += body[endpoint.discovery.selectors[0]]
            if page >= body["pagination"]["total_pages"]:
                break
            page += 1
        assert "next_page" not in body["_links"]
        assert {row[endpoint.key[0]] for row in rows} == reader.sandbox.world.truth(endpoint.name)


def test_discovery_leaves_personal_collections_out_unless_asked(mode: Reader) -> None:
    with Reader(mode.sandbox) as reader:
        assert reader.ask("/batch/{workspace}/reports").status_code == 401
        reader.mint()
        totals = [
            reader.ask("/batch/{workspace}/reports", **more).json()["pagination"]["total_count"]
            for more in ({}, {"include_spaces": "all"})
        ]
    assert totals[0] < totals[1] == 40


@pytest.mark.parametrize("changes", [{"discovery": False}, {"admin": False}], ids=str)
def test_discovery_needs_plan_and_admin(changes: dict) -> None:
    with reading(**changes) as reader:
        url = reader.sandbox.base_url.replace("/api", f"/batch/{reader.sandbox.workspace}/signature_tokens")
        assert reader.post(url, json=WISH, timeout=10).status_code == 403


def test_malformed_signature_token_requests_are_refused(mode: Reader) -> None:
    url = mode.sandbox.base_url.replace("/api", f"/batch/{mode.sandbox.workspace}/signature_tokens")
    for wish in ({}, {"signature_token": {**WISH["signature_token"], "name": "abc"}}):
        assert mode.post(url, json=wish, timeout=10).status_code == 400


def test_walking_every_collection_gives_all_reports() -> None:
    with reading(reports=120, spaces=8) as reader:
        tokens, pages = set(), 0
        for space in reader.rows("spaces", "/{workspace}/spaces", filter="all"):
            page = 1
            while rows := reader.rows("reports", f"/{{workspace}}/spaces/{space['token']}/reports", page=page):
                tokens |= {row["token"] for row in rows if row["type"] == "Report"}
                page, pages = page + 1, pages + 1
        assert tokens == reader.sandbox.world.truth("reports")
        assert pages >= 3 + 6


@pytest.mark.parametrize(("name", "size"), [("runs", 30), ("runs", 20), ("groups", 30), ("groups", 20)])
def test_counted_lists_end_where_their_counters_say(mode: Reader, name: str, size: int) -> None:
    truth = mode.sandbox.world.rows(name)
    report = max({row.get("report_token") for row in truth}, key=lambda token: str(token))
    path = BY_NAME[name].rest.path.replace("{report_token}", str(report))
    rows, page, pages = [], 1, 1
    while page <= pages:
        body = mode.ask(path, page=page, per_page=size).json()
        rows += body["_embedded"][BY_NAME[name].rest.selectors[0]]
        page, pages = page + 1, body["pagination"]["total_pages"]
    assert [row["token"] for row in truth if row.get("report_token") == report] == [row["token"] for row in rows]
    assert body["pagination"]["total_count"] == len(rows)


def test_runs_have_a_dead_next_page_at_the_end(mode: Reader) -> None:
    body = mode.ask(filled(mode, BY_NAME["runs"].rest.path, "runs"), page=99).json()
    assert body["_embedded"]["report_runs"] == []
    dead = body["_links"]["next_page"]["href"]
    assert mode.ask(dead.removeprefix("/api")).status_code == 404


def test_per_page_is_clamped_and_the_echo_tells(mode: Reader) -> None:
    echo = mode.ask("/{workspace}/spaces", filter="all", per_page=500).json()["pagination"]
    assert (echo["per_page"], echo["count"], echo["total_count"]) == (30, 6, 6)


SINGLE = [e.name for e in ENDPOINTS if e.rest and e.rest.pager == "single page"]


@pytest.mark.parametrize("name", SINGLE)
def test_lists_that_ignore_page_repeat_themselves(mode: Reader, name: str) -> None:
    path, key = filled(mode, BY_NAME[name].rest.path, name), BY_NAME[name].rest.selectors[0]
    first, second = ([row.get("token") for row in mode.rows(key, path, page=page)] for page in (1, 7))
    assert first == second != []


def test_datasets_have_one_page_and_no_counters(mode: Reader) -> None:
    path = filled(mode, BY_NAME["datasets"].rest.path, "datasets")
    first, again, second = (
        mode.ask(path, **params).json() for params in ({}, {"page": 1, "per_page": 1}, {"page": 2, "per_page": 1})
    )
    assert {"pagination", "next_page"}.isdisjoint(first | first["_links"])
    assert len(first["_embedded"]["reports"]) == len(again["_embedded"]["reports"]) > 0
    assert second["_embedded"] == {"reports": []}


def test_charts_name_columns_in_lists_of_formulas(mode: Reader) -> None:
    for row in mode.rows("charts", filled(mode, BY_NAME["charts"].rest.path, "charts")):
        settings = row["view_vegas"]
        encoding = settings["encoding"]
        named = [channel["formula"] for channel in encoding["x"] + encoding["y"]]
        assert named == list(settings["fieldFormats"])
        assert all(re.fullmatch(r"\[\w+\]", name) for name in named)
        assert encoding["marks"]["properties"]["type"]["value"] == settings["chartType"]


def test_schedules_have_a_second_page_without_counters(mode: Reader) -> None:
    path = f"/{{workspace}}/reports/{report_of(mode, schedule_count=33)['token']}/schedules"
    assert [len(mode.rows("report_schedules", path, page=page)) for page in (1, 2, 3)] == [30, 3, 0]


def test_wrong_credentials_are_refused_except_at_the_workspace(mode: Reader) -> None:
    for path, status in (("/verify", 401), (f"/{mode.sandbox.workspace}/spaces", 401), ("/sandbox-inc", 200)):
        assert requests.get(mode.sandbox.base_url + path, auth=("a", "b"), timeout=10).status_code == status
    assert mode.ask("/verify").json()["workspace"] == mode.sandbox.workspace


@pytest.mark.parametrize(
    ("params", "count"), [({}, 0), ({"filter": "All"}, 0), ({"filter": "custom"}, 5), ({"filter": "all"}, 6)]
)
def test_collections_need_a_filter(mode: Reader, params: dict, count: int) -> None:
    assert len(mode.rows("spaces", "/{workspace}/spaces", **params)) == count


def test_a_key_that_is_not_an_admins_sees_less() -> None:
    with reading(admin=False) as reader:
        space = filled(reader, "/{workspace}/spaces/{space_token}/permissions", "space_permissions")
        paths = ["/{workspace}/memberships", "/{workspace}/groups", "/{workspace}/audit_logs", space]
        assert [reader.ask(path).status_code for path in paths] == [404, 403, 401, 403]
        assert len(reader.rows("memberships", "/{workspace}/memberships/lite")) == 14


def test_personal_collections_keep_their_members_to_themselves(mode: Reader) -> None:
    space = next(row["token"] for row in mode.sandbox.world.rows("spaces") if row["space_type"] == "private")
    paths = [f"/{{workspace}}/spaces/{space}{rest}" for rest in ("", "/reports", "/memberships", "/permissions")]
    assert [mode.ask(path).status_code for path in paths] == [200, 200, 400, 400]


def test_unknown_things_are_not_found_in_modes_words(mode: Reader) -> None:
    for path, message in (
        ("/{workspace}/nothing", "request path not recognized"),
        ("/other/spaces", "request path not recognized"),
        ("/{workspace}/reports/0123456789ab/runs", "report not found"),
        ("/nobody", "user not found"),
    ):
        assert mode.ask(path).json() == {"id": "not_found", "message": message}


def test_audit_logs_want_a_window_and_plain_json(mode: Reader) -> None:
    hal = {"Accept": "application/hal+json"}
    url = f"{mode.sandbox.base_url}/{mode.sandbox.workspace}/audit_logs"
    assert mode.get(url, params=WINDOW, headers=hal, timeout=10).status_code == 406
    assert mode.ask("/{workspace}/audit_logs").status_code == 400
    ids, token = [], ""
    while token is not None:
        body = mode.ask("/{workspace}/audit_logs", **WINDOW, next_token=token).json()
        ids, token = ids + [row["id"] for row in body["audit_logs"]], body["pagination"]["next_token"]
    assert len(ids) > 200
    assert set(ids) == mode.sandbox.world.truth("audit_logs")


def test_the_limit_is_real_and_refused_requests_do_not_count() -> None:
    with reading(rate_limit_requests=5, rate_limit_seconds=1.0) as reader:
        answers = [reader.ask("/verify") for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
        assert (answers[5].headers["Retry-After"], answers[5].json()["id"]) == ("1", "rate_limited")
        assert [answers[i].headers["X-RateLimit-Remaining"] for i in (0, 4)] == ["4", "0"]
        time.sleep(1.0 - (time.monotonic() - reader.sandbox.requests[0].at) + 0.02)
        assert reader.ask("/verify").status_code == 200


def test_faults_hit_as_often_as_they_should(mode: Reader) -> None:
    def outcome(fault: Fault) -> tuple:
        mode.sandbox.faults.append(fault)
        try:
            answer = mode.ask("/verify")
        except requests.RequestException as error:
            return (type(error).__name__,)
        return answer.status_code, answer.headers["Content-Type"].split(";")[0], answer.text[:9]

    once = {"path": "GET /api/verify", "times": 1}
    assert outcome(Fault(**once, status=502, body="<html>")) == (502, "text/html", "<html>")
    assert outcome(Fault(**once, kind="html"))[:2] == (200, "text/html")
    assert outcome(Fault(**once, kind="body", body="[1, 2")) == (200, "application/json", "[1, 2")
    assert outcome(Fault(**once, kind="truncate")) == ("ChunkedEncodingError",)
    assert outcome(Fault(**once, kind="drop")) == ("ConnectionError",)
    assert outcome(Fault(**once, kind="delay", seconds=0.05))[0] == 200
    assert mode.ask("/verify").status_code == 200
    mode.sandbox.faults.clear()


def bodies(reader: Reader) -> list[str]:
    reports = [row["token"] for row in reader.sandbox.world.rows("reports")]
    paths = [filled(reader, BY_NAME[name].rest.path, name) for name in ("reports", "runs", "query_runs", "charts")]
    paths += [f"/{{workspace}}/reports/{token}/runs" for token in reports]
    return [re.sub(r'"web_preview_image": "[^"]*"', "", reader.ask(path).text) for path in paths]


def test_same_seed_and_clock_give_the_same_bytes(mode: Reader) -> None:
    with reading() as twin, reading(seed=2) as stranger:
        assert bodies(mode) == bodies(twin)
        assert not mode.sandbox.world.truth("reports") & stranger.sandbox.world.truth("reports")


def test_the_workspace_lives_and_keeps_its_tokens() -> None:
    now = [NOON]
    with reading(clock=lambda: now[0]) as reader:
        world = reader.sandbox.world
        before, old, texts = world.truth("reports"), world.rows("runs"), texts_of(reader)
        now[0] += timedelta(days=10)
        gone = before - world.truth("reports")
        assert len(world.truth("reports")) == len(before)
        assert reader.ask(f"/{{workspace}}/reports/{min(gone)}").status_code == 404
        runs = world.truth("runs")
        lost = {row["report_token"] for row in old if row["token"] not in runs}
        assert lost <= gone
        assert len(runs) > len(old)
        later = texts_of(reader)
        assert {token for token in texts if token in later and texts[token] != later[token]}


def texts_of(reader: Reader) -> dict[str, str]:
    moment = reader.sandbox.world.moment()
    return {query.token: moment.text(query) for report in moment.reports for query in moment.queries(report)}


def test_a_run_is_open_for_its_duration_and_then_ends() -> None:
    now = [NOON]
    with reading(clock=lambda: now[0]) as reader:
        run = next(row for row in reader.sandbox.world.rows("runs") if row["outcome"] == "succeeded")
        path = f"/{{workspace}}/reports/{run['report_token']}/runs/{run['token']}"
        now[0] = run["created_at"] + timedelta(seconds=1)
        early = reader.ask(path).json()
        now[0] = run["ended_at"]
        late = reader.ask(path).json()
    assert (early["state"], early["completed_at"], late["state"]) == ("pending", None, "succeeded")
    assert late["completed_at"] == late["updated_at"] > late["created_at"]


@pytest.mark.parametrize("counter", ["query_count", "chart_count", "runs_count", "schedules_count"])
def test_counters_are_true_where_they_are_there(mode: Reader, counter: str) -> None:
    table = {"runs_count": "runs", "query_count": "queries", "chart_count": "charts"}.get(counter, "report_schedules")
    truth = [row["report_token"] for row in mode.sandbox.world.rows(table)]
    with reading(flat=True) as flat:
        rows = flat.rows("reports", "/{workspace}/reports") + flat.rows("reports", "/{workspace}/reports", page=2)
    there = [row for row in rows if counter in row]
    assert all(row[counter] == truth.count(row["token"]) for row in there)
    assert len(there) == 40 if counter == "query_count" else 30 < len(there) < 40


def test_a_query_is_found_by_its_own_token_alone(mode: Reader) -> None:
    chart = mode.sandbox.world.rows("charts")[0]
    other = mode.sandbox.world.rows("reports")[-1]["token"]
    path = f"/{{workspace}}/reports/{other}/queries/{chart['query_token']}"
    assert mode.ask(path).json()["token"] == chart["query_token"]
    assert chart["token"] in {row["token"] for row in mode.rows("charts", path + "/charts")}


def test_thousands_of_reports_are_served() -> None:
    with reading(reports=3_000, spaces=80) as reader:
        assert reader.ask("/{workspace}/spaces", filter="all").json()["pagination"]["total_pages"] == 3
        assert len(reader.rows("reports", filled(reader, BY_NAME["reports"].rest.path, "reports"))) == 30


def test_every_table_of_the_catalogue_has_a_truth(mode: Reader) -> None:
    for endpoint in ENDPOINTS:
        rows = mode.sandbox.world.rows(endpoint.name)
        route = endpoint.route(Listing.DISCOVERY)
        assert len(mode.sandbox.world.truth(endpoint.name)) == len(rows) > 0
        assert endpoint.name == "users" or all(name in rows[0] for name in route.placeholders)
