"""The catalogue is coherent: what is derived from it can rely on it."""

import re

import pytest

from mode_dagster.extract import endpoints
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint, Listing, Pager

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)


def test_every_endpoint_of_the_file_is_in_the_catalogue():
    written = {endpoint.name for endpoint in vars(endpoints).values() if isinstance(endpoint, Endpoint)}
    assert written == set(BY_NAME)


def test_names_are_unique_plural_snake_case_without_double_underscores():
    assert len(BY_NAME) == len(ENDPOINTS)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*s", name) for name in BY_NAME)


def test_parents_and_references_come_before_their_children():
    seen: set[str] = set()
    for endpoint in ENDPOINTS:
        assert {endpoint.parent} - {None} <= seen, endpoint.name
        assert set(endpoint.references) <= set(BY_NAME), endpoint.name
        seen.add(endpoint.name)


@every_endpoint
def test_columns_are_documented_once_each(endpoint: Endpoint):
    names = [column.name for column in endpoint.all_columns]
    assert len(names) == len(set(names))
    assert all(column.description.endswith(".") for column in endpoint.all_columns)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert not any("__" in name for name in names), "dlt would rename it"


@every_endpoint
def test_keys_are_columns(endpoint: Endpoint):
    assert set(endpoint.key) <= {column.name for column in endpoint.all_columns}


@every_endpoint
def test_ids_are_text_because_mode_sends_numbers_or_strings(endpoint: Endpoint):
    ids = [c for c in endpoint.all_columns if c.name == "id" or c.name.endswith("_id")]
    assert all(column.data_type == "text" for column in ids)


@every_endpoint
def test_every_table_can_be_had_one_by_one_or_through_discovery(endpoint: Endpoint):
    assert endpoint.main_route is not None


@every_endpoint
@pytest.mark.parametrize("listing", Listing)
def test_paths_need_only_what_parents_have(endpoint: Endpoint, listing: Listing):
    route = endpoint.route(listing)
    if route is None or "username" in route.placeholders:
        return
    available: set[str] = set()
    if route.parent:
        parent = BY_NAME[route.parent]
        available = {f"{parent.noun}_token", *(column.name for column in parent.all_columns)}
    assert set(route.placeholders) <= available


@every_endpoint
def test_counters_and_versions_are_columns_of_a_table_above(endpoint: Endpoint):
    above: set[str] = set()
    parent = endpoint.parent
    while parent:
        above |= {column.name for column in BY_NAME[parent].all_columns}
        parent = BY_NAME[parent].parent
    assert {endpoint.counter, *endpoint.version} - {""} <= above


@every_endpoint
def test_lists_name_where_their_rows_are(endpoint: Endpoint):
    for listing in Listing:
        route = endpoint.route(listing)
        if route is not None:
            assert bool(route.selectors) == (route.pager is not Pager.OBJECT)


@every_endpoint
def test_secrets_are_no_columns(endpoint: Endpoint):
    names = {column.name for column in endpoint.all_columns}
    assert not names & {"password", "ssl_trusted_cert", "data_index_auth_token", "_forms", "layout"}
