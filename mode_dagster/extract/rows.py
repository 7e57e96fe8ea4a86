"""Mode's answers as rows: where the rows are in a body, and what a row keeps.

Here: pure functions from JSON to JSON.
Not here: requests (`client`), types of columns (`endpoints`; dlt does the conversion).
"""

import hashlib
import re
from collections.abc import Mapping
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
ENVELOPE = frozenset({"_links", "_embedded", "_forms", "pagination", "next_page", "next_token"})
_EMPTY_IS_NULL = frozenset({"bigint", "double", "bool", "timestamp"})


def read_rows(body: Row, route: Route, intent: str) -> list[Row]:
    """The rows in one answer.

    They are looked for as `_embedded.<selector>` (REST) and as a bare `<selector>` (Discovery, flat listing).
    Past the end of a list Mode sends an empty list, an empty `_embedded`, or no `_embedded` at all.

    Raises:
        ModeResponseError: The answer has none of the keys that Mode's answers have, or no list under them.
    """
    if not route.selectors:
        return [body]
    embedded = body.get("_embedded")
    for place in (embedded, body):
        for selector in route.selectors:
            if isinstance(place, dict) and place.get(selector) is not None:
                return _objects(place[selector], selector, intent)
    if isinstance(embedded, dict) and len(embedded) == 1 and isinstance(next(iter(embedded.values())), list):
        (selector, rows), *_ = embedded.items()
        return _objects(rows, selector, intent)
    if body and not ENVELOPE & body.keys() and not set(route.selectors) & body.keys():
        found = ", ".join(sorted(body)[:5])
        raise ModeResponseError(
            f"Could not {intent}: expected {' or '.join(route.selectors)}, got a JSON object with {found}. "
            "Is base_url Mode's API?"
        )
    return []


def _objects(value: Any, selector: str, intent: str) -> list[Row]:
    if isinstance(value, dict):
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
    """A counter as a number: Mode sends numbers, its documentation says text. None if it is neither."""
    try:
        return int(str(value))
    except ValueError:
        return None


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
        self._nullable = {c.name for c in endpoint.columns if c.data_type in _EMPTY_IS_NULL}
        rest = endpoint.rest or endpoint.discovery
        self._parents = rest.placeholders if rest else ()
        self._owner = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/?]+)", re.escape(rest.path))) if rest else None

    def read(self, raw: Row, values: Mapping[str, str]) -> Row:
        """One row: parents' tokens added, links lifted, names made plain, ids made text, ballast dropped.

        Args:
            raw: As Mode sent it.
            values: Parents' tokens, by placeholder, as far as the path held them.
        """
        row = {
            name: value
            for name, value in raw.items()
            if name not in self._consumed and (value is not None or name in self._documented)
        }
        for name, paths in self._lifted:
            row[name] = next((value for path in paths if (value := _look_up(raw, path, name)) is not None), None)
        for name, value in row.items():
            if (name == "id" or name.endswith("_id")) and isinstance(value, int):
                row[name] = str(value)
            elif value == "" and name in self._nullable:
                row[name] = None
        self._name_parents(row, raw, values)
        self._identify(row, raw)
        return row

    def _name_parents(self, row: Row, raw: Row, values: Mapping[str, str]) -> None:
        """Flat lists name the parents in fields or only in links; a child list not at all."""
        for name in self._parents:
            if name in values and name != "username":
                row[name] = values[name]
        missing = [name for name in self._parents if not row.get(name) and name != "username"]
        if not missing or self._owner is None:
            return
        owner = self._owner.search(_href(raw, "self") or "")
        for name in missing:
            linked = _last_part(_href(raw, name.removesuffix("_token")))
            found = owner.groupdict().get(name) if owner else None
            row[name] = linked or found

    def _identify(self, row: Row, raw: Row) -> None:
        """No row is lost for want of a key: its own link names it, or else its content does."""
        for name in self._endpoint.key:
            if row.get(name) is None:
                content = json.dumps({k: v for k, v in raw.items() if k not in DROPPED}, sort_keys=True)
                row[name] = _last_part(_href(raw, "self")) or hashlib.sha256(content.encode()).hexdigest()[:12]


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
