"""From JSON to rows: every shape of answer, every way to name a parent."""

import pytest

from mode_dagster.extract.endpoints import BY_NAME, Listing
from mode_dagster.extract.errors import ModeResponseError
from mode_dagster.extract.rows import RowReader, counters, next_page, next_token, read_rows

RUNS = BY_NAME["runs"].route(Listing.COLLECTIONS)
ROW = {"token": "abc"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"_embedded": {"report_runs": [ROW]}}, id="embedded"),
        pytest.param({"report_runs": [ROW]}, id="bare"),
        pytest.param({"runs": [ROW]}, id="bare, as the flat listing calls it"),
        pytest.param({"_embedded": {"runs": [ROW]}}, id="embedded under the other name"),
        pytest.param({"_embedded": {"renamed": [ROW]}}, id="the only list there is"),
        pytest.param({"_embedded": {"report_runs": ROW}}, id="one object instead of a list"),
    ],
)
def test_rows_are_found_wherever_they_are(body):
    assert read_rows(body, RUNS, "list runs") == [ROW]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"_embedded": {"report_runs": []}}, id="empty list"),
        pytest.param({"_embedded": {}}, id="empty _embedded"),
        pytest.param({"_embedded": None}, id="null _embedded"),
        pytest.param({"_links": {}}, id="no _embedded"),
        pytest.param({"runs": None, "next_page": None}, id="null list"),
        pytest.param({}, id="empty object"),
    ],
)
def test_every_form_of_nothing_is_no_rows(body):
    assert read_rows(body, RUNS, "list runs") == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"status": "ok", "version": 3}, id="another program's answer"),
        pytest.param({"_embedded": {"report_runs": ["abc"]}}, id="list of text"),
        pytest.param({"_embedded": {"report_runs": 7}}, id="number"),
    ],
)
def test_an_answer_that_is_not_modes_is_an_error(body):
    with pytest.raises(ModeResponseError, match="Could not list runs"):
        read_rows(body, RUNS, "list runs")


def test_counters_are_read_as_numbers_or_text_and_absent_ones_are_unknown():
    assert counters({"pagination": {"total_count": "61", "total_pages": 3}}) == (61, 3)
    assert counters({"pagination": {"total_count": 61, "per_page": 30}}) == (61, 3)
    assert counters({"pagination": {"page": 1}}) == (None, None)
    assert counters({}) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        {"next_page": "/api/acme/reports?page=2"},
        {"_links": {"next_page": {"href": "/api/acme/reports?page=2"}}},
        {"pagination": {"next_page": "/api/acme/reports?page=2"}},
    ],
    ids=["top", "link", "pagination"],
)
def test_next_page_is_found_wherever_it_is(body):
    assert next_page(body) == "/api/acme/reports?page=2"
    assert next_page({"next_page": None, "_links": {"next_page": {"href": ""}}}) is None


def test_the_audit_cursor_is_found_at_the_top_or_in_pagination():
    assert next_token({"next_token": "n"}) == next_token({"pagination": {"next_token": "n"}}) == "n"
    assert next_token({"pagination": {"next_token": None}}) is None


def test_a_row_keeps_what_is_documented_and_drops_ballast_and_secrets():
    row = RowReader(BY_NAME["data_sources"]).read(
        {
            "token": "abc",
            "id": 7,
            "account_id": 9,
            "name": "warehouse",
            "ssl_trusted_cert": "pem",
            "data_index_auth_token": "secret",
            "_forms": {"edit": {}},
            "_links": {"creator": {"href": "/api/ada"}, "web": {"href": "https://app.mode.com/x"}},
        },
        {},
    )
    assert row == {
        "token": "abc",
        "id": "7",
        "account_id": "9",
        "name": "warehouse",
        "creator_username": "ada",
        "web_url": "https://app.mode.com/x",
    }


def test_question_marks_leave_the_names_of_columns():
    row = RowReader(BY_NAME["spaces"]).read({"token": "abc", "viewable?": True, "viewed?": False}, {})
    assert (row["viewable"], row["viewed"]) == (True, False)
    assert not any("?" in name for name in row)


def test_children_get_their_parents_from_the_path():
    row = RowReader(BY_NAME["charts"]).read({"token": "abc"}, {"report_token": "r", "query_token": "q"})
    assert (row["report_token"], row["query_token"]) == ("r", "q")


def test_flat_rows_name_their_parents_in_fields_or_links():
    reader = RowReader(BY_NAME["charts"])
    fields = reader.read({"token": "c", "report_token": "r", "query_token": "q"}, {})
    own_link = reader.read({"token": "c", "_links": {"self": {"href": "/api/acme/reports/r/queries/q/charts/c"}}}, {})
    links = {"report": {"href": "/api/acme/reports/r"}, "query": {"href": "/api/acme/reports/r/queries/q"}}
    other_links = reader.read({"token": "c", "_links": links}, {})
    for row in (fields, own_link, other_links):
        assert (row["report_token"], row["query_token"]) == ("r", "q")


def test_titles_of_charts_come_from_either_api():
    reader = RowReader(BY_NAME["charts"])
    rest = reader.read({"token": "c", "view_vegas": {"title": "Sales", "chartType": "bar"}}, {})
    batch = reader.read({"token": "c", "chart_title": "Sales", "chart_type": "bar"}, {})
    assert (rest["title"], rest["chart_type"]) == (batch["title"], batch["chart_type"]) == ("Sales", "bar")
    assert "chart_title" not in batch


def test_a_row_without_a_token_is_named_by_its_link_or_else_by_its_content():
    reader = RowReader(BY_NAME["report_subscriptions"])
    linked = reader.read({"_links": {"self": {"href": "/api/acme/reports/r/subscriptions/s1"}}}, {"report_token": "r"})
    bare = reader.read({"report_links_enabled": True}, {"report_token": "r"})
    assert linked["token"] == "s1"
    assert bare["token"] == reader.read({"report_links_enabled": True}, {"report_token": "r"})["token"]
    assert len(bare["token"]) == 12


@pytest.mark.parametrize(
    "href",
    [
        pytest.param("/api/acme/spaces/s/permissions", id="path"),
        pytest.param("api/acme/spaces/s/permissions/?page=2", id="trailing slash and query"),
        pytest.param("https://app.mode.com/api/acme/collections/s/permissions", id="the collection's other name"),
    ],
)
def test_rows_without_tokens_that_link_their_list_are_named_by_their_content(href):
    reader, link = RowReader(BY_NAME["space_permissions"]), {"_links": {"self": {"href": href}}}
    rows = [{"accessor_type": "Account", "accessor_token": f"t{number}", **link} for number in range(3)]
    tokens = {reader.read(row, {"space_token": "s"})["token"] for row in rows}
    assert len(tokens) == 3
    assert {len(token) for token in tokens} == {12}


def test_a_permission_that_links_itself_is_named_by_that_link():
    row = {"action": "view", "_links": {"self": {"href": "/api/acme/spaces/s/permissions/p1"}}}
    assert RowReader(BY_NAME["space_permissions"]).read(row, {"space_token": "s"})["token"] == "p1"


def test_members_without_tokens_that_link_the_short_list_are_named_by_their_content():
    reader, link = RowReader(BY_NAME["memberships"]), {"_links": {"self": {"href": "/api/acme/memberships/lite"}}}
    assert len({reader.read({"username": name, **link}, {})["member_token"] for name in ("ada", "bob")}) == 2


def test_rows_without_tokens_that_say_the_same_of_two_parents_are_two():
    reader, same = RowReader(BY_NAME["space_permissions"]), {"accessor_type": "UserGroup", "action": "view"}
    one, other = (reader.read(same, {"space_token": space})["token"] for space in ("s1", "s2"))
    assert one != other


def test_yes_and_no_in_a_text_column_are_written_as_in_json():
    row = RowReader(BY_NAME["report_filters"]).read({"token": "f", "hide_select_all": False}, {})
    assert row["hide_select_all"] == "false"


@pytest.mark.parametrize(
    ("sent", "stored", "beside"),
    [
        ("0001-06-17T12:20:00Z", "0001-06-17T12:20:00Z", None),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+14:00", None, "0001-01-01T00:00:00+14:00"),
    ],
    ids=["first year", "last year", "before the first year"],
)
def test_times_at_the_ends_of_the_calendar_are_kept_as_far_as_a_column_can_hold_them(sent, stored, beside):
    row = RowReader(BY_NAME["reports"]).read({"token": "r", "edited_at": sent}, {})
    assert (row["edited_at"], row.get("edited_at__v_text")) == (stored, beside)


def test_empty_text_is_no_value_where_a_column_is_not_text():
    row = RowReader(BY_NAME["reports"]).read({"token": "r", "edited_at": "", "view_count": "", "name": ""}, {})
    assert (row["edited_at"], row["view_count"], row["name"]) == (None, None, "")
