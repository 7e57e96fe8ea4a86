"""Which lists a key can read: one request each, nothing loaded.

Here: the probing behind `mode-dagster check`.
Not here: printing it (`cli`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mode_dagster.extract.client import ModeClient, reachable
from mode_dagster.extract.endpoints import ENDPOINTS, Endpoint, Listing, Pager, Route, way_in
from mode_dagster.extract.errors import ModeAuthError, ModeError, ModeUnavailable
from mode_dagster.extract.reading import NO_FLAT_LIST
from mode_dagster.settings import Settings
from mode_dagster.wording import words


@dataclass(frozen=True)
class Probe:
    """What one question to Mode brought."""

    what: str
    answer: str
    advice: str = ""
    good: bool = True
    needed: bool = False
    """Whether nothing can be loaded where it is not good."""


def probe(settings: Settings) -> Iterator[Probe]:
    """Asks for the first page of every list that has no parent, and for each way of listing reports.

    Raises:
        ModeError: The credentials are wrong or Mode is out of reach; nothing else could be told then.
    """
    yield Probe("server", "the bundled sandbox: made-up data" if settings.is_sandbox else settings.base_url)
    with ExitStack() as stack:
        settings = stack.enter_context(reachable(settings, lambda: datetime.now(UTC)))
        client = ModeClient(settings)
        stack.callback(client.close)
        verified = client.verify()
        yield _credentials(settings, verified)
        for listing in Listing:
            endpoint = way_in(listing)
            if route := endpoint.route(listing):
                yield _listing(client, settings, listing, endpoint, route)
        for endpoint in ENDPOINTS:
            if endpoint.rest and endpoint.rest.parent is None and endpoint.name != "spaces":
                yield _endpoint(client, endpoint, endpoint.rest)
        yield _rate_limit(client, settings)


def _credentials(settings: Settings, verified: dict[str, Any]) -> Probe:
    if not verified:
        return Probe("credentials", "not checked: this server has no /api/verify")
    scope = verified.get("api_key_scope") or "unknown scope"
    advice = ""
    if str(verified.get("workspace", "")).lower() != settings.workspace.lower():
        advice = f"the key names the workspace {verified.get('workspace')!r}; is {settings.workspace!r} the same one?"
    return Probe("credentials", f"accepted ({scope})", advice)


def _listing(client: ModeClient, settings: Settings, listing: Listing, endpoint: Endpoint, route: Route) -> Probe:
    found = _endpoint(client, endpoint, route)
    is_set = listing is settings.listing
    used, advice = (" (the one set)", found.advice) if is_set else ("", "")
    if found.good and found.answer.startswith("0 rows"):
        advice = "the key sees none: give it access to the collections, or use an admin's or a workspace key"
    answer = f"{endpoint.name}: {found.answer}"
    return replace(found, what=f"listing {listing}{used}", answer=answer, advice=advice, needed=is_set)


def _endpoint(client: ModeClient, endpoint: Endpoint, route: Route) -> Probe:
    now, window = datetime.now(UTC), {}
    if route.pager is Pager.CURSOR:
        window = {"start_timestamp": (now - timedelta(days=1)).isoformat(), "end_timestamp": now.isoformat()}
    try:
        walk = client.read_list(route, {}, f"list {endpoint.name}", window, is_enough=lambda _: True)
    except ModeUnavailable:
        raise
    except ModeError as error:
        answer = f"HTTP {error.status}" if error.status else str(error)
        return Probe(endpoint.name, answer, _advice(endpoint, route, error), good=False)
    return Probe(endpoint.name, words(len(walk.rows) if walk.total_count is None else walk.total_count, "row"))


def _advice(endpoint: Endpoint, route: Route, error: ModeError) -> str:
    if route.fallback:
        return f"{route.fallback} is read instead"
    if endpoint.name == "audit_logs":
        return "only a workspace API token may read them; the table stays empty"
    if isinstance(error, ModeAuthError) or error.status == 403:
        return "only an admin's key may read it; the table stays empty"
    if error.status == 404 and route.pager is Pager.NEXT:
        return NO_FLAT_LIST
    if error.status == 404 and endpoint.name in ("spaces", "reports"):
        return "check the settings workspace and base_url"
    return "the table stays empty"


def _rate_limit(client: ModeClient, settings: Settings) -> Probe:
    seen = client.adapter.limit
    if not seen:
        return Probe("rate limit", "the server says nothing of it")
    is_less = seen.isdigit() and int(seen) < settings.rate_limit_requests
    advice = f"lower rate_limit_requests from {settings.rate_limit_requests} to {seen}" if is_less else ""
    return Probe("rate limit", f"{seen} requests at once, says the server", advice)
