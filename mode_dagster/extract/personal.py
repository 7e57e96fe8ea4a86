"""What is stored of people: everything, keyed hashes, or nothing (the setting `personal_data`).

Here: what becomes of a row's personal values before it is given to dlt.
Not here: which columns are personal (`endpoints`), what a row is otherwise (`rows`).
"""

import hashlib
import hmac
import re
from enum import StrEnum
from typing import Any

from mode_dagster.extract.endpoints import Column, Endpoint
from mode_dagster.extract.rows import Row

PERSONAL_NAME = re.compile(r"e?mail|user_?name|(first|last|full)_?name|phone|avatar|user_agent|(^|_)ip(_|$)")
"""Names of fields that are personal wherever Mode does not document them."""

HIDDEN = "…"
"""What stands for a dropped name inside a text."""


class PersonalData(StrEnum):
    """What is stored of people."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"


class Privacy:
    """Makes rows fit to be stored, by the settings `personal_data` and `personal_data_key`.

    Args:
        key: Secret that the hashes need; whoever has it can try out names.
        workspace: Name of the workspace, which stands where usernames stand and is nobody's.
    """

    def __init__(self, choice: PersonalData, key: str, workspace: str) -> None:
        self._choice = choice
        self._key = key.encode()
        self._workspace = workspace

    def pseudonym(self, value: str) -> str:
        """What stands for a name that must be told from others, as in the ledger; the name itself where all is kept."""
        if self._choice is PersonalData.KEEP or value in ("", self._workspace):
            return value
        return hmac.new(self._key, value.encode(errors="replace"), hashlib.sha256).hexdigest()[:16]

    def protect(self, endpoint: Endpoint, row: Row) -> Row:
        """The row as it may be stored; the same value becomes the same hash in every column of every table."""
        if self._choice is PersonalData.KEEP:
            return row
        documented = {column.name: _is_personal(column, row) for column in endpoint.all_columns}
        personal = {name for name in row if documented.get(name, _is_personal_name(name))}
        known = {row[name] for name in personal if isinstance(row[name], str)} - {"", self._workspace}
        return {
            name: self._stored(
                endpoint, name, value, known, is_personal=name in personal, is_open=name not in documented
            )
            for name, value in row.items()
        }

    def _stored(
        self, endpoint: Endpoint, name: str, value: Any, known: set[str], *, is_personal: bool, is_open: bool
    ) -> Any:
        """One value of a row.

        Args:
            known: The row's personal values, which other columns may repeat: a token made of a link, an address, a
                description that names the owner.
            is_personal: Whether the column is.
            is_open: Whether nobody knows what may be in it.
        """
        if is_personal or (isinstance(value, str) and value in known):
            # a key may not be empty
            return self.pseudonym(str(value)) if name in endpoint.key else self._hidden(value)
        if isinstance(value, str) and known:
            named = "|".join(re.escape(text) for text in sorted(known, key=len, reverse=True))
            return re.sub(rf"(?<!\w)({named})(?!\w)", lambda found: self._hidden(found[0]) or HIDDEN, value)
        return self._without_personal_names(value) if is_open else value

    def _hidden(self, value: Any) -> Any:
        """A personal value, with the shape that it has."""
        if self._choice is PersonalData.DROP or value is None:
            return None
        if isinstance(value, dict):
            return {name: self._hidden(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._hidden(inner) for inner in value]
        return value if isinstance(value, bool) else self.pseudonym(str(value))

    def _without_personal_names(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: self._hidden(inner) if _is_personal_name(name) else self._without_personal_names(inner)
                for name, inner in value.items()
            }
        return [self._without_personal_names(inner) for inner in value] if isinstance(value, list) else value


def _is_personal(column: Column, row: Row) -> bool:
    if column.personal_where is None:
        return column.personal
    name, value = column.personal_where
    return row.get(name) == value


def _is_personal_name(name: str) -> bool:
    return PERSONAL_NAME.search(name.lower()) is not None
