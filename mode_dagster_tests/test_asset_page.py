"""What an asset's page tells: how the table is read, what is in it, whether all is there; and what it must not tell."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from mode_dagster.assets import build_assets, build_ledger_check
from mode_dagster.build import RESOURCES, build_mode_definitions
from mode_dagster.contents import look_into, shown
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS
from mode_dagster.extract.ledger import LEDGER, LEDGER_COLUMNS
from mode_dagster.extract.pipeline import mode_pipeline
from mode_dagster.extract.tally import Tally
from mode_dagster.materialization import completeness, page_in_mode
from mode_dagster.sandbox import Fault, serve
from mode_dagster.settings import Settings
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import SMALL

asset_key = Workspace().table_key
PRIVATE = re.compile(r"(^|_)(email|username|ip|agent|host|port|source|query|preview|message)$")


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.path[-1]: spec for spec in build_assets().specs}


@pytest.fixture
def page(tmp_path):
    """Materializes tables and gives the metadata of each."""

    def load(*tables: str) -> dict[str, dict]:
        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
            result = dg.materialize(
                [build_assets(), build_ledger_check()],
                selection=[asset_key(table) for table in tables],
                resources=RESOURCES,
                instance=instance,
                raise_on_error=False,
            )
        return {
            event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
        }

    return load


@pytest.mark.parametrize(
    ("table", "facts"),
    [
        ("spaces", ["`GET /api/{workspace}/spaces`, paging: counted", "read in every sync"]),
        ("reports", ["`listing = discovery`: `GET /batch/{workspace}/reports`, paging: counted"]),
        ("queries", ["read again when its parent's `edited_at`, `last_saved_at`, `query_count` moves"]),
        ("space_permissions", ["read again after `reread_hours`"]),
        ("members", ["`listing = discovery`: `GET /batch/{workspace}/members`"]),
    ],
)
def test_the_description_says_which_request_fills_a_table_and_when(specs, table, facts):
    assert all(fact in specs[table].description for fact in facts), specs[table].description


def test_every_table_has_tags_and_a_freshness_policy(specs):
    assert specs["runs"].tags.items() >= {"mode/family": "mode_runs", "mode/paging": "counted"}.items()
    assert all(spec.freshness_policy is not None for spec in specs.values())


def test_the_code_reference_leads_to_the_table_in_the_catalogue(specs):
    for endpoint in ENDPOINTS:
        (reference,) = specs[endpoint.name].metadata["dagster/code_references"].code_references
        lines = Path(reference.file_path).read_text(encoding="utf-8").splitlines()[reference.line_number - 1 :]
        assert lines[0].endswith(" = Endpoint(")
        assert lines[1] == f'    name="{endpoint.name}",'


def test_dagster_can_send_everything_to_its_webserver():
    repository = build_mode_definitions().get_repository_def()
    assert dg.serialize_value(RepositorySnap.from_def(repository))


@pytest.mark.parametrize("table", [*BY_NAME, LEDGER])
def test_a_sample_shows_something_and_nothing_personal(table):
    columns = [column.name for column in (LEDGER_COLUMNS if table == LEDGER else BY_NAME[table].all_columns)]
    sampled = shown(table, columns)
    assert 1 <= len(sampled) <= 4
    assert not any(PRIVATE.search(column) for column in sampled), sampled
    if table in ("users", "memberships", "spaces"):  # a personal collection is called after its owner
        assert "name" not in sampled


def test_a_sample_is_the_newest_rows_that_are_still_there(sandbox, load_from, query):
    load_from(sandbox, "definitions")
    names = "SELECT name FROM mode_analytics_data.definitions ORDER BY created_at DESC"
    newest = query(names)[0][0]
    query(f"UPDATE mode_analytics_data.definitions SET deleted_at = now() WHERE name = '{newest}'")
    found = look_into(mode_pipeline(), ["definitions"])["definitions"]
    assert (found.rows, found.live) == (len(query(names)), len(query(names)) - 1)
    assert [row[0] for row in found.sample] == [name for (name,) in query(names)[1:6]]


def test_names_cannot_break_out_of_the_sample(sandbox, reads, page):
    name = r"a | b\n<script>alert(1)</script> `c` [d](javascript:e) **f**"
    body = f'{{"_embedded": {{"definitions": [{{"token": "a", "name": "{name}"}}]}}}}'
    sandbox.faults.append(Fault("/definitions", kind="body", body=body))
    reads(sandbox)
    sample = page("definitions")["definitions"]["sample"]
    heading, ruler, row = sample.split("\n")
    assert heading.count("|") == ruler.count("|") == row.count("|")
    assert not any(mark in row for mark in "<>`[]*")


def test_the_page_of_a_loaded_table_has_numbers_and_no_path_of_the_machine(sandbox, reads, page, tmp_path):
    reads(sandbox)
    found = page("spaces", "reports", "queries", "runs", LEDGER)
    queries = found["queries"]
    assert queries["rows_live"] == queries["dagster/row_count"]
    assert queries["rows_deleted"] == 0
    assert queries["completeness"].endswith("for the lists that have one: the same")
    assert "rows_live" not in found["runs"], "history is never marked as deleted"
    numbers = {"requests", "seconds", "rows_fetched", "lists_read", "lists_unchanged", "lists_known_empty"}
    assert all(isinstance(queries[name], int | float) for name in numbers | {"lists_refused"})
    assert f"| queries | {queries['rows_fetched']} |" in found[LEDGER]["tables"]
    assert str(tmp_path) not in str(found)


def test_a_sync_takes_as_long_as_what_it_reads_one_after_the_other(reads, page):
    with serve(replace(SMALL, reports=2, latency=0.1)) as sandbox:
        reads(sandbox)
        found = page("spaces", "reports", "queries", LEDGER)
    whole = found[LEDGER]
    assert whole["seconds"] > found["spaces"]["seconds"] + found["reports"]["seconds"] + found["queries"]["seconds"]
    assert whole["requests_per_second"] == pytest.approx(whole["requests"] / whole["seconds"], abs=0.1)


def test_a_refused_list_is_counted_and_its_status_told(sandbox, reads, page):
    sandbox.faults.append(Fault("/definitions", status=403))
    reads(sandbox)
    found = page("definitions")["definitions"]
    assert (found["lists_refused"], found["refused_by_status"]) == (1, "1 x HTTP 403")
    assert "1 refused by Mode (1 x HTTP 403)" in found["completeness"]


@pytest.mark.parametrize(
    ("tally", "told"),
    [
        (Tally(lists=1), "- 1 list read to the end"),
        (
            Tally(lists=1200, unchanged=2, empty=3),
            "- 1,200 lists read to the end, 2 unchanged since the last load, 3 empty by Mode's counter",
        ),
        (
            Tally(lists=2, counted=7, counted_rows=5),
            "- 2 lists read to the end\n- Mode's counters say 7 rows for the lists that have one: **5 were read**",
        ),
        (
            Tally(lists=2, skipped=Counter({404: 1, 403: 2}), missed=1, note="stopped at max_requests"),
            "- 2 lists read to the end, 3 refused by Mode (2 x HTTP 403, 1 x HTTP 404)\n"
            "- 1 row had been missed by earlier loads\n"
            "- stopped at max_requests",
        ),
    ],
    ids=["one list", "large numbers", "Mode counts more", "refused, missed, stopped"],
)
def test_completeness_is_said_in_words(tally, told):
    assert completeness(tally) == told


@pytest.mark.parametrize(
    ("base_url", "link"),
    [
        ("https://app.mode.com/api", "https://app.mode.com/acme"),
        ("https://app.eu.mode.com/api", "https://app.eu.mode.com/acme"),
        ("http://127.0.0.1:8000/api", None),
        ("https://notmode.com/api", None),
    ],
)
def test_the_page_links_to_the_workspace_where_it_is_modes_own(base_url, link):
    found = page_in_mode(Settings(workspace="acme", base_url=base_url))
    assert [value.url for value in found.values()] == ([link] if link else [])
