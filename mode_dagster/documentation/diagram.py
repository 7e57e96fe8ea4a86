"""The drawing of the loaded tables: a box for each, with the columns that rows are joined by.

Here: an SVG in the page's own colours, laid out from the catalogue: what hangs on a row stands to the right of it.
Not here: the page that shows it (`tables`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint, Family
from mode_dagster.translator import upstream

BOX, GAP, ROW, HEAD, SPACE = 206, 24, 15, 22, 14
"""Width of a box and the room beside it, height of a line and of a title, room below a box."""
TOP = 30
DISCOVERY_ONLY = "(discovery listing only)"
QUIET = ' class="quiet"'
COLOURS = {
    Family.REPORTS: "#00897b",
    Family.RUNS: "#5c6bc0",
    Family.SCHEDULES: "#ef6c00",
    Family.DATASETS: "#8e24aa",
    Family.SOURCES: "#6d8a00",
    Family.PEOPLE: "#d81b60",
    Family.AUDIT: "#78909c",
}
STYLE = """
.drawing { color-scheme: light dark; font: 10.5px system-ui, sans-serif; }
.drawing text { fill: var(--md-default-fg-color, CanvasText); }
.drawing .quiet { fill: var(--md-default-fg-color--light, GrayText); }
.drawing .title { font-weight: 600; font-size: 12px; }
.drawing rect.box { fill: var(--md-default-bg-color, Canvas); stroke: var(--md-default-fg-color--lighter, GrayText); }
.drawing path { fill: none; stroke: var(--md-default-fg-color--light, GrayText); }
.drawing a:hover text { text-decoration: underline; }
"""
"""In a page, its variables decide; in a file of its own, the colours of the system."""


@dataclass(frozen=True)
class Box:
    """A table, where it stands, and what it hangs on."""

    endpoint: Endpoint
    x: int
    y: int
    above: "Box | None"

    @property
    def lines(self) -> Mapping[str, str]:
        """Key and joining columns, each with the table that it names, empty where it names none."""
        return {**dict.fromkeys(self.endpoint.key, ""), **joins(self.endpoint)}

    @property
    def height(self) -> int:
        """With the room below it."""
        return HEAD + ROW * len(self.lines) + 6 + SPACE


def joins(endpoint: Endpoint) -> Mapping[str, str]:
    """Columns that name rows of other tables, one a table: those that all listing modes fill, tokens before ids."""
    named = _names_of_rows(endpoint)
    columns = [column.name for column in endpoint.all_columns if DISCOVERY_ONLY not in column.description]
    found: dict[str, str] = {}
    for column in sorted(filter(named.get, columns), key=lambda name: name.endswith("_id")):
        if named[column] not in (endpoint.name, *found.values()):
            found[column] = named[column]
    return found


def _names_of_rows(endpoint: Endpoint) -> Mapping[str, str]:
    """What rows of each table are called where others name them."""
    keys = {other.key[0]: other.name for other in reversed(ENDPOINTS) if other.key[0].endswith("_token")}
    tokens = {f"{other.noun}_token": other.name for other in ENDPOINTS if other.key == ("token",)}
    ids = {f"{BY_NAME[name].noun}_id": name for name in endpoint.references}
    return {**keys, **tokens, **ids}


def tables_drawing() -> str:
    """All tables as one SVG."""
    boxes = list(_places())
    width = max(box.x for box in boxes) + BOX + 2
    height = max(box.y + box.height for box in boxes)
    lines = "".join(_line(box.above, box) for box in boxes if box.above)
    parts = [_legend(), f'<path d="{lines}"/>', *(part for box in boxes for part in _drawn(box))]
    head = f'<svg class="drawing" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return "\n".join([head, "<title>The loaded tables</title>", f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _places() -> Iterator[Box]:
    """Large trees one below the other; those of one or two boxes side by side after them."""
    roots = [endpoint for endpoint in ENDPOINTS if not _above(endpoint)]
    trees = sorted(roots, key=lambda root: -_depth(root))
    y, lanes = TOP, [0, 0]
    for root in trees:
        if _depth(root) > 2:
            tree = list(_tree(root, 0, y, None))
            y = max(box.y + box.height for box in tree)
            lanes = [y, y]
        else:
            lane = lanes.index(min(lanes))
            tree = list(_tree(root, lane * 2 * (BOX + GAP), lanes[lane], None))
            lanes[lane] = max(box.y + box.height for box in tree)
        yield from tree


def _tree(endpoint: Endpoint, x: int, y: int, above: Box | None) -> Iterator[Box]:
    """A table at its place, and what hangs on it to the right, one below the other."""
    box = Box(endpoint, x, y, above)
    yield box
    for child in _below(endpoint):
        boxes = list(_tree(child, x + BOX + GAP, y, box))
        y = max(placed.y + placed.height for placed in boxes)
        yield from boxes


def _above(endpoint: Endpoint) -> str:
    """The one table that it is drawn beside: its parent, or else the first that its rows point to."""
    return next(iter(upstream(endpoint)), "")


def _below(endpoint: Endpoint) -> Sequence[Endpoint]:
    return [child for child in ENDPOINTS if _above(child) == endpoint.name]


def _depth(endpoint: Endpoint) -> int:
    return 1 + max(map(_depth, _below(endpoint)), default=0)


def _legend() -> str:
    words = [f'<tspan fill="{colour}">■</tspan> {family.removeprefix("mode_")}' for family, colour in COLOURS.items()]
    return f'<text{QUIET} x="1" y="12">{"&#160;&#160;&#160; ".join(words)}</text>'


def _line(above: Box, box: Box) -> str:
    """From the title of one box to that of the other, ending in a crow's foot: one row there, many here."""
    start, middle, end = above.x + BOX, above.x + BOX + 8, box.x
    high, low = above.y + HEAD // 2, box.y + HEAD // 2
    return f"M{start} {high}H{middle}V{low}H{end}M{end - 8} {low}l8 -5M{end - 8} {low}l8 5"


def _drawn(box: Box) -> Iterator[str]:
    colour = COLOURS[box.endpoint.family]
    height = box.height - SPACE
    yield f'<rect class="box" x="{box.x + 0.5}" y="{box.y + 0.5}" width="{BOX}" height="{height}" rx="3"/>'
    yield f'<rect x="{box.x + 0.5}" y="{box.y + 0.5}" width="4" height="{height}" rx="2" fill="{colour}"/>'
    yield _link(box.endpoint.name, box.x + 12, box.y + 16)
    for number, (column, table) in enumerate(box.lines.items()):
        y = box.y + HEAD + ROW * number + 11
        is_key = column in box.endpoint.key
        yield f'<text{"" if is_key else QUIET} x="{box.x + 12}" y="{y}">{escape(column)}</text>'
        if table:
            yield _target(table, box.x + BOX - 6, y)
        elif is_key:
            yield f'<text{QUIET} x="{box.x + BOX - 6}" y="{y}" text-anchor="end">key</text>'


def _link(table: str, x: int, y: int) -> str:
    return f'<a href="#{table}"><text class="title" x="{x}" y="{y}">{escape(table)}</text></a>'


def _target(table: str, x: int, y: int) -> str:
    arrow = f'<tspan fill="{COLOURS[BY_NAME[table].family]}">→</tspan>'
    return f'<a href="#{table}"><text x="{x}" y="{y}" text-anchor="end">{arrow} {escape(table)}</text></a>'
