"""Tables in Markdown, which whatever people write into Mode can't break out of.

Here: cells put together, and escaped.
Not here: which rows to show.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from mode_dagster.wording import one_line

LONGEST = 60
MARKUP = frozenset("\\`*_{}[]<>()#!|~&$")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table for an asset's page; says so when there are no rows."""
    return table([*map(_cell, columns)], (map(_cell, row) for row in rows)) if rows else "No rows."


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are Markdown already."""
    first, *others = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([first, f"|{'---|' * len(head)}", *others])


def _cell(value: Any) -> str:
    """One value on one line: markup as character references, which Markdown takes for text."""
    if value is None:
        return ""
    text = f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
    line = one_line(text, LONGEST)
    return "".join(f"&#{ord(character)};" if character in MARKUP else character for character in line)
