"""Mode's answers as rows: where the rows are in a body, and what a row keeps.

Here: pure functions from JSON to JSON.
Not here: requests (`client`), types of columns (`endpoints`; dlt does the conversion).
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dlt.common.json import json

from mode_dagster.extract.endpoints import Column, Endpoint, Route
from mode_dagster.extract.errors import ModeResponseError

Row = dict[str, Any]

DROPPED = frozenset(
    {
        "_links",
        "_forms",
        "_embedded",
        "layout",
        "web_preview_image",
        "pusher_channel_name",
        "data_index_auth_token",
        "ssl_trusted_cert",
        "flamingo_signature",
    }
)
"""Write templates, whole HTML pages, values that differ on every call, and secrets: never stored."""
LARGEST = 2**63 - 1
"""What a column of whole numbers can hold."""
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999, as seconds since 1970."""
ENVELOPE = frozenset({"_links", "_embedded", "_forms", "pagination", "next_page", "next_token"})
_NAMES = frozenset({"token", "member_token", "id", "name", "username"})
"""What tells a thing of Mode's from any other JSON object: it has one of these."""
_EMPTY_IS_NULL = frozenset({"bigint", "double", "bool", "timestamp"})


def read_rows(body: Row, route: Route, intent: str) -> list[Row]:
    """The rows in one answer.

    Past the end of a list Mode sends an empty list, an empty `_embedded`, or no `_embedded` at all.

    Raises:
        ModeResponseError: The answer has none of the keys that Mode's answers have, or no list under them.
    """
    if not route.selectors:
        if not _NAMES & body.keys():
            raise ModeResponseError(f"Could not {intent}: the answer has none of {', '.join(sorted(_NAMES))}.")
        return [body]
    embedded = body.get("_embedded")
    if embedded is not None and not isinstance(embedded, dict):
        raise ModeResponseError(f"Could not {intent}: _embedded is not an object.")
    if found := _found(body, route):
        return _objects(*found, intent)
    if isinstance(embedded, dict) and len(embedded) == 1 and isinstance(next(iter(embedded.values())), list):
        return _objects(*next(iter(embedded.items())), intent)
    if body and not ENVELOPE & body.keys() and not set(route.selectors) & body.keys():
        keys = ", ".join(sorted(body)[:5])
        raise ModeResponseError(
            f"Could not {intent}: expected {' or '.join(route.selectors)}, got a JSON object with {keys}. "
            "Is base_url Mode's API?"
        )
    return []


def has_list(body: Row, route: Route) -> bool:
    """Whether an answer has a list, be it empty, where its rows should be.

    An `_embedded` with nothing in it is one: public clients of Mode's API have recorded empty lists so.
    """
    return not route.selectors or _found(body, route) is not None or body.get("_embedded") == {}


def _found(body: Row, route: Route) -> tuple[str, Any] | None:
    """What is under `_embedded.<selector>` (REST) or a bare `<selector>` (Discovery, flat listing), and that name."""
    places = [place for place in (body.get("_embedded"), body) if isinstance(place, dict)]
    named = ((name, place.get(name)) for place in places for name in route.selectors)
    return next((pair for pair in named if pair[1] is not None), None)


def _objects(selector: str, value: Any, intent: str) -> list[Row]:
    if isinstance(value, dict) and _NAMES & value.keys():
        value = [value]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ModeResponseError(f"Could not {intent}: {selector} is not a list of objects.")
    return value


def counters(body: Row) -> tuple[int | None, int | None]:
    """How many rows and how many pages a list says it has; None where it does not say."""
    block = body.get("pagination")
    if not isinstance(block, dict):
        return None, None
    total, pages, per_page = (whole(block.get(name)) for name in ("total_count", "total_pages", "per_page"))
    if pages is None and total is not None and per_page:
        pages = -(-total // per_page)
    return total, pages


def whole(value: Any) -> int | None:
    """A counter as a number: Mode sends numbers, its documentation says text. None if it is neither, or absurd."""
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if abs(number) <= LARGEST else None


def next_page(body: Row) -> str | None:
    """The link to (or number of) the next page, wherever it is; None at the end."""
    links, block = body.get("_links"), body.get("pagination")
    for place in (links, block, body):
        link = place.get("next_page") if isinstance(place, dict) else None
        if isinstance(link, dict):
            link = link.get("href")
        if link:
            return str(link)
    return None


def next_token(body: Row) -> str | None:
    """The cursor of the next page of audit logs; None at the end."""
    block = body.get("pagination")
    token = body.get("next_token") or (block.get("next_token") if isinstance(block, dict) else None)
    return str(token) if token else None


class RowReader:
    """Turns one endpoint's raw rows into rows of its table."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lifted = [(column.name, _paths(column)) for column in endpoint.columns if column.source]
        plain = {path[0] for _, paths in self._lifted for path in paths if len(path) == 1}
        kept = {column.name for column in endpoint.columns if not column.source}
        self._consumed = (plain - kept) | DROPPED
        self._documented = frozenset(column.name for column in endpoint.all_columns)
        self._types = {column.name: column.data_type for column in endpoint.all_columns}
        self._nullable = {name for name, kind in self._types.items() if kind in _EMPTY_IS_NULL}
        self._parents = endpoint.list_columns
        routes = [route for route in (endpoint.rest, endpoint.flat, endpoint.discovery) if route]
        self._lists = {_last_part(path) for route in routes for path in (route.path, route.fallback)}
        self._owner = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/?]+)", re.escape(endpoint.main_route.path)))

    def read(self, raw: Row, values: Mapping[str, str]) -> Row:
        """One row: parents' tokens added, links lifted, names made plain, ids made text, ballast dropped.

        Args:
            values: Parents' tokens, by placeholder, as far as the path held them.
        """
        row = {
            name: value
            for name, value in raw.items()
            if name not in self._consumed
            and not name.startswith("_dlt_")
            and (value is not None or name in self._documented)
        }
        for name, paths in self._lifted:
            row[name] = next((value for path in paths if (value := _look_up(raw, path, name)) is not None), None)
        self._name_parents(row, raw, values)
        self._identify(row, raw)
        self._make_storable(row)
        return row

    def _make_storable(self, row: Row) -> None:
        """What no column can hold goes as text into a column beside it, called as dlt calls those."""
        beside = {}
        for name, value in row.items():
            if value == "" and name in self._nullable:
                row[name] = None
            elif value is not None and (name in self._endpoint.key or _is_identifier(name)):
                row[name] = _text(value)
            elif isinstance(value, bool) and self._types.get(name) == "text":
                row[name] = json.dumps(value)
            elif _is_out_of_range(value, self._types.get(name) or _type_by_name(name)):
                row[name], beside[f"{name}__v_text"] = None, str(value)
        row.update(beside)

    def _name_parents(self, row: Row, raw: Row, values: Mapping[str, str]) -> None:
        """Flat lists name the parents in fields or only in links; a child list not at all."""
        for name in self._parents:
            if name in values and name != "username":
                row[name] = values[name]
        missing = [name for name in self._parents if not row.get(name) and name != "username"]
        if not missing:
            return
        owner = self._owner.search(_href(raw, "self") or "")
        for name in missing:
            linked = _last_part(_href(raw, name.removesuffix("_token")))
            found = owner.groupdict().get(name) if owner else None
            row[name] = linked or found

    def _identify(self, row: Row, raw: Row) -> None:
        """No row is lost for want of a key: its own link names it, or else its content and its parents do."""
        for name in self._endpoint.key:
            if row.get(name) in (None, ""):
                parents = {parent: row.get(parent) for parent in self._parents}
                linked = _last_part(_href(raw, "self"))
                # a link to the list is the same on every row of it
                row[name] = linked if linked and linked not in self._lists else _digest({**parents, **raw})


def _digest(content: Row) -> str:
    """What names a row that has no name: the same for the same content."""
    kept = {field: value for field, value in content.items() if field not in DROPPED}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def _is_identifier(name: str) -> bool:
    return name in ("id", "token") or name.endswith(("_id", "_token"))


def _text(value: Any) -> str:
    """What names something, as text: Mode sends ids as number or text, depending on endpoint and year."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _is_out_of_range(value: Any, kind: str) -> bool:
    """Whether a value would be taken for a number or a time, and is none that can be stored; dlt 1.31 fails at those.

    Args:
        value: Neither an object nor a list.
        kind: Type of its column; empty for a column whose type dlt finds out.
    """
    if isinstance(value, str):
        if kind == "bigint":
            return value.strip().lstrip("+-").isdecimal() and whole(value) is None
        # most years begin with 1 or 2, and need no closer look
        return (
            kind == "timestamp" and value[:1] not in "12" and whole(value[:4]) in (0, 1, 9999) and not _is_moment(value)
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if kind == "timestamp":
        return not FIRST_SECOND <= value <= LAST_SECOND
    return kind != "double" and abs(value) > LARGEST


def _type_by_name(name: str) -> str:
    """What an undocumented column is taken for (see `source`), however dlt is going to spell it."""
    return "timestamp" if re.sub("[^a-z]", "", name.lower()).endswith("at") else ""


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return True


def _paths(column: Column) -> list[tuple[str, ...]]:
    return [tuple(source.split(".")) for source in column.source.split("|")]


def _look_up(raw: Row, path: tuple[str, ...], name: str) -> Any:
    if path[0] == "_links":
        link = _href(raw, path[1])
        return link if name.endswith("_url") else _last_part(link)
    value: Any = raw
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _href(raw: Row, rel: str) -> str | None:
    links = raw.get("_links")
    link = links.get(rel) if isinstance(links, dict) else None
    href = link.get("href") if isinstance(link, dict) else link
    return href if isinstance(href, str) and href else None


def _last_part(href: str | None) -> str | None:
    """`/api/acme/reports/abc?x=1` → `abc`."""
    return (href.split("?")[0].rstrip("/").rsplit("/", 1)[-1] or None) if href else None
