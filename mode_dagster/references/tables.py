"""The tables of what Mode's queries read: their columns, what they are made from, how they are written.

Here: what is here works without Dagster.
Not here: parsing (`lineage`), assets and checks (`assets`).
"""

# ruff: noqa: S608 - names are of the catalogue and of this module

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from mode_dagster.lineage import PARSER_VERSION, References, Request, TableReference, parse_all, reached
from mode_dagster.models.build import need_tables
from mode_dagster.warehouse import MissingError, Warehouse
from mode_dagster.workspace import Workspace

TABLES = "report_table_references"
COLUMNS = "report_column_references"
PARSES = "query_parses"
SOURCES = ("queries", "data_sources", "definitions")
"""The loaded tables that are read."""
TRY_AGAIN = timedelta(days=1)
"""A text whose parsing had to be stopped is tried again after so long; the machine may have been busy."""

Described = Mapping[str, tuple[str, str]]
"""Column → DuckDB type and meaning."""

_QUERY: Described = {
    "query_token": ("VARCHAR", "Token of the query."),
    "report_token": ("VARCHAR", "Token of the report that the query belongs to."),
    "data_source_token": ("VARCHAR", "Token of its data source; empty where Mode doesn't name it."),
}
_TABLE: Described = {
    "warehouse": ("VARCHAR", "Which database server the table is in: kind, host and port of the data source."),
    "database_name": ("VARCHAR", "Database, catalog or project; empty where neither query nor data source say."),
    "schema_name": ("VARCHAR", "Schema or dataset; empty where the query leaves it to the database's default."),
    "table_name": ("VARCHAR", "Table or view, in the case in which the database keeps names without quotes."),
    "qualified_name": ("VARCHAR", "The known parts of the name with dots between them."),
}
_CONDITIONAL: Described = {
    "is_conditional": ("BOOLEAN", "Only read in a Liquid branch that the form's defaults don't take."),
}
DESCRIBED: Mapping[str, Described] = {
    TABLES: {
        **_QUERY,
        **_TABLE,
        "kind": ("VARCHAR", "read, or write for what INSERT, UPDATE, DELETE, MERGE, COPY and TRUNCATE change."),
        **_CONDITIONAL,
        "is_guessed": ("BOOLEAN", "The statement could not be parsed; the name follows a FROM or JOIN in it."),
        "is_direct": ("BOOLEAN", "The query's own text names the table, not only a definition."),
        "via_definition": ("VARCHAR", "Names of the definitions whose text names the table, separated by commas."),
    },
    COLUMNS: {
        **_QUERY,
        **_TABLE,
        "column_name": ("VARCHAR", "A column that is certainly read; * for all of them."),
        **_CONDITIONAL,
    },
    PARSES: {
        **_QUERY,
        "status": ("VARCHAR", "parsed, partial (something was not understood), failed (nothing was) or empty."),
        "reason": ("VARCHAR", "The first thing that was not understood."),
        "dialect": (
            "VARCHAR",
            "The SQL that its data source speaks, as sqlglot calls it; empty: unknown, read as generic.",
        ),
        "table_count": ("BIGINT", "How many tables were found in it."),
        "seconds": ("DOUBLE", "How long parsing took."),
        "parsed_at": ("TIMESTAMP WITH TIME ZONE", "When it was parsed; earlier than the last run if nothing changed."),
        "text_hash": ("VARCHAR", "Of all that the answer depends on: text, definitions, data source, parser."),
        "answer": ("JSON", "What the parser found."),
    },
}
DESCRIPTIONS = {
    TABLES: "Which warehouse tables each query of each report reads: one row for a query and a table. Found in its "
    "text: Liquid rendered, definitions followed, names completed from the data source.",
    COLUMNS: "Which columns each query reads: one row for a query, a table and a column. Only what is certain without "
    "knowing the table: columns with their table's name or alias, and those of a SELECT from one table.",
    PARSES: "What became of each query's text: how far it was understood, and why no further.",
}


@dataclass(frozen=True)
class Query:
    """A loaded query and all that its answer depends on."""

    token: str
    report_token: str | None
    data_source_token: str | None
    host: str | None
    """Where its data source is, with the port."""
    request: Request
    text_hash: str


@dataclass(frozen=True)
class Answer:
    """What is known of a text."""

    references: References
    seconds: float
    parsed_at: datetime


def loaded_queries(warehouse: Warehouse, workspace: Workspace) -> Sequence[Query]:
    """The queries that exist, each with its data source and the definitions that it reaches.

    Raises:
        ModelError: A table that it reads is missing.
    """
    need_tables(warehouse, workspace, "read Mode's queries", SOURCES)
    definitions = dict(
        warehouse.query(
            f"SELECT name, source FROM {workspace.dataset}.definitions WHERE deleted_at IS NULL AND name IS NOT NULL "
            "AND source IS NOT NULL ORDER BY updated_at NULLS FIRST, token"
        ).rows
    )
    found = warehouse.query(f"""
        WITH read_by AS (
          SELECT queries.token, queries.report_token, COALESCE(queries.data_source_token, by_id.token) AS source,
            queries.raw_query, COALESCE(by_token.adapter, by_id.adapter) AS adapter,
            COALESCE(by_token.database, by_id.database) AS database_name,
            COALESCE(by_token.host, by_id.host, by_token.name, by_id.name) AS host,
            COALESCE(by_token.port, by_id.port) AS port,
            ROW_NUMBER() OVER (PARTITION BY queries.token ORDER BY by_id.deleted_at DESC NULLS FIRST) AS place
          FROM {workspace.dataset}.queries AS queries
          LEFT JOIN {workspace.dataset}.data_sources AS by_token ON by_token.token = queries.data_source_token
          LEFT JOIN {workspace.dataset}.data_sources AS by_id
            ON by_token.token IS NULL AND by_id.id = queries.data_source_id
          WHERE queries.deleted_at IS NULL
        )
        SELECT token, report_token, source, raw_query, adapter, database_name, host, port
        FROM read_by
        WHERE place = 1
        ORDER BY token
    """)
    return [_query(row, definitions) for row in found.rows]


def _query(row: Sequence[Any], definitions: Mapping[str, str]) -> Query:
    token, report, source, text, adapter, database, host, port = row
    request = Request(text, adapter, database, reached(text or "", definitions))
    depends_on = [PARSER_VERSION, text, adapter, database, dict(request.definitions)]
    text_hash = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]
    return Query(token, report, source, f"{host}:{port}" if host and port else host, request, text_hash)


def known_answers(warehouse: Warehouse, workspace: Workspace, queries: Iterable[Query]) -> Mapping[str, Answer]:
    """The answers of the last run to the texts of `queries`, by hash; those of an older parser may look otherwise."""
    try:
        found = warehouse.query(f"SELECT text_hash, answer, seconds, parsed_at FROM {workspace.marts}.{PARSES}")
    except MissingError:  # the first run, or a table of an older version
        return {}
    asked = {query.text_hash for query in queries}
    return {
        key: Answer(References.from_json(answer), seconds, when)
        for key, answer, seconds, when in found.rows
        if key in asked
    }


def answer_all(queries: Sequence[Query], known: Mapping[str, Answer], now: datetime) -> Mapping[str, Answer]:
    """An answer for the text of each query, parsed only where none is known that lasts.

    Args:
        queries: What is asked of; texts that are the same are parsed once.
        known: Answers of earlier runs.
    """
    lasting = {
        key: answer for key, answer in known.items() if answer.references.is_final or now - answer.parsed_at < TRY_AGAIN
    }
    texts = {query.text_hash: query.request for query in queries}
    new = {key: request for key, request in texts.items() if key not in lasting}
    parsed = zip(new, parse_all(list(new.values())), strict=True)
    fresh = {key: Answer(each.references, each.seconds, now) for key, each in parsed}
    return {key: fresh.get(key) or lasting[key] for key in texts}


def write_tables(
    warehouse: Warehouse, workspace: Workspace, queries: Sequence[Query], answers: Mapping[str, Answer]
) -> None:
    """Makes the three tables anew, all or none.

    Args:
        queries: Their rows, in this order.
        answers: What is known of each query's text.
    """
    with warehouse.transaction():
        for table, rows in _rows(queries, answers).items():
            name, described = f"{workspace.marts}.{table}", DESCRIBED[table]
            warehouse.write(name, {column: kind for column, (kind, _) in described.items()}, rows)
            warehouse.describe(name, DESCRIPTIONS[table], {column: says for column, (_, says) in described.items()})


def _rows(queries: Sequence[Query], answers: Mapping[str, Answer]) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {table: [] for table in DESCRIBED}
    for query in queries:
        answer = answers[query.text_hash]
        found[PARSES].append(_parse_row(query, answer))
        for reference in answer.references.references:
            about = _about(query, answer.references, reference)
            told = {
                "kind": reference.kind,
                "is_guessed": reference.is_guessed,
                "is_direct": reference.is_direct,
                "via_definition": ", ".join(reference.definitions) or None,
            }
            found[TABLES].append({**about, **told})
            found[COLUMNS] += [{**about, "column_name": column} for column in reference.columns]
    return found


def _parse_row(query: Query, answer: Answer) -> dict[str, Any]:
    references = answer.references
    return {
        **_of(query),
        "status": str(references.status),
        "reason": references.reason or None,
        "dialect": references.dialect,
        "table_count": len(references.references),
        "seconds": round(answer.seconds, 4),
        "parsed_at": answer.parsed_at.isoformat(),
        "text_hash": query.text_hash,
        "answer": asdict(references),
    }


def _of(query: Query) -> dict[str, Any]:
    return {
        "query_token": query.token,
        "report_token": query.report_token,
        "data_source_token": query.data_source_token,
    }


def _about(query: Query, references: References, reference: TableReference) -> dict[str, Any]:
    parts = (reference.database, reference.schema, reference.table)
    return {
        **_of(query),
        "warehouse": f"{references.dialect or 'unknown'}://{query.host or 'unknown'}",
        "database_name": reference.database,
        "schema_name": reference.schema,
        "table_name": reference.table,
        "qualified_name": ".".join(_quoted(part) for part in parts if part is not None),
        "is_conditional": reference.is_conditional,
    }


def _quoted(part: str) -> str:
    """A part of a name; one that has a dot in it could be mistaken for two."""
    return f'"{part}"' if "." in part else part
