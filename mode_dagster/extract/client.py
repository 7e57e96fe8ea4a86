"""Asking Mode politely: authentication, one rate limit, retries, and lists read to their end.

Here: requests, credentials, pages.
Not here: when a request may leave (`limiter`), which lists exist (`endpoints`), what a row becomes (`rows`), what is
asked when (`sync`).

Retries are dlt's (tenacity around the session), the limiter is pyrate-limiter, mounted below them so that a retry
pays for its turn like any request.
"""

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from dlt.common.json import json
from dlt.sources.helpers.requests import Client
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth, HttpBasicAuth
from dlt.sources.helpers.rest_client.client import RESTClient

from mode_dagster.extract.endpoints import Pager, Route
from mode_dagster.extract.errors import (
    ModeAuthError,
    ModeConfigError,
    ModeRequestError,
    ModeResponseError,
)
from mode_dagster.extract.limiter import LimitedAdapter, asking_for
from mode_dagster.extract.responses import (
    RETRY_EXCEPTIONS,
    RETRY_STATUSES,
    is_not_json,
    network_errors,
    read_body,
)
from mode_dagster.extract.rows import Row, counters, has_list, next_page, next_token, read_rows
from mode_dagster.settings import Settings

PAGE = 30
"""Rows on a full page of Mode's REST API."""
SMALLEST_PAGE = 10
"""Rows from which on a page of an undocumented size may be a full one: the documented ones have 20 or 30."""
MOST_PAGES = 10_000
"""Pages after which a list is held to be endless: 40 minutes at Mode's rate limit."""
MOST_EVENT_PAGES = 1_000_000
"""The same for the audit log, which has a hundred events a page, of all years: three days."""
SIGNATURE = ("token", "access_key", "access_secret")
"""What a token of the Discovery API consists of, in the order in which it is sent."""


@dataclass
class FetchedList:
    """All rows of one list, and what tells whether they are all."""

    rows: list[Row] = field(default_factory=list)
    total_count: int | None = None
    """How many rows Mode says there are; None where the list has no counters."""
    pages: int = 0
    """Pages read."""
    pages_said: int | None = None
    """How many pages Mode says there are; None where it does not say."""
    is_list: bool = True
    """Whether the first page had a list, be it empty."""
    is_cut: bool = False
    """Whether it was ended early because no more was wanted."""
    is_broken_off: bool = False
    """Whether it ended with a page that Mode has not (404), though no link had led there."""

    def take(self, body: dict[str, Any], *, is_list: bool) -> None:
        """Notes what a page says of the list."""
        total, said = counters(body)
        self.pages += 1
        self.total_count = total if total is not None else self.total_count
        self.pages_said = said if said is not None else self.pages_said
        self.is_list = self.is_list and is_list

    def and_again(self, other: "FetchedList") -> "FetchedList":
        """These rows, and those that only another reading of the same list met."""
        met = {identity(row) for row in self.rows}
        return replace(other, rows=self.rows + [row for row in other.rows if identity(row) not in met])

    @property
    def is_short(self) -> bool:
        """Whether Mode said that there are pages which it did not give, and rows in them."""
        if self.is_cut or self.pages_said is None or self.pages >= self.pages_said:
            return False
        return self.total_count is None or len(self.rows) < self.total_count


class ModeClient:
    """Mode's API for one workspace, with the credentials, the limiter and the count of requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.adapter = LimitedAdapter(settings.rate_limit_requests, settings.rate_limit_seconds)
        """What sends, and counts what was sent."""
        transport = Client(
            raise_for_status=False,
            status_codes=RETRY_STATUSES,
            exceptions=RETRY_EXCEPTIONS,
            retry_condition=is_not_json,
            # the adapter waits, with all threads; dlt 1.31 raises ValueError where the header is absurd
            respect_retry_after_header=False,
        )
        transport.configure()
        self._session = transport.session
        # no proxy leads to a server on this machine, the bundled sandbox for one
        self._session.trust_env = not settings.base_url.startswith(("http://127.0.0.1", "http://localhost"))
        self._session.mount("http://", self.adapter)
        self._session.mount("https://", self.adapter)
        basic = HttpBasicAuth(settings.username, settings.password)
        self._rest = RESTClient(base_url=settings.base_url, auth=basic, session=self._session)
        self._batch_lock = threading.Lock()
        self._batch: RESTClient | None = None

    @property
    def requests(self) -> int:
        """Requests sent so far, retries included."""
        return self.adapter.sent.total()

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def verify(self) -> dict[str, Any]:
        """Asks Mode whose credentials these are (`/api/verify`).

        Returns:
            Mode's answer: workspace, workspace_token, api_key_scope; empty where the server has no such route.

        Raises:
            ModeError: The credentials are refused, Mode is out of reach, or the answer is not Mode's.
        """
        try:
            return self.get("/verify", "check the credentials")
        except ModeRequestError as error:
            if error.status == 404:
                return {}
            raise

    def get(
        self,
        path: str,
        intent: str,
        params: Mapping[str, str] | None = None,
        *,
        batch: bool = False,
        counted_as: str = "",
        shown: str = "",
    ) -> dict[str, Any]:
        """One GET.

        Args:
            path: Below the API's base, placeholders filled.
            intent: What it is for, as it reads after "Could not".
            batch: Discovery API instead of REST.
            counted_as: The endpoint that it counts for.
            shown: What errors call the path; empty where it may be shown as it is.

        Raises:
            ModeError: By kind, see `errors`.
        """
        accept = "application/json" if batch or path.endswith("/audit_logs") else "application/hal+json"
        asking_for.set(counted_as)
        rest = self._discovery() if batch else self._rest
        with network_errors(intent, shown or path):
            response = rest.get(path, params=dict(params or {}), headers={"Accept": accept}, allow_redirects=False)
        return read_body(response, intent, shown)

    def read_list(
        self,
        route: Route,
        values: Mapping[str, str],
        intent: str,
        params: Mapping[str, str] | None = None,
        is_enough: Callable[[list[Row]], bool] | None = None,
        expected: int | None = None,
        counted_as: str = "",
    ) -> FetchedList:
        """Reads one list to its end, however it is paged.

        Args:
            values: What fills the path's placeholders.
            intent: What it is for, as it reads after "Could not".
            params: Query parameters beside the route's own.
            is_enough: Says of a page that no page after it is wanted.
            expected: How many rows the parent says there are; a list without counters of its own that has exactly
                so many is not asked for another page.
            counted_as: The endpoint that the requests count for.

        Raises:
            ModeError: By kind; a dead link to a page past the end is not an error.
        """
        fetched = FetchedList()
        for page, fresh, is_last in self._read(route, values, intent, params, counted_as, fetched):
            fetched.rows += fresh
            if len(fetched.rows) == expected and route.pager is Pager.UNSEEN:
                break
            if not is_last and is_enough is not None and is_enough(page):
                fetched.is_cut = True
                break
        return fetched

    def stream(
        self, route: Route, intent: str, params: Mapping[str, str] | None = None, counted_as: str = ""
    ) -> Iterator[tuple[list[Row], bool]]:
        """Reads a list of the workspace that may not fit into memory: each page, and whether it is the last.

        Arguments and errors as in `read_list`.
        """
        for _, fresh, is_last in self._read(route, {}, intent, params, counted_as, FetchedList()):
            yield fresh, is_last

    def _read(
        self,
        route: Route,
        values: Mapping[str, str],
        intent: str,
        params: Mapping[str, str] | None,
        counted_as: str,
        fetched: FetchedList,
    ) -> Iterator[tuple[list[Row], list[Row], bool]]:
        """Each page, its rows that were not there before, and whether it is the last; the caller keeps the rows.

        A later page that is not there (404) ends the list.
        """
        placeholders = {"workspace": self._settings.workspace, **values}
        path = route.path.format(**{name: quote(value, safe="") for name, value in placeholders.items()})
        shown = route.path if route.names_person else ""
        query = {**route.params, **(params or {})}
        is_cursor = route.pager is Pager.CURSOR
        most = MOST_EVENT_PAGES if is_cursor else MOST_PAGES
        seen, cursors, names_next = set[str](), set[str](), False
        for number in range(1, most + 1):
            try:
                body = self.get(path, intent, query, batch=route.batch, counted_as=counted_as, shown=shown)
            except ModeRequestError as error:
                # a cursor only leads on to what there is
                if error.status != 404 or number == 1 or is_cursor:
                    raise
                # Mode's links lead past the end, as public clients of its API show; elsewhere whoever has the rows
                # must judge
                fetched.is_broken_off = route.pager is not Pager.NEXT
                return
            page = read_rows(body, route, intent)
            fresh = {mark: row for row in page if (mark := identity(row)) not in seen}
            # with a cursor, rows that come twice are next to each other; all of them would not fit into memory
            seen = set(fresh) if is_cursor else seen | fresh.keys()
            fetched.take(body, is_list=number > 1 or has_list(body, route))
            followed = _follow(body, query, number) if is_cursor or route.pager is Pager.NEXT else {}
            names_next = names_next or bool(followed) or "next_page" in body
            cursor = followed.get("next_token", "")
            is_last = cursor in cursors or _is_end(route.pager, fetched, len(page), len(fresh), followed, names_next)
            yield page, list(fresh.values()), is_last
            if is_last:
                return
            cursors |= {cursor} - {""}
            query.update(followed or {"page": str(number + 1)})
        advice = "set history_days, so that less is asked for" if is_cursor else "look at it in Mode"
        raise ModeResponseError(f"Could not {intent}: the list did not end after {most:,} pages; {advice}.")

    def _discovery(self) -> RESTClient:
        with self._batch_lock:
            if self._batch is None:
                base = self._settings.base_url.rstrip("/").removesuffix("/api") + "/batch"
                bearer = BearerTokenAuth(self._signature(base))
                self._batch = RESTClient(base_url=base, auth=bearer, session=self._session)
            return self._batch

    def _signature(self, base: str) -> str:
        """The bearer value of Discovery: given by the settings, or minted for a day with the admin key."""
        if self._settings.signature_token:
            parts = [getattr(self._settings, f"signature_{part}") for part in SIGNATURE]
        else:
            parts = self._mint(base)
        return base64.b64encode(":".join(parts).encode()).decode()

    def _mint(self, base: str) -> list[str]:
        intent = "get a Discovery token"
        path = f"/{quote(self._settings.workspace, safe='')}/signature_tokens"
        wanted = {
            "signature_token": {
                "name": f"mode_dagster-{int(time.time())}",
                "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
                "auth_scope": {"authentication_for": "batch-api", "authorization_type": "read-only"},
            }
        }
        with network_errors(intent, path):
            headers = {"Accept": "application/json"}
            response = self._rest.post(base + path, json=wanted, headers=headers, allow_redirects=False)
        try:
            body = read_body(response, intent)
        except (ModeAuthError, ModeRequestError) as error:
            raise ModeConfigError(
                f"{error} The Discovery API needs an Enterprise plan and an admin's API token; "
                'set listing to "collections", which any paid plan can read.',
                status=error.status,
            ) from None
        minted = body.get("signature_token", body)
        if not isinstance(minted, dict) or not all(isinstance(minted.get(part), str) for part in SIGNATURE):
            raise ModeResponseError(f"Could not {intent}: the answer holds no {', '.join(SIGNATURE)}.")
        return [minted[part] for part in SIGNATURE]


def _is_end(
    pager: Pager, fetched: FetchedList, size: int, fresh: int, followed: Mapping[str, str], names_next: bool
) -> bool:
    """Whether the page just taken was the last one of a list.

    Args:
        fetched: What was taken so far.
        size: How many rows the page has.
        fresh: How many of them were not there before.
        followed: The parameters of the next page that the page names; empty where it names none.
        names_next: Whether it, or a page before it, has a field for that, empty or not.
    """
    if pager is Pager.CURSOR:
        return not followed or not (fresh or "next_token" in followed)
    if not fresh or pager is Pager.OBJECT:
        return True
    # no single list is known to be paged; a server that counts several pages knows better
    if fetched.pages_said is not None and pager in (Pager.COUNTED, Pager.NEXT, Pager.WHOLE, Pager.SINGLE):
        return fetched.pages >= fetched.pages_said
    if pager is Pager.SINGLE:
        return True
    if pager is Pager.WHOLE:
        return size < SMALLEST_PAGE
    # a server that never named a next page may know of none: go on until nothing new comes
    return pager is Pager.NEXT and not followed and names_next


def identity(row: Row) -> str:
    """What tells a row that was there before: its token, or all of it where it has none."""
    token = row.get("token") or row.get("member_token") or row.get("id")
    return str(token) if token is not None else json.dumps(row, sort_keys=True)


def _follow(body: dict[str, Any], query: Mapping[str, str], number: int) -> dict[str, str]:
    """Query parameters of the page that `body` says comes next; empty where it names none.

    Only parameters are taken from a link, never host or path: credentials stay where they were sent first.
    """
    if token := next_token(body):
        return {"next_token": token}
    link = next_page(body)
    if link is None:
        return {}
    if link.isdigit():
        return {"page": link}
    try:
        following = dict(parse_qsl(urlsplit(link).query))
    except ValueError:
        following = {}
    return following if following and following.items() - query.items() else {"page": str(number + 1)}


def reachable(settings: Settings, clock: Callable[[], datetime]) -> AbstractContextManager[Settings]:
    """The settings to use: of the bundled sandbox, started for this sync, or as they are."""
    if not settings.is_sandbox:
        return nullcontext(settings)
    from mode_dagster.sandbox.bundled import bundled

    return bundled(settings, clock)
