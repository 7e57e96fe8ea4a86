"""The head of a model's .sql file: what the table is, its key, its columns, what must hold.

Here: from the leading comment of a file to a `Model`; every mistake is named with file, line and what is expected.
Not here: what the SQL reads (`statement`), how it runs (`build`).

The form (a line that gets too long goes on, indented by two more spaces):

    -- What the table is, in one or a few lines.
    --
    -- grain: one report
    -- key: report_token
    -- question: What does a person ask who needs this table?
    -- kept: yes                        (only where rows of earlier runs stay)
    --
    -- columns:
    --   report_token: Token of the report.
    --   owner_username: Username of its owner. Personal.
    --   error_message: What the database said. Free text.
    --
    -- checks:
    --   token_is_whole: LENGTH(report_token) = 12
    SELECT …
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIELDS = ("grain", "key", "question", "kept")
SECTIONS = ("columns", "checks")
EXPECTED = f"one of {', '.join(f'`{word}:`' for word in (*FIELDS, *SECTIONS))}"
NAME = re.compile(r"[a-z][a-z0-9_]*")
PERSONAL = "Personal."
"""Ends the description of a column that tells who somebody is, here as in docs/assets.md."""
FREE_TEXT = "Free text."
"""Ends the description of a column in which anything may stand: an error that quotes a row, what people write."""


@dataclass(frozen=True, eq=False)
class Model:
    """One SQL model: a file, a table, an asset."""

    name: str
    description: str
    grain: str
    """What one row is."""
    key: tuple[str, ...]
    """Columns that identify a row."""
    question: str
    """What a person asks who needs this table."""
    columns: Mapping[str, str]
    """Name → description, in the order of the result."""
    checks: Mapping[str, str]
    """Name → SQL condition that no row may break."""
    kept: bool
    """Whether rows of earlier runs stay; a run then replaces only rows with the same key."""
    sql: str
    """The SELECT as written, without the head."""
    path: Path
    line: int
    """Where the SELECT begins in the file."""

    @property
    def personal(self) -> set[str]:
        """The columns that tell who somebody is."""
        return self._marked(PERSONAL)

    @property
    def unshown(self) -> set[str]:
        """The columns of which Dagster's event log has no values."""
        return self._marked(PERSONAL, FREE_TEXT)

    def _marked(self, *marks: str) -> set[str]:
        return {name for name, description in self.columns.items() if description.endswith(marks)}


@dataclass
class _Head:
    """What was read of the head so far."""

    path: Path
    description: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    last: tuple[dict[str, str], str] | None = None
    """Whose text a deeper indented line goes on."""
    section: str = ""

    def error(self, line: int, message: str) -> ValueError:
        return ValueError(f"{self.path}:{line}: {message}")


def read_model(path: Path) -> Model:
    """The model in a file.

    Raises:
        ValueError: The head is not as it has to be; the message names file, line and what is expected.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    length = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    head = _Head(path)
    for number, line in _content(head, lines[:length]):
        _read_line(head, number, line)
    sql = "\n".join(lines[length:]).strip().removesuffix(";")
    if not sql:
        raise head.error(length + 1, "the SELECT is missing; it follows the head")
    if not NAME.fullmatch(path.stem):
        raise head.error(1, f"the file is called {path.stem}; the table's name has lower-case letters, digits and _")
    return _model(head, sql, length + 1)


def _content(head: _Head, lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines after the description, without their dashes and without blank ones."""
    described = False
    for number, line in enumerate(lines, start=1):
        text = line[2:].rstrip()
        if text and not text.startswith(" "):
            raise head.error(number, f"expected a space after the dashes, found {line!r}")
        described = described or not text
        if not described:
            head.description.append(text.strip())
        elif text:
            yield number, text[1:]


def _read_line(head: _Head, number: int, line: str) -> None:
    indent = len(line) - len(line.lstrip(" "))
    if indent == 0:
        _read_field(head, number, line)
    elif head.last is not None and indent == (4 if head.section else 2):
        texts, name = head.last
        texts[name] = f"{texts[name]} {line.strip()}".strip()
    elif head.section and indent == 2:
        _read_entry(head, number, line)
    else:
        expected = "2 spaces before a name, 4 before a line that goes on" if head.section else "0 or 2 spaces"
        raise head.error(number, f"the line is indented by {indent} spaces; expected {expected}")


def _read_field(head: _Head, number: int, line: str) -> None:
    name, colon, value = line.partition(":")
    if not colon or name not in (*FIELDS, *SECTIONS):
        raise head.error(number, f"expected {EXPECTED}, found {line!r}")
    if name in head.fields or name in head.sections:
        raise head.error(number, f"`{name}:` is there twice")
    head.section = name if name in SECTIONS else ""
    head.last = None
    if not head.section:
        head.fields[name] = value.strip()
        head.last = (head.fields, name)
    elif value.strip():
        raise head.error(
            number, f"expected nothing after `{name}:`; its entries follow, one a line, indented by 2 spaces"
        )
    else:
        head.sections[name] = {}


def _read_entry(head: _Head, number: int, line: str) -> None:
    name, colon, value = line.strip().partition(":")
    entries = head.sections[head.section]
    if not colon or not NAME.fullmatch(name):
        raise head.error(number, f"expected `name: text` in `{head.section}:`, found {line.strip()!r}")
    if name in entries:
        raise head.error(number, f"{name} is in `{head.section}:` twice")
    entries[name] = value.strip()
    head.last = (entries, name)


def _model(head: _Head, sql: str, line: int) -> Model:
    for name in ("grain", "key", "question"):
        if not head.fields.get(name):
            raise head.error(1, f"`{name}:` is missing in the head")
    columns = head.sections.get("columns", {})
    key = tuple(name.strip() for name in head.fields["key"].split(","))
    if unknown := [name for name in key if name not in columns]:
        raise head.error(1, f"`key:` names {', '.join(unknown)}, which `columns:` does not have")
    if not any(head.description):
        raise head.error(1, "expected a description in the first lines, then a line with only `--`")
    for section, entries in head.sections.items():
        if empty := [name for name, text in entries.items() if not text]:
            raise head.error(1, f"{', '.join(empty)} in `{section}:` says nothing")
    if head.fields.get("kept", "yes") != "yes":
        raise head.error(1, f"expected `kept: yes` or no such line, found {head.fields['kept']!r}")
    return Model(
        name=head.path.stem,
        description=" ".join(head.description),
        grain=head.fields["grain"],
        key=key,
        question=head.fields["question"],
        columns=columns,
        checks=head.sections.get("checks", {}),
        kept="kept" in head.fields,
        sql=sql,
        path=head.path,
        line=line,
    )
