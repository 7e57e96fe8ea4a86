"""Rows as a Markdown table that whatever people write into Mode can't break out of.

Here: escaping of cells.
Not here: which rows to show.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mode_dagster.wording import one_line

LONGEST = 60
MARKUP = frozenset("\\`*_{}[]<>()#!|~&$")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table for an asset's page; says so when there are no rows."""
    if not rows:
        return "No rows."
    head, *body = [[_cell(value) for value in line] for line in (columns, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(columns), *body))


def _cell(value: Any) -> str:
    """One value on one line: markup as character references, which Markdown takes for text."""
    if value is None:
        return ""
    text = f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
    line = one_line(text, LONGEST)
    return "".join(f"&#{ord(character)};" if character in MARKUP else character for character in line)
