"""Secrets are in no byte that a sync writes, however it ends; people are in the tables only as far as is set."""

import gzip
import os
import re
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.extract.personal import PersonalData
from mode_dagster.sandbox import Fault, Sandbox, serve
from mode_dagster.sandbox.discovery import SCOPE, mint
from mode_dagster.settings import ENV_PREFIX, Settings, load_settings
from mode_dagster_tests.conftest import NOON, SMALL
from mode_dagster_tests.processes import measured

FEW = replace(SMALL, reports=4, spaces=2, groups=2, days=2)


def forms_of(*secrets: str) -> set[bytes]:
    """A secret as it may be written: plain, quoted, in base64 alone and together with the others."""
    texts = {*secrets, ":".join(secrets), *(quote(secret, safe="") for secret in secrets)}
    return {text.encode() for text in texts} | {b64encode(text.encode()).rstrip(b"=") for text in texts}


def texts_of_duckdb(path: Path) -> bytes:
    """All values of all tables: in the file itself they may be packed."""
    with duckdb.connect(str(path)) as connection:
        names = connection.sql("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
        rows = [connection.sql(f'SELECT * FROM "{schema}"."{name}"').fetchall() for schema, name in names]
    return repr(rows).encode()


def texts_of_sqlite(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()).encode()


def written(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, unpacked where it is packed."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data += gzip.decompress(data)
        elif data.startswith(b"SQLite format 3"):
            data += texts_of_sqlite(path)
        elif data[8:12] == b"DUCK":
            data += texts_of_duckdb(path)
        found[str(path.relative_to(folder))] = data
    return found


def assert_nowhere(folder: Path, *secrets: str) -> None:
    found = [(name, form) for name, data in written(folder).items() for form in forms_of(*secrets) if form in data]
    assert not found


def test_the_search_finds_a_secret_in_every_form_and_file(tmp_path):
    user, secret = "who-4711", "sec+4711"
    for number, form in enumerate(sorted(forms_of(user, secret))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "packed").write_bytes(gzip.compress(b"x" + form))
        with pytest.raises(AssertionError):
            assert_nowhere(folder, user, secret)
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT ? AS x FROM range(10000)", [secret])
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.execute("CREATE TABLE t AS SELECT ? AS x", [user])
        connection.commit()
    names = {name for name, data in written(tmp_path).items() if secret.encode() in data or user.encode() in data}
    assert {"d.duckdb", "s.db"} <= names


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Starts a command that says and writes all it can, into a folder of its own."""

    def call(world: Sandbox, *command: str, **settings: str) -> subprocess.Popen:
        folder = tmp_path / "everything"
        for name in ("home", "temp", "dagster"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        values = {
            **world.access,
            "rate_limit_requests": "100000",
            **settings,
        }
        environment = {
            **measured(),
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "temp"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "DLT_DATA_DIR": str(folder / "dlt"),
            "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "mode_analytics.duckdb"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "DEBUG",
            "RUNTIME__REQUEST_MAX_ATTEMPTS": "2",
            "RUNTIME__REQUEST_BACKOFF_FACTOR": "0.01",
            "PYTHONFAULTHANDLER": "1",
            **{ENV_PREFIX + name.upper(): value for name, value in values.items()},
        }
        with (folder / "said").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
            )

    return call


def echo(*credentials: str) -> str:
    """An error whose text repeats the credentials, as some servers do."""
    both = ":".join(credentials)
    return f'{{"id": "no", "message": "I do not like {both}, nor Basic {b64encode(both.encode()).decode()}"}}'


def test_a_dagster_run_with_a_failing_table_writes_no_secret(run, tmp_path):
    with serve(FEW) as world:
        world.faults.append(Fault("/definitions", status=500, body=echo(world.username, world.password)))
        tables = "key:mode/definitions or key:mode/reports or key:mode/sync_ledger"
        code = run(
            world, "dagster", "asset", "materialize", "-m", "mode_dagster.definitions", "--select", tables
        ).wait()
        folder = tmp_path / "everything"
        said = (folder / "said").read_text()
        assert code == 1, said
        assert "I do not like …, nor Basic …" in said
        assert {"mode_analytics.duckdb", "dagster", "dlt"} <= {path.name for path in folder.iterdir()}
        assert_nowhere(folder, world.username, world.password)


@pytest.mark.slow
def test_good_and_bad_loads_with_a_discovery_token_write_no_secret(run, tmp_path):
    with serve(FEW) as world:
        wish = {"name": "given", "expires_at": "2030-01-01", "auth_scope": SCOPE}
        token = mint(world.world.history, {"signature_token": wish}, NOON)
        parts = {"token": token["token"], "access_key": token["access_key"], "access_secret": token["access_secret"]}
        settings = {f"signature_{name}": value for name, value in parts.items()} | {"listing": Listing.DISCOVERY}
        assert run(world, "mode_dagster.extract", "reports", "spaces", **settings).wait() == 0
        secrets = (world.username, world.password, *parts.values())
        assert_nowhere(tmp_path / "everything", *secrets)
        assert_nowhere(tmp_path / "everything", *parts.values())
        world.faults.append(Fault("/batch/", status=401, body=echo(*parts.values())))
        assert run(world, "mode_dagster.extract", "reports", "spaces", **settings).wait() == 1
        assert_nowhere(tmp_path / "everything", *secrets)


def test_a_process_that_crashes_dumps_no_secret(run, tmp_path):
    with serve(replace(FEW, latency=0.1)) as world:
        process = run(world, "mode_dagster.extract")
        while process.poll() is None and len(world.requests) < 5:
            time.sleep(0.01)
        process.send_signal(6)
        process.wait()
        assert "Fatal Python error" in (tmp_path / "everything" / "said").read_text()
        assert_nowhere(tmp_path / "everything", world.username, world.password)


def test_what_mode_sends_never_becomes_a_path(sandbox, load_from, tmp_path, query):
    def climb(body: dict) -> dict:
        rows = body["_embedded"]["spaces"]
        rows[0] |= {"token": "../../../climbed", "name": "../../climbed", "../../climbed": 1}
        return body

    before = set(tmp_path.parent.rglob("*climbed*"))
    sandbox.faults.append(Fault(r"/spaces\?", kind="edit", edit=climb))
    load_from(sandbox, "spaces", "reports", "datasets", isolate=True)
    assert query("SELECT name FROM mode_analytics_data.spaces WHERE token = '../../../climbed'") == [("../../climbed",)]
    assert set(tmp_path.parent.rglob("*climbed*")) == before
    asked = [request.path for request in sandbox.requests if "climbed" in request.path]
    assert asked
    assert all("/spaces/..%2F..%2F..%2Fclimbed/" in path for path in asked)


NAMED = ("spaces", "reports", "memberships", "users")
PEOPLE_TABLES = sorted({e.name for e in ENDPOINTS if any(column.personal for column in e.all_columns)})


def people_of(world: Sandbox) -> set[str]:
    """What must not be in the file: usernames, names, e-mails, addresses."""
    people = world.world.history.people
    named = {text for person in people for text in (person.username, person.name, person.email)}
    return named | {f"192.0.2.{person.id % 250}" for person in people}


@pytest.mark.parametrize(
    ("choice", "listing"),
    [
        (PersonalData.HASH, Listing.COLLECTIONS),
        pytest.param(PersonalData.DROP, Listing.COLLECTIONS, marks=pytest.mark.slow),
        pytest.param(PersonalData.HASH, Listing.DISCOVERY, marks=pytest.mark.slow),
    ],
)
def test_nobody_is_in_the_file_if_so_set(choice, listing, load_from, tmp_path):
    with serve(replace(FEW, spaces=4)) as world:
        assert any(space["space_type"] == "private" for space in world.world.rows("spaces"))
        load_from(world, listing=listing, personal_data=choice, personal_data_key="k" * 16)
        texts = written(tmp_path)
        assert texts["mode_analytics.duckdb"]
        found = {(name, text) for name, data in texts.items() for text in people_of(world) if text.encode() in data}
        assert not found, "a column of endpoints.py is not `personal`, or is not documented"
    with duckdb.connect(str(tmp_path / "mode_analytics.duckdb")) as connection:
        for table in ("users", "audit_logs", "memberships"):
            ((rows, keys),) = connection.sql(
                f"SELECT count(*), count(DISTINCT {BY_NAME[table].key[0]}) FROM mode_analytics_data.{table}"
            ).fetchall()
            assert rows == keys > 0, table


@pytest.mark.parametrize("fault", [{"status": 418}, {"kind": "drop"}, {"kind": "body", "body": "[]"}])
def test_an_error_names_nobody(fault, load_from, caplog):
    with serve(FEW) as world:
        people = {person.username for person in world.world.history.people}
        world.faults.append(Fault(rf"/api/({'|'.join(people)})(\?|$)", **fault))
        sync = load_from(world, "spaces", "reports", "users", isolate=True)
    said = f"{sync.failures['users']} {sync.tallies['users'].unread} {caplog.text}"
    assert "Could not look up a person: " in said
    assert "GET /{username}" in said
    assert not {name for name in people if name in said}


@pytest.mark.slow
def test_hashes_join_as_the_names_did_and_need_the_key(load_from, query):
    join = """
        SELECT count(*) FROM mode_analytics_data.reports AS reports
        JOIN mode_analytics_data.users AS users ON users.username = reports.creator_username
        JOIN mode_analytics_data.memberships AS memberships ON memberships.member_username = users.username
    """
    names = "SELECT DISTINCT creator_username FROM mode_analytics_data.reports"
    found = {}
    with serve(FEW) as world:
        for choice, key in (("keep", ""), ("hash", "k" * 16), ("hash", "l" * 16)):
            load_from(world, *NAMED, personal_data=PersonalData(choice), personal_data_key=key, reconcile=True)
            found[choice, key] = query(join), set(query(names))
    joined, plain = found["keep", ""]
    assert joined[0][0] > 0
    assert found["hash", "k" * 16][0] == found["hash", "l" * 16][0] == joined
    one, other = found["hash", "k" * 16][1], found["hash", "l" * 16][1]
    assert len(one) == len(other) == len(plain)
    assert not one & other
    assert all(re.fullmatch("[0-9a-f]{16}", name) for (name,) in one)


def test_with_hashes_an_unchanged_workspace_costs_no_request_for_any_person(load_from, query):
    with serve(FEW) as world:
        for _ in range(2):
            world.requests.clear()
            load_from(world, *NAMED, "space_permissions", personal_data=PersonalData.HASH, personal_data_key="k" * 16)
        people = {f"/api/{person.username}" for person in world.world.history.people}
        assert not [request for request in world.requests if request.path in people]
        lists = query("SELECT parent FROM mode_analytics_data.sync_ledger WHERE endpoint = 'space_permissions'")
        assert {parent for (parent,) in lists} <= world.world.truth("spaces"), "only people are hashed"
        assert lists


def test_fields_that_mode_does_not_document_are_hidden_by_their_names(load_from, query):
    def add(body: dict) -> dict:
        for row in body["_embedded"]["definitions"]:
            row |= {"owner_email": "x@acme.example", "owner": {"full_name": "Xenia", "team": "A", "ips": ["10.0.0.1"]}}
        return body

    with serve(FEW) as world:
        world.faults.append(Fault("/definitions", kind="edit", edit=add))
        load_from(world, "definitions", personal_data=PersonalData.DROP)
    row = query("SELECT owner ->> 'full_name', owner ->> 'team' FROM mode_analytics_data.definitions LIMIT 1")
    assert row == [(None, "A")]
    columns = query("SELECT column_name FROM information_schema.columns WHERE table_name = 'definitions'")
    if ("owner_email",) in columns:
        assert query("SELECT count(owner_email) FROM mode_analytics_data.definitions") == [(0,)]


@pytest.mark.parametrize("key", ["", "short"])
def test_hashes_need_a_key_that_nobody_can_try_out(key, monkeypatch):
    monkeypatch.setenv(ENV_PREFIX + "PERSONAL_DATA", "hash")
    monkeypatch.setenv(ENV_PREFIX + "PERSONAL_DATA_KEY", key)
    with pytest.raises(ModeConfigError, match="personal_data_key: hashes need one of 16 random characters"):
        load_settings()


def test_the_sandbox_listens_on_this_machine_only(sandbox):
    assert sandbox._server.server_address[0] == "127.0.0.1"


def test_settings_show_no_secret():
    shown = repr(Settings(username="u-4711", password="p-4711", personal_data_key="k-4711"))
    assert "4711" not in shown


def test_every_column_that_names_people_is_marked_as_personal():
    names = {"email", "creator_email", "creator_username", "executed_by_username", "member_username", "actor_ip"}
    names |= {"collection_name"}  # a personal one is called after its owner
    for endpoint in ENDPOINTS:
        unmarked = {column.name for column in endpoint.all_columns if not column.personal}
        assert not names & unmarked, endpoint.name
    assert {"users", "memberships", "members", "audit_logs", "report_stats"} <= set(PEOPLE_TABLES)
