"""What each path answers: lists of the catalogue with their envelopes and pages, single things, refusals.

Here: Mode's manners, one by one: which list pages and how, who may read what.
Not here: the rows (`shapes`, `discovery`), sockets, rate limit and faults (`server`).
"""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from typing import Any

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Pager, Route, spoken
from mode_dagster.sandbox import discovery
from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.records import WORKSPACE, Report, Space
from mode_dagster.sandbox.shapes import SHAPES
from mode_dagster.sandbox.shapes.people import membership_lite
from mode_dagster.sandbox.shapes.reports import report as report_shape
from mode_dagster.sandbox.shapes.wording import API, Json
from mode_dagster.sandbox.world import PRIVATE_IS_INVALID, World

USERNAME, PASSWORD = "sandbox-token", "sandbox-secret"
BASIC = "Basic " + b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()

CEILING = 30
"""The most rows that a REST page has, whatever `per_page` says."""
PAGE_SIZES = {"spaces": 30, "runs": 20, "groups": 20, "dataset_runs": 30}
"""Lists with counters, and their size of page when `per_page` is not given."""
BLIND = frozenset({"reports", "datasets", "report_schedules", "dataset_schedules"})
"""Lists in pages of 30 without counters, which ignore `per_page`; all others ignore `page` too."""
FOR_ADMINS = {
    "memberships": 404,
    "groups": 403,
    "group_memberships": 403,
    "space_permissions": 403,
    "audit_logs": 401,
}
"""What a key that is not an admin's gets."""
AUDIT_PAGE = 100
BATCH_CEILING = 1_000


@dataclass
class Answer:
    """What is sent back, before the limiter and faults have their say."""

    body: str
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """An answer that is an error in Mode's shape."""

    def __init__(self, status: int, name: str, message: str) -> None:
        """Refuse with `name` as Mode's `id`."""
        super().__init__(message)
        self.answer = Answer(json.dumps({"id": name, "message": message}), status)


@dataclass(frozen=True)
class Asked:
    """A request as the handlers see it."""

    moment: Moment
    path: str
    query: Mapping[str, str]
    tokens: Mapping[str, str]
    accept: str = "*/*"

    def number(self, name: str, default: int, ceiling: int) -> int:
        """A positive whole number from the query."""
        text = self.query.get(name, "")
        return max(1, min(int(text), ceiling)) if text.isdigit() else default


Handler = Callable[[Asked], Answer]
Served = tuple[re.Pattern[str], Handler]


class Routes:
    """Every path that the sandbox answers, derived from the catalogue where the catalogue has it."""

    def __init__(self, world: World) -> None:
        """Compile the routes; which there are depends on the world's options."""
        self.world = world
        self.options = world.history.options
        self._rest = self._compile()
        self._batch = [
            (_pattern(endpoint.discovery.path), self._batch_list(endpoint.name, endpoint.discovery))
            for endpoint in ENDPOINTS
            if endpoint.discovery
        ]

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: "Message[str, str]", body: bytes
    ) -> Answer:
        """Answer one request; refusals come in Mode's shape."""
        authorization = headers.get("Authorization") or ""
        moment, accept = self.world.moment(), headers.get("Accept") or "*/*"
        try:
            if path.startswith("/batch/"):
                return self._answer_batch(method, path.removeprefix("/batch"), query, authorization, body, moment)
            if path != API and authorization != BASIC:
                raise RefusedError(401, "unauthorized", "Unauthorized")
            if method == "GET" and path.startswith("/api/"):
                path = re.sub(r"^/api(/[^/]+)/collections(?=/|$)", r"\1/spaces", path).removeprefix("/api")
                for pattern, handler in self._rest:
                    if found := pattern.fullmatch(path):
                        return handler(Asked(moment, path, query, found.groupdict(), accept))
            raise RefusedError(404, "not_found", "request path not recognized")
        except RefusedError as refusal:
            return refusal.answer

    def _answer_batch(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        authorization: str,
        body: bytes,
        moment: Moment,
    ) -> Answer:
        minting = path.startswith(f"/{WORKSPACE}/signature_tokens")
        allowed = authorization == BASIC if minting else discovery.is_bearer(moment.history, authorization)
        if not allowed:
            raise RefusedError(401, "unauthorized", "Unauthorized")
        if not (self.options.discovery and self.options.admin):
            raise RefusedError(403, "forbidden", "The Discovery API is not part of your plan")
        if minting and method == "POST":
            token = discovery.mint(moment.history, _parsed(body), moment.now)
            if token is None:
                raise RefusedError(400, "bad_request", "signature_token needs name, expires_at and auth_scope")
            return Answer(json.dumps(token))
        if minting and method == "DELETE":
            return Answer(json.dumps({"message": "Signature token deleted"}))
        for pattern, handler in self._batch:
            if method == "GET" and pattern.fullmatch(path):
                return handler(Asked(moment, f"/batch{path}", query, {}))
        raise RefusedError(404, "not_found", "request path not recognized")

    def _compile(self) -> list[Served]:
        routes: list[Served] = [
            (_pattern("/verify"), _verify),
            (_pattern("/account"), _account),
            (_pattern("/{workspace}/memberships/lite"), _memberships_lite),
            (_pattern("/{workspace}/reports/{report_token}"), _report),
            (_pattern("/{workspace}/datasets/{dataset_token}"), _report),
        ]
        for endpoint in ENDPOINTS:
            if self.options.flat and endpoint.flat:
                routes.append((_pattern(endpoint.flat.path), self._flat_list(endpoint.name, endpoint.flat)))
            route = endpoint.rest
            if route is None:
                continue
            if route.pager is Pager.OBJECT:
                routes.append((_pattern(route.path), _object(endpoint.name)))
                continue
            handler = _audit_logs if endpoint.name == "audit_logs" else _rest_list(endpoint.name, route)
            routes.append((_pattern(route.path), self._guarded(endpoint.name, handler)))
            if endpoint.key == ("token",) and endpoint.name not in ("reports", "datasets"):
                routes.append((_pattern(route.path + "/{item}"), self._guarded(endpoint.name, _item(endpoint.name))))
        return sorted(routes, key=lambda served: served[0].pattern.count("(?P<"))

    def _guarded(self, name: str, handler: Handler) -> Handler:
        status = FOR_ADMINS.get(name)
        if self.options.admin or status is None:
            return handler

        def refuse(asked: Asked) -> Answer:
            if status == 401:
                return Answer("Unauthorized", 401, "text/plain")
            if status == 404:
                raise RefusedError(404, "not_found", "request path not recognized")
            raise RefusedError(403, "forbidden", "Only admins may do that")

        return refuse

    def _flat_list(self, name: str, route: Route) -> Handler:
        def handler(asked: Asked) -> Answer:
            records = _records(name, asked) if route.placeholders or name == "data_sources" else None
            if records is None:
                records = discovery.records(asked.moment, name, everything=True)
            size = asked.number("per_page", PAGE_SIZES.get(name, CEILING), CEILING)
            page = asked.number("page", 1, 10**9)
            shown = records[(page - 1) * size : page * size]
            body: Json = {route.selectors[0]: [_flat_row(name, asked.moment, record) for record in shown]}
            if page * size < len(records):
                body["next_page"] = f"/api{asked.path}?page={page + 1}&per_page={size}"
            return Answer(json.dumps(body))

        return handler

    def _batch_list(self, name: str, route: Route) -> Handler:
        def handler(asked: Asked) -> Answer:
            records = discovery.records(asked.moment, name, asked.query.get("include_spaces") == "all")
            size = asked.number("per_page", BATCH_CEILING, BATCH_CEILING)
            page = asked.number("page", 1, 10**9)
            shown = records[(page - 1) * size : page * size]
            nearby = {"next_page": page + 1} if page * size < len(records) else {}
            nearby |= {"prev_page": page - 1} if page > 1 else {}
            body = {
                "pagination": _pagination(page, size, len(shown), len(records)),
                route.selectors[0]: [discovery.SHAPES[name](asked.moment, record) for record in shown],
                # the links do not repeat include_spaces
                "_links": {rel: {"href": f"{asked.path}?page={to}&per_page={size}"} for rel, to in nearby.items()},
            }
            return Answer(json.dumps(body))

        return handler


def _pattern(path: str) -> re.Pattern[str]:
    literal = path.replace("{workspace}", WORKSPACE)
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", literal))


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _pagination(page: int, size: int, count: int, total: int) -> Json:
    pages = -(-total // size)
    return {"page": page, "per_page": size, "count": count, "total_pages": pages, "total_count": total}


def _records(name: str, asked: Asked) -> Sequence[Any]:
    """The records of a list, or Mode's way of saying that the parent is not there."""
    records = asked.moment.listing(name, asked.tokens)
    if records is None:
        noun = spoken(BY_NAME[str(BY_NAME[name].parent)].noun)
        raise RefusedError(404, "not_found", f"{noun} not found")
    if name in PRIVATE_IS_INVALID:
        space = asked.moment.space(asked.tokens["space_token"])
        if space and space.private:
            raise RefusedError(400, "bad_request", "Invalid space")
    return records


def _wanted_spaces(spaces: Sequence[Space], wanted: str | None) -> list[Space]:
    """What a filter leaves; any other counts as none, which leaves a workspace's key nothing."""
    return [space for space in spaces if wanted == "all" or (wanted == "custom" and not space.private)]


def _rest_list(name: str, route: Route) -> Handler:
    key, shape = route.selectors[0], SHAPES[name]

    def handler(asked: Asked) -> Answer:
        records, default, page = _records(name, asked), PAGE_SIZES.get(name), asked.number("page", 1, 10**9)
        link = f"/api{asked.path}"
        body: Json = {"_links": {"self": {"href": link, "templated": False}}, "_embedded": {}}
        if name == "spaces":
            records = _wanted_spaces(records, asked.query.get("filter"))
        shown = records
        if default:
            size = asked.number("per_page", default, CEILING)
            shown = records[(page - 1) * size : page * size]
            body["pagination"] = _pagination(page, size, len(shown), len(records))
            if page * size < len(records):
                body["_links"]["next_page"] = {"href": f"{link}?page={page + 1}&per_page={size}"}
            elif name == "runs":
                body["_links"]["next_page"] = {"href": f"{API}/report_runs?page={page + 1}"}
        elif name in BLIND:
            shown = records[(page - 1) * CEILING : page * CEILING]
        body["_embedded"][key] = [shape(asked.moment, record) for record in shown]
        if name == "reports" and page > 1 and not shown:
            _end_of_reports(body, asked)
        if name == "data_sources":
            body["data_index_auth_token"] = "not-a-secret"  # noqa: S105  # Mode sends one
        return Answer(json.dumps(body), content_type="application/hal+json; charset=utf-8")

    return handler


def _end_of_reports(body: Json, asked: Asked) -> None:
    """Past the end, Mode was seen to send an empty list, an empty `_embedded`, and none."""
    space = asked.moment.space(asked.tokens["space_token"])
    if space and space.index % 2:
        body["_embedded"] = {}
        if space.index % 4 == 3:
            del body["_embedded"]


def _flat_row(name: str, moment: Moment, record: Any) -> Json:
    row = SHAPES[name](moment, record)
    if name in ("queries", "charts"):
        row["report_token"] = record.report.token
    if name == "charts":
        row["query_token"] = record.query.token
    return row


def _item(name: str) -> Handler:
    def handler(asked: Asked) -> Answer:
        token = asked.tokens["item"]
        record = next((record for record in _records(name, asked) if record.token == token), None)
        if record is None and name == "queries":
            report = asked.moment.report(asked.tokens["report_token"])
            record = report and asked.moment.query(token, report)
        return _one(name, asked, record)

    return handler


def _object(name: str) -> Handler:
    def handler(asked: Asked) -> Answer:
        records = asked.moment.listing(name, asked.tokens)
        return _one(name, asked, records[0] if records else None)

    return handler


def _one(name: str, asked: Asked, record: object) -> Answer:
    if record is None:
        raise RefusedError(404, "not_found", f"{spoken(BY_NAME[name].noun)} not found")
    return Answer(json.dumps(SHAPES[name](asked.moment, record)))


def _report(asked: Asked) -> Answer:
    record: Report | None = asked.moment.report(next(iter(asked.tokens.values())))
    if record is None:
        raise RefusedError(404, "not_found", "report not found")
    return Answer(json.dumps(report_shape(asked.moment, record, single=True)))


def _verify(asked: Asked) -> Answer:
    workspace = asked.moment.history.token("workspace")
    scope = "admin" if asked.moment.history.options.admin else "member"
    body = {"workspace": WORKSPACE, "workspace_token": workspace, "api_key_scope": scope}
    return Answer(json.dumps({**body, "_links": {"self": {"href": "/api/verify"}}}))


def _account(asked: Asked) -> Answer:
    raise RefusedError(400, "bad_request", "not supported with an API key")


def _memberships_lite(asked: Asked) -> Answer:
    rows = [membership_lite(asked.moment, person) for person in asked.moment.history.members]
    return Answer(json.dumps({"_links": {"self": {"href": f"/api{asked.path}"}}, "_embedded": {"memberships": rows}}))


def _audit_logs(asked: Asked) -> Answer:
    if "hal+json" in asked.accept and "application/json" not in asked.accept and "*/*" not in asked.accept:
        return Answer("Not Acceptable", 406, "text/plain")
    try:
        start, end = (_time(asked.query[name]) for name in ("start_timestamp", "end_timestamp"))
    except (KeyError, ValueError):
        return Answer(json.dumps({"errors": ["start_timestamp and end_timestamp are required"]}), 400)
    events = asked.moment.audit_logs(start, end)
    seen = next((i for i, event in enumerate(events, 1) if event.id == asked.query.get("next_token")), 0)
    page = events[seen : seen + AUDIT_PAGE]
    more = page[-1].id if seen + AUDIT_PAGE < len(events) else None
    rows = [SHAPES["audit_logs"](asked.moment, event) for event in page]
    return Answer(json.dumps({"audit_logs": rows, "pagination": {"next_token": more}}))


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
