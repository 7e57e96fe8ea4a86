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
    --   error_message: What the database said. Sensitive.
    --
    -- checks:
    --   token_is_whole: LENGTH(report_token) = 12
    SELECT …
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

FIELDS = ("grain", "key", "question", "kept")
SECTIONS = ("columns", "checks")
EXPECTED = (
    f"one of {', '.join(f'`{word}:`' for word in (*FIELDS, *SECTIONS))}; below `columns:` and `checks:` a "
    "`name: text`, indented by 2 spaces; or a line that goes on, indented by 2 more"
)
NAME = re.compile(r"[a-z][a-z0-9_]*")
PERSONAL = "Personal."
"""Ends the description of a column that tells who somebody is, here as in docs/assets.md."""
SENSITIVE = "Sensitive."
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
        return self._marked(PERSONAL, SENSITIVE)

    def _marked(self, *marks: str) -> set[str]:
        return {name for name, description in self.columns.items() if description.endswith(marks)}


def read_model(path: Path) -> Model:
    """The model in a file.

    Raises:
        ValueError: The head is not as it has to be; the message names file, line and what is expected.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line.rstrip() for line in takewhile(lambda line: line.startswith("--"), lines)]
    description = list(takewhile(lambda line: line != "--", head))
    texts = _texts(path, head, len(description))
    fields, columns = texts[""], texts["columns"]
    key = tuple(name.strip() for name in fields.get("key", "").split(","))
    sql = "\n".join(lines[len(head) :]).strip().removesuffix(";")
    faults = [
        (
            not NAME.fullmatch(path.stem),
            f"the file is called {path.stem}; the table's name has lower-case letters, digits and _",
        ),
        (not description, "expected a description in the first lines, then a line with only `--`"),
        *((not fields.get(name), f"`{name}:` is missing in the head") for name in ("grain", "key", "question")),
        (
            not columns.keys() >= set(key),
            f"`key:` names {', '.join(sorted({*key} - {*columns}))}, which `columns:` does not have",
        ),
        *((not text, f"`{name}:` says nothing") for entries in texts.values() for name, text in entries.items()),
        (fields.get("kept", "yes") != "yes", f"expected `kept: yes` or no such line, found {fields.get('kept')!r}"),
        (not sql, "the SELECT is missing; it follows the head"),
    ]
    for is_there, fault in faults:
        if is_there:
            raise ValueError(f"{path}:1: {fault}")
    return Model(
        name=path.stem,
        description=" ".join(line.removeprefix("-- ") for line in description),
        grain=fields["grain"],
        key=key,
        question=fields["question"],
        columns=columns,
        checks=texts["checks"],
        kept="kept" in fields,
        sql=sql,
        path=path,
        line=len(head) + 1,
    )


def _texts(path: Path, head: Sequence[str], described: int) -> Mapping[str, dict[str, str]]:
    """What follows the description: the entries of each section by their names, and the fields under an empty name."""
    found: dict[str, dict[str, str]] = {section: {} for section in ("", *SECTIONS)}
    section = name = ""
    for number, line in enumerate(head, start=1):
        text = line[3:]
        indent = len(text) - len(text.lstrip())
        word, colon, rest = text.strip().partition(":")
        if line != "--" and not line.startswith("-- "):
            raise ValueError(f"{path}:{number}: expected a space after the dashes, found {line!r}")
        if number <= described or not text:
            continue
        if name and indent == (4 if section else 2):
            found[section][name] = f"{found[section][name]} {text.strip()}".strip()
            continue
        if word in SECTIONS and text == f"{word}:":
            section, name = word, ""
            continue
        if indent == 0 and word in FIELDS and colon:
            section, name = "", word
        elif indent == 2 and section and colon and NAME.fullmatch(word):
            name = word
        else:
            raise ValueError(f"{path}:{number}: expected {EXPECTED}, found {line!r}")
        if name in found[section]:
            raise ValueError(f"{path}:{number}: `{name}:` is there twice")
        found[section][name] = rest.strip()
    return found
