"""One query of Mode, as written, to what it reads.

Here: templates, definitions and SQL put together; the answer's form; what counts as parsed.
Not here: limits of time (`workers`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from mode_dagster.lineage.definitions import includes, stands_for, take_out
from mode_dagster.lineage.dialects import dialect_of
from mode_dagster.lineage.sql import Script, Table, explain, read_script
from mode_dagster.lineage.template import render

PARSER_VERSION = 2
"""To be raised when the same text would give another answer, so that stored answers are not reused."""
MAX_DEPTH = 20
"""Definitions inside definitions."""
MAX_REASON = 200


class Status(StrEnum):
    """How far a query was understood."""

    PARSED = "parsed"
    PARTIAL = "partial"
    """Something was not: one of its statements, a branch, a definition, a table's name; `reason` says the first."""
    FAILED = "failed"
    """Nothing was; its references are guesses, if any."""
    EMPTY = "empty"
    """There is no SQL in it."""


@dataclass(frozen=True)
class Request:
    """A query and what it takes to read it."""

    text: str | None
    adapter: str | None = None
    """What kind of database its data source is, such as `jdbc:snowflake`."""
    database: str | None = None
    """What the data source calls its database."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Name → SQL of at least those definitions that it reaches."""


@dataclass(frozen=True)
class TableReference:
    """One table that a query reads or writes."""

    database: str | None
    schema: str | None
    table: str
    kind: str = "read"
    """`read`, or `write` for what INSERT, UPDATE, DELETE, MERGE, COPY and TRUNCATE change."""
    columns: tuple[str, ...] = ()
    """Columns that are certainly read, in order of their names; `*` for all."""
    is_conditional: bool = False
    """Only named in a branch that the form's defaults don't take."""
    is_guessed: bool = False
    """The statement could not be parsed: the name follows a FROM or JOIN."""
    is_direct: bool = True
    """The query's own text names it, not only a definition."""
    definitions: tuple[str, ...] = ()
    """The definitions whose text names it."""


@dataclass(frozen=True)
class References:
    """What is known of one query."""

    status: Status
    references: tuple[TableReference, ...] = ()
    dialect: str = ""
    reason: str = ""
    """The first thing that was not understood."""
    is_final: bool = True
    """Another time it would be the same; not so where parsing had to be stopped."""

    @classmethod
    def from_json(cls, text: str) -> "References":
        """From the JSON of `asdict`."""
        known = json.loads(text)
        references = tuple(TableReference(**_hashable(each)) for each in known.pop("references"))
        return cls(Status(known.pop("status")), references, **known)


def _hashable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def parse_query(
    text: str | None, adapter: str | None, database: str | None, definitions: Mapping[str, str]
) -> References:
    """Finds what a query reads, from its text alone.

    Args:
        text: As written in Mode: SQL, Liquid, form, includes of definitions.
        adapter: Of its data source, such as `jdbc:snowflake`; a kind that is unknown is read as generic SQL.
        database: What the data source calls its database; completes names.
        definitions: Name → SQL.
    """
    reading = _Reading(dialect_of(adapter), database, definitions)
    try:
        own = _texts(text or "", reading.dialect, database)
        reading.add(own, None)
    except Exception as error:  # whatever a text makes the parsers raise is that query's status, not the sync's end
        return References(Status.FAILED, dialect=reading.dialect, reason=explain(error)[:MAX_REASON])
    status = _status(own.first, reading)
    reason = reading.problems[0][:MAX_REASON] if reading.problems else ""
    return References(status, tuple(reading.references()), reading.dialect, reason)


def _status(first: Script, reading: "_Reading") -> Status:
    if not first.statements and not reading.found:
        return Status.FAILED if reading.problems else Status.EMPTY
    if first.failed and first.failed == first.statements:
        return Status.FAILED
    return Status.PARTIAL if reading.problems else Status.PARSED


@dataclass(frozen=True)
class _Texts:
    """What one text, a query's or a definition's, says in each of its renderings."""

    first: Script
    others: tuple[Script, ...]
    names: tuple[str, ...]
    """The definitions that it includes."""
    problem: str


def _texts(text: str, dialect: str, database: str | None) -> _Texts:
    names = tuple(includes(text))
    rendered = render(take_out(text, names))
    first = read_script(rendered.text, dialect, database)
    others = tuple(read_script(other, dialect, database) for other in rendered.others)
    return _Texts(first, others, names, rendered.problem)


_definition = lru_cache(maxsize=1_000)(_texts)
"""Definitions are included again and again."""


@dataclass
class _Seen:
    """Where one table was met."""

    columns: set[str] = field(default_factory=set)
    is_conditional: bool = True
    is_guessed: bool = True
    is_direct: bool = False
    definitions: set[str] = field(default_factory=set)


@dataclass
class _Reading:
    """The references of a query, as they are met."""

    dialect: str
    database: str | None
    all_definitions: Mapping[str, str]
    found: dict[tuple[str, Table], _Seen] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    read: dict[str, bool] = field(default_factory=dict)
    """Definition → whether it was only met in branches not taken."""

    def add(self, texts: _Texts, definition: str | None, conditional: bool = False, path: tuple[str, ...] = ()) -> None:
        """Adds what a text names, and what the definitions in it do."""
        where = f"definition {definition}: " if definition else ""
        for problem in ([texts.problem] if texts.problem else []) + texts.first.problems:
            self.problems.append(where + problem)
        self._add_script(texts, texts.first, definition, conditional, path)
        for other in texts.others:
            if other.failed > texts.first.failed:
                self.problems.append(f"{where}in a branch not taken: {other.problems[0]}")
            self._add_script(texts, other, definition, True, path)

    def _add_script(
        self, texts: _Texts, script: Script, definition: str | None, conditional: bool, path: tuple[str, ...]
    ) -> None:
        known = [(table, columns, False) for table, columns in script.reads.items()]
        guessed = [(table, (), True) for table in script.guesses]
        for table, columns, is_guess in (*known, *guessed):
            if (included := stands_for(table.name, texts.names)) is not None:
                self._include(included, conditional, path)
            else:
                self._see("read", table, definition, conditional, guessed=is_guess).columns.update(columns)
        for table in script.writes:
            self._see("write", table, definition, conditional)

    def _see(
        self, kind: str, table: Table, definition: str | None, conditional: bool, *, guessed: bool = False
    ) -> _Seen:
        seen = self.found.setdefault((kind, table), _Seen())
        seen.is_conditional &= conditional
        seen.is_guessed &= guessed
        if definition is None:
            seen.is_direct = True
        else:
            seen.definitions.add(definition)
        return seen

    def _include(self, name: str, conditional: bool, path: tuple[str, ...]) -> None:
        if name in path:
            self.problems.append(f"definition {name} includes itself")
        elif len(path) == MAX_DEPTH:
            self.problems.append(f"definitions are nested more than {MAX_DEPTH} deep")
        elif name not in self.all_definitions:
            self.problems.append(f"there is no definition {name}")
        elif self.read.get(name, True) and not (conditional and name in self.read):
            self.read[name] = conditional
            texts = _definition(self.all_definitions[name], self.dialect, self.database)
            self.add(texts, name, conditional, (*path, name))

    def references(self) -> Iterator[TableReference]:
        """Every table once for each kind, in the order of their names."""

        def order(met: tuple[str, Table]) -> tuple[str, str, str, str]:
            kind, table = met
            return (table.database or "", table.schema or "", table.name, kind)

        for kind, table in sorted(self.found, key=order):
            seen = self.found[kind, table]
            yield TableReference(
                table.database,
                table.schema,
                table.name,
                kind,
                columns=tuple(sorted(seen.columns)),
                is_conditional=seen.is_conditional,
                is_guessed=seen.is_guessed,
                is_direct=seen.is_direct,
                definitions=tuple(sorted(seen.definitions)),
            )
