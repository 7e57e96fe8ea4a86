"""Answers and walks by themselves: what a mutant of them got past the tests of whole syncs with."""

import json
from functools import partial

import pytest
import requests

from mode_dagster.extract import client as client_module
from mode_dagster.extract.client import FetchedList, ModeClient
from mode_dagster.extract.endpoints import Pager, Route
from mode_dagster.extract.errors import ModeError, ModeRequestError, ModeResponseError
from mode_dagster.extract.responses import read_body, seconds_to_wait
from mode_dagster.sandbox import Fault


def answer(status: int, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content, response.url = status, b"", "https://mode.example/api/x"
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    response.request = requests.Request("GET", response.url).prepare()
    return response


@pytest.mark.parametrize(
    ("location", "said"),
    [
        pytest.param("https://elsewhere.example/login?x=1", "https://elsewhere.example/login,", id="another_host"),
        pytest.param("/login?x=1", "sends us to /login,", id="a_path"),
        pytest.param("", "sends us to nowhere,", id="nothing"),
        pytest.param("https://[elsewhere/login?x=1", "sends us to nowhere,", id="no_address"),
    ],
)
def test_a_redirection_says_where_to_without_its_query(location, said):
    with pytest.raises(ModeRequestError) as raised:
        read_body(answer(302, Location=location), "list things")
    assert said in str(raised.value)
    assert "x=1" not in str(raised.value)


def test_a_date_to_wait_for_is_by_the_clock_of_the_server():
    then, now = "Wed, 17 Jun 2015 12:20:07 GMT", "Wed, 17 Jun 2015 12:20:00 GMT"
    assert seconds_to_wait(answer(429, Retry_After=then, Date=now)) == 7


def test_seconds_to_wait_are_as_they_are_said():
    assert seconds_to_wait(answer(429, Retry_After=" 7 ")) == 7


@pytest.mark.parametrize("status", [302, 401, 403, 404, 407, 418, 429, 503])
def test_each_refusal_keeps_its_status(status):
    with pytest.raises(ModeError) as raised:
        read_body(answer(status), "list things")
    assert raised.value.status == status


def test_what_a_server_says_is_repeated_without_our_credentials():
    response = answer(403)
    response.request.prepare_auth(("token-0815", "secret-4711"))
    sent = response.request.headers["Authorization"].split()[1]
    message = f"neither {sent} nor secret-4711 of token-0815 may"
    response._content = json.dumps({"id": "forbidden", "message": message}).encode()
    with pytest.raises(ModeError, match="neither … nor … of … may"):
        read_body(response, "list things")


def test_a_list_read_twice_has_the_rows_of_both_once():
    first = FetchedList([{"token": "a"}, {"token": "b"}], total_count=3, pages=1)
    both = first.and_again(FetchedList([{"token": "b"}, {"token": "c"}], total_count=4, pages=2))
    assert [row["token"] for row in both.rows] == ["a", "b", "c"]
    assert (both.total_count, both.pages) == (4, 2)


@pytest.mark.parametrize(("pager", "advice"), [(Pager.CURSOR, "set history_days"), (Pager.NEXT, "look at it in Mode")])
def test_a_list_without_end_says_what_helps(pager, advice, sandbox, reads, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_PAGES", 3)
    monkeypatch.setattr(client_module, "MOST_EVENT_PAGES", 2)
    sandbox.faults += [
        Fault("/things", kind="body", body=f'{{"things": [{{"token": "{n}"}}], "next_token": "{n}"}}', times=1)
        for n in range(4)
    ]
    client = ModeClient(reads(sandbox))
    read = client.stream if pager is Pager.CURSOR else partial(client.read_list, values={})
    with pytest.raises(ModeResponseError, match=advice):
        list(read(Route("/{workspace}/things", ("things",), pager), intent="list things"))
    client.close()
