"""The fault matrix: whatever goes wrong, nothing that is loaded is lost, and the next good sync makes everything right.

Faults are grouped: one sync meets many of them, each on a table (or a row) of its own, between two good syncs.
docs/reliability.md has a line for each; a test compares.
"""

import ctypes
import functools
import os
import re
import resource
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mode_dagster.extract import client as client_module
from mode_dagster.extract import limiter
from mode_dagster.extract.client import ModeClient
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import DestinationError, ModeAuthError, ModeRequestError, ModeUnavailable
from mode_dagster.extract.pipeline import load, mode_pipeline
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Fault, Sandbox, SandboxOptions, serve
from mode_dagster.sandbox.records import WORKSPACE
from mode_dagster.settings import ENV_PREFIX, Settings
from mode_dagster_tests.conftest import NOON

WORLD = SandboxOptions(reports=8, spaces=3, groups=40, days=3, rate_limit_requests=1_000_000, clock=lambda: NOON)
"""Groups fill two pages, so that there is something between them."""
FILE = "mode_analytics.duckdb"
Table = Mapping[tuple, Mapping[str, Any]]
"""Rows by key."""


@dataclass(frozen=True)
class Case:
    """One fault on one table."""

    id: str
    table: str
    fault: Fault
    says: str = ""
    """What the error says; empty where the same sync recovers."""


@dataclass
class Outcome:
    """Tables before, after and two syncs after a fault, and what the user was told."""

    before: dict[str, Table]
    after: dict[str, Table] = field(default_factory=dict)
    finally_: dict[str, Table] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)
    """Tokens of the odd rows."""


LEAVES = (
    "workspaces",
    "data_sources",
    "memberships",
    "charts",
    "report_filters",
    "query_runs",
    "report_schedules",
    "report_subscriptions",
    "dataset_runs",
    "dataset_schedules",
    "dataset_fields",
    "dataset_field_descriptions",
    "group_memberships",
    "space_memberships",
    "space_permissions",
    "audit_logs",
)
"""Tables that no other one hangs on, as many as there are ANSWERS."""

TWICE = ", twice"
LATER = "run it again later"
NOT_MODE = "Is base_url Mode's API"
RATE = "lower rate_limit_requests"
ANSWERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("429 without Retry-After", {"status": 429}, RATE),
    ("429 with Retry-After", {"status": 429, "headers": {"Retry-After": "1"}}, RATE),
    ("429 with an absurd Retry-After", {"status": 429, "headers": {"Retry-After": "9" * 5000}}, RATE),
    (
        "429 with a date in Retry-After",
        {"status": 429, "headers": {"Retry-After": "Fri, 31 Dec 2099 23:59:59 GMT"}},
        RATE,
    ),
    ("429 with nonsense in Retry-After", {"status": 429, "headers": {"Retry-After": "\xb2 soon"}}, RATE),
    ("500", {"status": 500}, LATER),
    ("502 with HTML", {"status": 502, "body": "<html>Bad Gateway</html>"}, LATER),
    ("503 with Retry-After", {"status": 503, "headers": {"Retry-After": "1"}}, LATER),
    ("504", {"status": 504}, LATER),
    ("an answer that stalls", {"kind": "delay", "seconds": 2.5}, LATER),
    ("a connection that is reset in the body", {"kind": "reset"}, LATER),
    ("a JSON that is cut short", {"kind": "truncate"}, LATER),
    ("HTML with 200", {"kind": "html"}, NOT_MODE),
    ("an empty body", {"kind": "body", "body": ""}, NOT_MODE),
    ("half of a JSON, all of the length", {"kind": "body", "body": '{"_embedded": {"x": ['}, NOT_MODE),
    ("gzip garbage", {"kind": "body", "body": "garbage", "headers": {"Content-Encoding": "gzip"}}, LATER),
)
"""Faults that may pass: met twice they are got over, met for ever they are named."""


def path_of(table: str) -> str:
    route = BY_NAME[table].rest
    return "GET /api" + re.sub(r"{\w+}", "[^/?]+", route.path.replace("{workspace}", WORKSPACE)) + r"(\?|$)"


def on(table: str, **how: Any) -> Fault:
    return Fault(how.pop("path", path_of(table)), **how)


def embedded(change: Callable[[list], Any]) -> Callable[[dict], dict]:
    """Changes the list of an answer that has one."""

    def edit(body: dict) -> dict:
        if not body.get("_embedded"):
            return body
        (name, rows), *_ = body["_embedded"].items()
        return {**body, "_embedded": {name: change(rows)}}

    return edit


def more_pages(body: dict) -> dict:
    return {**body, "pagination": {"total_pages": 9, "total_count": 270, "page": 1, "per_page": 30, "count": 30}}


def for_ever(body: dict) -> dict:
    """A page of rows that were never there before."""
    for_ever.pages += 1
    rows = [{"token": f"{for_ever.pages}-{number}"} for number in range(30)]
    return {"_embedded": {"report_schedules": rows}}


def cursor_for_ever(body: dict) -> dict:
    """The same events again and again; they are loaded as they come."""
    cursor_for_ever.pages += 1
    return {**body, "pagination": {"next_token": f"n{cursor_for_ever.pages}"}}


for_ever.pages = cursor_for_ever.pages = 0
PAGE_2 = path_of("groups").replace(r"(\?|$)", r"\?.*page=2")

PASSING = [
    *(
        Case(name + TWICE, table, on(table, times=2, **how))
        for (name, how, _), table in zip(ANSWERS, LEAVES, strict=True)
    ),
    Case("a token twice, on two pages", "groups", Fault(PAGE_2, kind="edit", edit=lambda body: repeat_first(body))),
]
LASTING = [
    Case(f"{name}, for ever", table, on(table, **how), says)
    for (name, how, says), table in zip(ANSWERS, LEAVES, strict=True)
]
MISSING = "the answer has no list, and there were"
WALKS = [
    Case("`_embedded` is missing", "data_sources", on("data_sources", kind="body", body='{"_links": {}}'), MISSING),
    Case("`_embedded` is null", "definitions", on("definitions", kind="body", body='{"_embedded": null}'), MISSING),
    Case(
        "a list where an object is due: `_embedded`",
        "space_permissions",
        on("space_permissions", kind="edit", edit=lambda body: {**body, "_embedded": [1]}),
        "_embedded is not an object",
    ),
    Case(
        "a list where an object is due: the answer",
        "workspaces",
        on("workspaces", kind="edit", edit=lambda body: [body]),
        "not a JSON object",
    ),
    Case(
        "an object where a list is due",
        "space_memberships",
        on("space_memberships", kind="edit", edit=embedded(lambda rows: {"error": "no"})),
        "is not a list of objects",
    ),
    Case(
        "texts where objects are due",
        "report_filters",
        on("report_filters", kind="edit", edit=embedded(lambda rows: ["a"])),
        "is not a list of objects",
    ),
    Case(
        "another program's JSON",
        "dataset_fields",
        on("dataset_fields", kind="body", body='{"status": "ok"}'),
        NOT_MODE,
    ),
    Case(
        "fewer pages than Mode says",
        "dataset_runs",
        on("dataset_runs", kind="edit", edit=more_pages),
        "Mode says there are 9 pages",
    ),
    Case(
        "a list without an end",
        "report_schedules",
        on("report_schedules", kind="edit", edit=for_ever),
        "did not end after 50 pages.*look at it in Mode",
    ),
    Case(
        "a cursor without an end",
        "audit_logs",
        on("audit_logs", kind="edit", edit=cursor_for_ever),
        "did not end after 60 pages.*set history_days",
    ),
    Case(
        "a redirection to another host",
        "group_memberships",
        on("group_memberships", status=302, headers={"Location": "https://elsewhere.example/x?secret=1"}),
        r"sends us to https://elsewhere\.example/x, and credentials are not sent on",
    ),
    Case(
        "items that move between pages during the walk",
        "groups",
        # the last row of page 1 went after page 1 was read: page 2 begins one later
        Fault(PAGE_2, kind="edit", edit=embedded(lambda rows: rows[1:]), times=1),
    ),
    Case(
        "a token twice, on one page",
        "dataset_field_descriptions",
        on("dataset_field_descriptions", kind="edit", edit=embedded(lambda rows: rows + rows)),
    ),
    Case(
        "a content type that is wrong",
        "query_runs",
        on("query_runs", headers={"Content-Type": "text/html"}, kind="edit"),
    ),
]


def repeat_first(body: dict) -> dict:
    rows = body["_embedded"]["groups"]
    return {**body, "_embedded": {"groups": rows + rows[:1]}}


BIG = "x" * 10_000_000
ROWS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("wrong types", "reports", {"view_count": "many", "archived": [], "created_at": {"a": 1}}, {"view_count": None}),
    ("an id as text that was a number", "reports", {"id": "4711"}, {"id": "4711"}),
    ("an id as a number that was text", "definitions", {"data_source_id": 4711}, {"data_source_id": "4711"}),
    ("an id as a number with a point", "reports", {"id": 4711.0}, {"id": "4711"}),
    (
        "a number that no column holds",
        "groups",
        {"member_count": 10**30, "other": 2**63},
        {"member_count": None},
    ),
    (
        "weird Unicode in a name",
        "groups",
        {"name": "\u202e\ufeff\uffff\U0001d4b3"},
        {"name": "\u202e\ufeff\uffff\U0001d4b3"},
    ),
    ("half a surrogate pair in a name", "groups", {"name": "a\ud800b"}, {"name": "a?b"}),
    ("NUL in a name", "groups", {"name": "a\0b"}, {"name": "a\0b"}),
    ("NaN", "groups", {"member_count": float("nan")}, {"member_count": None}),
    ("a row of 10 MB", "definitions", {"source": BIG}, {"source": BIG}),
    ("SQL of 1 MB", "definitions", {"source": "SELECT 1 -- " + "é" * 500_000}, {}),
    ("the year 1", "reports", {"created_at": "0001-01-01T00:00:00+10:00"}, {"created_at": None}),
    ("the year 9999", "reports", {"created_at": "9999-12-31T23:59:59.999-10:00"}, {"created_at": None}),
    ("the year 20000", "reports", {"created_at": "20000-01-01T00:00:00Z"}, {"created_at": None}),
    ("a time as an absurd number", "reports", {"created_at": 10**18}, {"created_at": None}),
    ("names of columns that are ours", "groups", {"_dlt_id": "x", "_dlt_load_id": "y"}, {}),
)
"""Faults of one row: its table, what is changed in it, what is stored of it."""


def tokens(world: Sandbox, table: str) -> Iterator[str]:
    return iter(sorted(world.world.truth(table)))


def odd_rows(world: Sandbox) -> tuple[dict[str, str], list[Fault]]:
    """The token of the row that each of ROWS has for itself, and the faults that change them."""
    free = {table: tokens(world, table) for table in {table for _, table, _, _ in ROWS}}
    found, changes = {}, {}
    for name, table, change, _ in ROWS:
        found[name] = next(free[table])
        changes[found[name]] = change

    def change_rows(rows: list[dict]) -> list[dict]:
        return [{**row, **changes.get(row["token"], {})} for row in rows]

    return found, [on(table, kind="edit", edit=embedded(change_rows)) for table in free]


GROUPS = {"passing": PASSING, "lasting": LASTING, "walks": WALKS}
"""Each is one sync; the odd rows go with `lasting`, which leaves their tables alone."""


def content(path: Path, tables: Iterable[str] = BY_NAME) -> dict[str, Table]:
    """What is in the tables, in their documented columns, but for what is gone."""
    found = {}
    with duckdb.connect(str(path)) as connection:
        for endpoint in map(BY_NAME.__getitem__, tables):
            documented = {column.name for column in endpoint.all_columns}
            relation = connection.sql(f"SELECT * FROM mode_analytics_data.{endpoint.name}")
            rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
            live = [row for row in rows if row.get("deleted_at") is None]
            found[endpoint.name] = {
                tuple(row[name] for name in endpoint.key): {
                    name: value for name, value in row.items() if name in documented
                }
                for row in live
            }
            assert len(found[endpoint.name]) == len(live), endpoint.name
    return found


def sync_once(
    world: Sandbox, tables: Iterable[str] = BY_NAME, *, reconcile: bool = False, ahead: timedelta = timedelta()
) -> dict[str, str]:
    """One sync; what was said of tables that failed."""
    settings = Settings(
        **world.access,
        rate_limit_requests=1_000_000,
    )
    pipeline = mode_pipeline()
    clock = lambda: world.world.now() + ahead  # noqa: E731
    with Sync(settings, pipeline=pipeline, clock=clock, reconcile=reconcile, isolate=True) as sync:
        for info in load(pipeline, sync, list(tables)):
            info.raise_on_failed_jobs()
        return {table: str(error) for table, error in sync.failures.items()}


@contextmanager
def folder_of(path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Has the file and dlt's folders in `path`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLT_DATA_DIR", str(path / "dlt"))
        patch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(path / FILE))
        yield patch


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after one good sync."""
    folder = tmp_path_factory.mktemp("good")
    with folder_of(folder), serve(WORLD) as world:
        assert not sync_once(world)
    return folder


@pytest.fixture(scope="session")
def outcome(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """A group's faults between two good syncs; run when it is first asked for."""

    @functools.cache
    def run(group: str) -> Outcome:
        folder = tmp_path_factory.mktemp(group) / "after"
        shutil.copytree(good, folder)
        found = Outcome(content(folder / FILE))
        with folder_of(folder) as patch, serve(WORLD) as world:
            patch.setenv("RUNTIME__REQUEST_TIMEOUT", "2")
            patch.setattr(limiter, "LONGEST_PAUSE", 0.1)
            patch.setattr(client_module, "MOST_PAGES", 50)
            patch.setattr(client_module, "MOST_EVENT_PAGES", 60)
            world.faults += [replace(case.fault) for case in GROUPS[group]]
            if group == "lasting":
                found.odd, faults = odd_rows(world)
                world.faults += faults
            found.said = sync_once(world, reconcile=True)
            found.after = found.finally_ = content(folder / FILE)
            if found.said:
                world.faults.clear()
                assert not sync_once(world)
                found.finally_ = content(folder / FILE)
        return found

    return run


@pytest.mark.parametrize(
    ("group", "case"),
    [pytest.param(group, case, id=case.id) for group in GROUPS for case in GROUPS[group]],
)
def test_a_fault_is_got_over_or_named_and_nothing_is_lost(group, case, outcome):
    found = outcome(group)
    assert found.before[case.table], "the sandbox has nothing to lose here"
    if case.says:
        said = found.said[case.table]
        assert re.match(r"Could not (list|look up) ", said)
        assert re.search(case.says, said)
        assert len(said) < 500
        assert found.before[case.table].keys() <= found.after[case.table].keys()
    else:
        assert case.table not in found.said
        assert found.after[case.table] == found.before[case.table]
    assert found.finally_[case.table] == found.before[case.table]


@pytest.mark.parametrize("group", GROUPS)
def test_faults_keep_to_their_tables(group, outcome):
    found = outcome(group)
    assert set(found.said) == {case.table for case in GROUPS[group] if case.says}
    assert found.finally_ == found.before


@pytest.mark.parametrize(
    ("name", "table", "stored"), [(name, table, stored) for name, table, _, stored in ROWS], ids=[r[0] for r in ROWS]
)
def test_an_odd_row_is_loaded_with_all_others(name, table, stored, outcome):
    found = outcome("lasting")
    assert table not in found.said
    assert found.after[table].keys() == found.before[table].keys()
    row = found.after[table][(found.odd[name],)]
    assert {column: row[column] for column in stored} == stored
    assert found.finally_[table] == found.before[table]


TOLD_APART = ["an audit log that breaks off"]
"""Faults that have a test of their own; the first one's is in `test_audit_log`."""


def fault(*names: str) -> Callable[[Callable], Callable]:
    """Notes which faults a test is about, for the comparison with the documentation."""
    TOLD_APART.extend(names)
    return lambda test: test


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder after one good sync, to be spoilt."""
    shutil.copytree(good, tmp_path / "spoilt")
    with folder_of(tmp_path / "spoilt"):
        yield tmp_path / "spoilt"


@fault("credentials revoked in mid-sync")
def test_credentials_that_are_revoked_in_mid_sync_stop_it_and_mark_nothing(folder):
    before = content(folder / FILE)
    with serve(WORLD) as world:
        world.faults.append(Fault("/api/", status=401, after=10))
        with pytest.raises(ModeAuthError, match=r"Check username \(API token\) and password \(API secret\)"):
            sync_once(world, reconcile=True)
        assert any(request.status == 200 for request in world.requests)
        assert content(folder / FILE) == before
        world.faults.clear()
        assert not sync_once(world, ["spaces", "reports", "queries"])
    assert content(folder / FILE) == before


@fault("items that move between pages, in a list without counters")
def test_a_report_that_moves_to_a_page_already_read_is_not_taken_for_gone(tmp_path):
    tables = ["spaces", "reports"]
    with folder_of(tmp_path), serve(replace(WORLD, reports=45, spaces=1)) as world:
        assert not sync_once(world, tables)
        before = content(tmp_path / FILE, tables)
        page_2 = r"/reports\?.*page=2"
        world.faults.append(Fault(page_2, kind="edit", edit=embedded(lambda rows: rows[1:]), times=1))
        assert not sync_once(world, tables)
        assert not world.faults[0].times
    assert content(tmp_path / FILE, tables) == before


@fault("our clock ahead of Mode's", "our clock behind Mode's")
@pytest.mark.parametrize("hours", [8, -8], ids=["ahead", "behind"])
def test_a_clock_that_is_wrong_loses_no_event(hours, tmp_path):
    now = [NOON]
    with folder_of(tmp_path), serve(replace(WORLD, clock=lambda: now[0])) as world:
        assert not sync_once(world, ["audit_logs"], ahead=timedelta(hours=hours))
        early = world.world.truth("audit_logs")
        now[0] += timedelta(hours=6)
        assert world.world.truth("audit_logs") > early, "nothing happened that could be lost"
        now[0] += timedelta(hours=26)
        assert not sync_once(world, ["audit_logs"])
        assert {key for (key,) in content(tmp_path / FILE, ["audit_logs"])["audit_logs"]} == world.world.truth(
            "audit_logs"
        )


@pytest.fixture
def client(sandbox, reads):
    """A client for the sandbox of a base_url, as the environment says."""

    def connect(base_url: str = "") -> ModeClient:
        return ModeClient(replace(reads(sandbox), base_url=base_url or sandbox.base_url))

    return connect


def test_credentials_and_requests_never_follow_to_another_host(sandbox, client):
    with serve(WORLD) as other:
        for status in (301, 302, 303, 307, 308):
            where = other.base_url.replace("127.0.0.1", "localhost") + "/verify?token=4711"
            sandbox.faults[:] = [Fault("/verify", status=status, headers={"Location": where})]
            with pytest.raises(ModeRequestError, match=r"sends us to http://localhost/api/verify, and cred") as raised:
                client().verify()
            assert "4711" not in str(raised.value)
        assert other.requests == []


@fault("a proxy")
def test_a_proxy_is_used(sandbox, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", sandbox.base_url.removesuffix("/api"))
    monkeypatch.setenv("NO_PROXY", "")
    assert client("http://mode.invalid/api").verify()["workspace"] == sandbox.workspace


@fault("a proxy that wants a login")
def test_a_proxy_that_wants_a_login_is_said_to(sandbox, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", sandbox.base_url.removesuffix("/api"))
    monkeypatch.setenv("NO_PROXY", "")
    sandbox.faults.append(Fault("/verify", status=407))
    with pytest.raises(ModeRequestError, match=r"HTTP 407 .* put it into HTTPS_PROXY"):
        client("http://mode.invalid/api").verify()


@fault("a proxy that is down")
def test_a_proxy_that_is_down_is_named_without_its_login(sandbox, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://ada:sec-proxy-4711@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(ModeUnavailable, match=r"no answer .*HTTPS_PROXY") as raised:
        client("http://mode.invalid/api").verify()
    assert "4711" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("HTTPS_PROXY", "http://ada:4711#x@proxy.test:3128", id="proxy with a # in its password"),
        pytest.param("HTTPS_PROXY", "http://ada:47[11@proxy.test:3128", id="proxy with a bracket in its password"),
        pytest.param("HTTPS_PROXY", "http://ada:4711@.proxy.test:3128", id="proxy with a dot too many"),
        pytest.param("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", id="CA file that is not there"),
    ],
)
def test_a_proxy_or_ca_file_that_is_mistyped_is_named_without_a_login(client, monkeypatch, name, value):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv(name, value)
    with pytest.raises(ModeUnavailable, match=r"HTTPS_PROXY.*REQUESTS_CA_BUNDLE") as raised:
        client("https://mode.invalid/api").verify()
    assert "47" not in str(raised.value)


def test_the_bundled_sandbox_is_not_looked_for_behind_a_proxy(client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert client().verify()


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    path = folder / "self-signed.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sandbox"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {folder / 'certificate.pem'}"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(path.read_text() + (folder / "certificate.pem").read_text())
    return path


@fault("a TLS certificate that nobody trusts")
@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_trusts_is_refused_and_its_ca_can_be_named(client, tmp_path, monkeypatch):
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    with serve(replace(WORLD, tls=tls)) as world:
        with pytest.raises(ModeUnavailable, match=r"no trusted TLS connection .* REQUESTS_CA_BUNDLE"):
            client(world.base_url).verify()
        assert world.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
        assert client(world.base_url).verify()


@fault("a disk that fills up")
def test_a_disk_that_fills_up_is_named_and_leaves_what_was_loaded(folder):
    before = content(folder / FILE)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serve(WORLD) as world:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
        try:
            with pytest.raises(DestinationError, match=r"the disk is full\. Make room and run again"):
                sync_once(world, ["groups", "definitions"], reconcile=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert content(folder / FILE) == before
        assert not sync_once(world, ["groups", "definitions"])
    assert content(folder / FILE) == before


def of_a_newer_version(data: bytes) -> bytes:
    """The first block with another version number, and the checksum that belongs to it."""
    checksum, header = int.from_bytes(data[:8], "little"), bytearray(data[8:24])
    for number in (64, 99):
        header[4:12] = number.to_bytes(8, "little")
        for word in (header[:8], header[8:]):
            checksum ^= int.from_bytes(word, "little") * 0xBF58476D1CE4E5B9 % 2**64
    return checksum.to_bytes(8, "little") + header + data[24:]


@fault("a DuckDB file of a newer version", "a DuckDB file that is cut short", "a file that is no DuckDB file")
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(of_a_newer_version, "another version of DuckDB", id="newer"),
        pytest.param(lambda data: data[: len(data) // 2], "damaged", id="cut short"),
        pytest.param(lambda _: b"Dear diary, " * 1000, "no DuckDB file", id="no DuckDB file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_left_alone(folder, spoil, says):
    file = folder / FILE
    whole, before = file.read_bytes(), content(file)
    spoilt = spoil(whole)
    file.write_bytes(spoilt)
    with serve(WORLD) as world:
        with pytest.raises(DestinationError, match=f"{says}.*(DESTINATION__DUCKDB|delete it)"):
            sync_once(world, ["definitions"])
        assert world.requests == []
        assert file.read_bytes() == spoilt
        file.write_bytes(whole)
        assert not sync_once(world, ["definitions"])
    assert content(file) == before


def sync_elsewhere(world: Sandbox, folder: Path, forbid: Callable[[], object] | None = None) -> str:
    """What a sync says in a process of its own."""
    environment = {**os.environ, **{ENV_PREFIX + name.upper(): value for name, value in world.access.items()}}
    command = [sys.executable, "-m", "mode_dagster.extract", "definitions"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, preexec_fn=forbid)
    assert "Traceback" not in done.stderr
    return done.stderr


def be_nobody_special() -> None:
    """Takes from root, too, what lets it write where it may not: CAP_DAC_OVERRIDE, by PR_CAPBSET_DROP."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@fault("a DuckDB file that is read-only")
def test_a_file_that_is_read_only_is_said_to_be(folder):
    file = folder / FILE
    before = content(file)
    file.chmod(0o444)
    with serve(WORLD) as world:
        assert "it may not be written. Give this user the right" in sync_elsewhere(world, folder, be_nobody_special)
        file.chmod(0o644)
        assert not sync_once(world, ["definitions"])
    assert content(file) == before


@fault("a DuckDB file that is locked")
def test_a_file_that_is_locked_is_named_with_who_has_it_open(folder):
    with duckdb.connect(str(folder / FILE)), serve(WORLD) as world:
        assert f"another program has it open (PID {os.getpid()})" in sync_elsewhere(world, folder)
        assert world.requests == []


def test_every_fault_is_in_the_documentation_and_none_beside():
    page = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| (?!fault \|)([^|-][^|]*?) \|", page, flags=re.M)
    tested = [name for name, _, _ in ANSWERS] + [name for name, *_ in ROWS] + TOLD_APART
    tested += [case.id for case in [*WALKS, *PASSING] if not case.id.endswith(TWICE)]
    assert sorted(documented) == sorted(tested)
