"""Words of SQL that every destination understands.

Here: how texts, times and names are written, and the question for rows that share a key.
Not here: what only one engine says (`engines`, `rules`).
"""

# ruff: noqa: S608 - names come from the catalogue and from heads of models that were checked

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def not_a_key(table: str, key: Sequence[str]) -> str:
    """A SELECT of the values of a key that are empty, or there more than once."""
    columns = ", ".join(map(quoted, key))
    empty = " OR ".join(f"{quoted(column)} IS NULL" for column in key)
    return f"SELECT {columns}, count(*) AS times FROM {table} GROUP BY {columns} HAVING count(*) > 1 OR {empty}"


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def sql_time(value: datetime) -> str:
    """A point in time as SQL writes it."""
    return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat()}'"


def interval(length: timedelta) -> str:
    """A length of time as SQL writes it."""
    return f"INTERVAL {int(length.total_seconds())} SECONDS"


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return f'"{name}"'
