"""Asking Mode politely: authentication, one rate limit, retries, and lists read to their end.

Here: everything that knows HTTP.
Not here: which lists exist (`endpoints`), what a row becomes (`rows`), what is asked when (`sync`).

Retries are dlt's (tenacity around the session), the limiter is pyrate-limiter, mounted below them so that a retry
pays for its turn like any request.
"""

import base64
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import requests
from dlt.common.json import json
from dlt.sources.helpers.requests import Client
from dlt.sources.helpers.rest_client.auth import AuthConfigBase, BearerTokenAuth, HttpBasicAuth
from dlt.sources.helpers.rest_client.client import RESTClient
from pyrate_limiter import InMemoryBucket, Limiter, Rate
from requests.adapters import HTTPAdapter

from mode_dagster.extract.answers import RETRY_EXCEPTIONS, RETRY_STATUSES, is_not_json, network_errors, read_body
from mode_dagster.extract.endpoints import Pager, Route
from mode_dagster.extract.errors import (
    ModeAuthError,
    ModeConfigError,
    ModeRequestError,
    ModeResponseError,
)
from mode_dagster.extract.rows import counters, next_page, next_token, read_rows
from mode_dagster.settings import Settings

WORKERS = 20
"""Threads that ask at once: enough to use 4 requests a second when an answer takes 5 seconds."""
WINDOW_MARGIN = 1.02
"""Requests leave evenly and arrive unevenly: a window 2 % longer keeps Mode's own count below its limit."""
SLOWER = 0.8
"""What a refusal leaves of the rate, once in each window."""
LONGEST_PAUSE = 300
"""Seconds that a `Retry-After` may hold everything up."""
PAGE = 30
"""Rows on a full page of Mode's REST API."""
NO_SUCH_ROUTE = "request path not recognized"

_asking_for: ContextVar[str] = ContextVar("asking_for", default="")


@dataclass(frozen=True)
class Walk:
    """All rows of one list."""

    rows: list[dict[str, Any]]
    total_count: int | None
    """How many rows Mode says there are; None where the list has no counters."""


class _LimitedAdapter(HTTPAdapter):
    """Sends when the limiter says so, and counts what was sent, by endpoint.

    Where Mode refuses all the same (others may use the same token), all threads wait as long as it says, and go on
    at a lower rate, which grows back by one request in each window without a refusal.
    """

    def __init__(self, allowed: int, seconds: float) -> None:
        super().__init__(pool_maxsize=WORKERS)
        self.allowed = self._most = allowed
        self._seconds = seconds
        self._bucket = InMemoryBucket([self._rate()])
        self._limiter = Limiter(self._bucket)
        self._changed_at = time.monotonic() - seconds
        self._resume_at = 0.0
        self._lock = threading.Lock()
        self.sent: Counter[str] = Counter()
        self.answers = 0
        self.refused = 0
        self.limit: str | None = None

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        while (pause := self._resume_at - time.monotonic()) > 0:
            time.sleep(pause)
        self._limiter.try_acquire("mode")
        with self._lock:
            self.sent[_asking_for.get()] += 1
        response = super().send(request, *args, **kwargs)
        with self._lock:
            self.answers += 1
            self.limit = response.headers.get("X-RateLimit-Limit", self.limit)
            if response.status_code == 429:
                self.refused += 1
                self._pause(response.headers.get("Retry-After", ""))
                self._allow(max(1, int(self.allowed * SLOWER)))
            elif self.allowed < self._most:
                self._allow(self.allowed + 1)
        return response

    def _rate(self) -> Rate:
        return Rate(self.allowed, int(self._seconds * 1000 * WINDOW_MARGIN))

    def _pause(self, retry_after: str) -> None:
        if retry_after.isdigit():
            until = time.monotonic() + min(int(retry_after), LONGEST_PAUSE)
            self._resume_at = max(self._resume_at, until)

    def _allow(self, allowed: int) -> None:
        """Changes the rate, once a window at the most; what was sent already still counts."""
        now = time.monotonic()
        if now - self._changed_at >= self._seconds:
            self._changed_at, self.allowed = now, allowed
            self._bucket.rates = [self._rate()]


class ModeClient:
    """Mode's API for one workspace, with the credentials, the limiter and the count of requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._adapter = _LimitedAdapter(settings.rate_limit_requests, settings.rate_limit_seconds)
        transport = Client(
            raise_for_status=False,
            status_codes=RETRY_STATUSES,
            exceptions=RETRY_EXCEPTIONS,
            retry_condition=is_not_json,
        )
        transport.configure()
        self._session = transport.session
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)
        basic = HttpBasicAuth(settings.username, settings.password)
        self._rest = self._connect(settings.base_url, basic)
        self._batch_lock = threading.Lock()
        self._batch: RESTClient | None = None

    @property
    def requests(self) -> int:
        """Requests sent so far, retries included."""
        return self._adapter.sent.total()

    @property
    def requests_by_endpoint(self) -> Mapping[str, int]:
        """Requests sent so far for each endpoint."""
        return dict(self._adapter.sent)

    @property
    def answers(self) -> int:
        """How many requests were answered at all."""
        return self._adapter.answers

    @property
    def allowed(self) -> int:
        """Requests that we allow ourselves in a window; fewer after Mode has refused one."""
        return self._adapter.allowed

    @property
    def refused(self) -> int:
        """How many requests were answered 429."""
        return self._adapter.refused

    @property
    def rate_limit_seen(self) -> str | None:
        """The last `X-RateLimit-Limit` that Mode sent, None before any."""
        return self._adapter.limit

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
    ) -> dict[str, Any]:
        """One GET.

        Args:
            path: Below the API's base, placeholders filled.
            intent: What it is for, as it reads after "Could not".
            params: Query parameters.
            batch: Discovery API instead of REST.

        Raises:
            ModeError: By kind, see `errors`.
        """
        rest = self._discovery() if batch else self._rest
        accept = "application/json" if batch or path.endswith("/audit_logs") else "application/hal+json"
        with network_errors(intent, path):
            response = rest.get(path, params=dict(params or {}), headers={"Accept": accept})
        return read_body(response, intent)

    def walk(
        self,
        route: Route,
        values: Mapping[str, str],
        intent: str,
        params: Mapping[str, str] | None = None,
        is_enough: Callable[[list[dict[str, Any]]], bool] | None = None,
        expected: int | None = None,
    ) -> Walk:
        """Reads one list to its end, however it is paged.

        Args:
            route: Which list.
            values: What fills the path's placeholders.
            intent: What it is for, as it reads after "Could not".
            params: Query parameters beside the route's own.
            is_enough: Says of a page that no page after it is wanted.
            expected: How many rows the parent says there are; a list without counters of its own that has exactly
                so many is not asked for another page.

        Raises:
            ModeError: By kind; a dead link to a page past the end is not an error.
        """
        path = self._fill(route.path, values)
        query = {**route.params, **(params or {})}
        rows: list[dict[str, Any]] = []
        seen: set[str] = set()
        total: int | None = None
        for number, body in enumerate(self._pages(route, path, query, intent), start=1):
            page = read_rows(body, route, intent)
            fresh = {mark: row for row in page if (mark := _identity(row)) not in seen}
            seen |= fresh.keys()
            rows += fresh.values()
            count, pages = counters(body)
            total = count if count is not None else total
            followed = _follow(body, query, number) if route.pager in (Pager.NEXT, Pager.CURSOR) else {}
            if not fresh or _is_end(route.pager, number, len(page), pages, bool(followed), "next_page" in body):
                break
            if len(rows) == expected and route.pager is Pager.UNSEEN:
                break
            if is_enough is not None and is_enough(page):
                break
            query.update(followed or {"page": str(number + 1)})
        return Walk(rows, total)

    def _pages(self, route: Route, path: str, query: dict[str, str], intent: str) -> Iterator[dict[str, Any]]:
        yield self.get(path, intent, query, batch=route.batch)
        while True:
            try:
                yield self.get(path, intent, query, batch=route.batch)
            except ModeRequestError as error:
                if error.status == 404:
                    return
                raise

    def _fill(self, path: str, values: Mapping[str, str]) -> str:
        quoted = {name: quote(value, safe="") for name, value in values.items()}
        return path.format(workspace=quote(self._settings.workspace, safe=""), **quoted)

    def _connect(self, base_url: str, auth: AuthConfigBase) -> RESTClient:
        return RESTClient(base_url=base_url, auth=auth, session=self._session)

    def _discovery(self) -> RESTClient:
        with self._batch_lock:
            if self._batch is None:
                base = self._settings.base_url.rstrip("/").removesuffix("/api") + "/batch"
                self._batch = self._connect(base, BearerTokenAuth(self._signature(base)))
            return self._batch

    def _signature(self, base: str) -> str:
        """The bearer value of Discovery: given by the settings, or minted for a day with the admin key."""
        given = self._settings
        if given.signature_token:
            parts = (given.signature_token, given.signature_access_key, given.signature_access_secret)
        else:
            minted = self._mint(base)
            parts = (minted["token"], minted["access_key"], minted["access_secret"])
        return base64.b64encode(":".join(parts).encode()).decode()

    def _mint(self, base: str) -> dict[str, str]:
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
            response = self._rest.post(base + path, json=wanted, headers={"Accept": "application/json"})
        try:
            body = read_body(response, intent)
        except (ModeAuthError, ModeRequestError) as error:
            raise ModeConfigError(
                f"{error} The Discovery API needs an Enterprise plan and an admin's API token; "
                'set listing to "collections", which any paid plan can read.',
                status=error.status,
            ) from None
        minted = body.get("signature_token", body)
        parts = ("token", "access_key", "access_secret")
        if not isinstance(minted, dict) or not all(isinstance(minted.get(part), str) for part in parts):
            raise ModeResponseError(f"Could not {intent}: the answer holds no {', '.join(parts)}.")
        return minted


@contextmanager
def asking_for(endpoint: str) -> Iterator[None]:
    """Counts the requests made inside under `endpoint`."""
    token = _asking_for.set(endpoint)
    try:
        yield
    finally:
        _asking_for.reset(token)


def _is_end(pager: Pager, number: int, size: int, pages: int | None, followed: bool, says_next: bool) -> bool:
    """Whether page `number`, which brought something new, was the last one of a list.

    Args:
        pager: How the list is paged.
        number: 1 for the first page.
        size: How many rows the page has.
        pages: How many pages the list says it has, None where it does not.
        followed: Whether the page names a next one.
        says_next: Whether it has a field for that, empty or not.
    """
    if pager in (Pager.SINGLE, Pager.OBJECT):
        return True
    if pager is Pager.WHOLE:
        return size < PAGE
    if pager is Pager.CURSOR:
        return not followed
    if pages is not None and pager in (Pager.COUNTED, Pager.NEXT):
        return number >= pages
    # a first page without that field may come from a server that has none: ask once more and see
    return pager is Pager.NEXT and not followed and (says_next or number > 1)


def _identity(row: dict[str, Any]) -> str:
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
    following = dict(parse_qsl(urlsplit(link).query))
    return following if following and following.items() - query.items() else {"page": str(number + 1)}
