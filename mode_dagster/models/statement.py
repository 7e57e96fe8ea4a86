"""What the SQL of a model reads, table by table and column by column, and the SQL as it is sent.

Here: everything that takes a SELECT apart (sqlglot).
Not here: the head of the file (`header`), running it (`build`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.tokenizer_core import Token, TokenType

from mode_dagster.extract.destination import DATASET
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import first_line
from mode_dagster.models.header import Model
from mode_dagster.warehouse.interface import TYPES
from mode_dagster.workspace import MARTS, Workspace

CLOCKS = frozenset({"now", "today", "get_current_timestamp", "transaction_timestamp", "current_localtimestamp"})
OTHER_CLOCKS = (TokenType.CURRENT_DATE, TokenType.CURRENT_TIME, TokenType.CURRENT_DATETIME, TokenType.LOCALTIMESTAMP)


@dataclass(frozen=True)
class Reads:
    """The tables that a model reads."""

    tables: Sequence[str]
    """Loaded ones."""
    models: Sequence[str]
    """Other models, and tables that assets in Python make in the same schema."""


@cache
def reads(model: Model) -> Reads:
    """What a model depends on, as its SQL says.

    Raises:
        ValueError: The SQL can't be parsed, names a table that is not in one of the two schemas, or reads the clock.
    """
    for token, after in _with_next(model.sql):
        called = after == TokenType.L_PAREN and token.text.lower() in CLOCKS
        if called or token.token_type in OTHER_CLOCKS:
            raise _error(model, f"{token.text} is the clock; write current_timestamp, which is the start of the run")
    found = sorted({_table(model, table) for table in _external_tables(model)})
    return Reads(
        tables=[name for schema, name in found if schema == DATASET],
        models=[name for schema, name in found if schema == MARTS],
    )


def render(sql: str, workspace: Workspace, now: datetime) -> str:
    """SQL for one workspace and one moment; everything else stays as its author wrote it.

    Args:
        sql: The SELECT of a model, or a condition on its rows.
        now: What `current_timestamp` is.
    """
    moment = f"TIMESTAMPTZ '{now.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f+00:00}'"
    schemas = {DATASET: workspace.dataset, MARTS: workspace.marts}
    parts: list[str] = []
    end = 0
    for token, after in _with_next(sql):
        word = moment if token.token_type == TokenType.CURRENT_TIMESTAMP else None
        if after == TokenType.DOT and token.token_type in (TokenType.VAR, TokenType.IDENTIFIER):
            word = schemas.get(token.text)
        if word is not None:
            parts += [sql[end : token.start], word]
            end = token.end + 1
    return "".join([*parts, sql[end:]])


@cache
def _parsed(model: Model) -> exp.Expr:
    try:
        return sqlglot.parse_one(model.sql, dialect="duckdb")
    except SqlglotError as error:
        raise _error(model, f"the SQL can't be parsed: {first_line(error)}") from None


def _with_next(sql: str) -> Iterator[tuple[Token, TokenType | None]]:
    """Each token and the type of the one after it."""
    tokens = DuckDB().tokenize(sql)
    return zip(tokens, [*(token.token_type for token in tokens[1:]), None], strict=True)


def _external_tables(model: Model) -> Iterator[exp.Table]:
    """Every table that is neither a common table expression nor made by a function."""
    query = _parsed(model)
    local = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or table.name not in local):
            yield table


def _table(model: Model, table: exp.Table) -> tuple[str, str]:
    if table.db == DATASET and table.name not in BY_NAME:
        raise _error(model, f"reads {table.db}.{table.name}, which is no table of the catalogue (docs/assets.md)")
    if table.db not in (DATASET, MARTS) or table.catalog:
        raise _error(model, f"reads {table.sql('duckdb')}; expected {DATASET}.<table> or {MARTS}.<model>")
    if (table.db, table.name) == (MARTS, model.name):
        raise _error(model, "reads itself; put what is kept in a model of its own (`kept: yes`)")
    return table.db, table.name


def _error(model: Model, message: str) -> ValueError:
    return ValueError(f"{model.path}: {message}")


def column_lineage(model: Model, models: Mapping[str, Model]) -> Mapping[str, Sequence[tuple[str, str, str]]]:
    """For each column the columns that its values come from: schema, table, column.

    Empty where sqlglot can't tell, as with qualified columns of a table that neither the catalogue nor a model
    documents.

    Args:
        models: All models, for what they document of their columns.
    """
    loaded = {
        table: {column.name: TYPES[column.data_type] for column in BY_NAME[table].all_columns}
        for table in reads(model).tables
    }
    marts = {name: dict.fromkeys(models[name].columns, "VARCHAR") for name in reads(model).models if name in models}
    # sqlglot takes an empty schema for one of another depth
    schema = {name: tables for name, tables in ((DATASET, loaded), (MARTS, marts)) if tables}
    try:
        # nobody sees the nodes' own SQL, and cutting it down for each column takes most of the time
        nodes = lineage(None, _parsed(model), schema=schema, dialect="duckdb", trim_selects=False)
    except (SqlglotError, ValueError):
        return {}
    return {name: _origins(node) for name, node in nodes.items()}


def _origins(node: Node) -> Sequence[tuple[str, str, str]]:
    leaves = ((leaf.source, leaf.name.rpartition(".")[2]) for leaf in node.walk())
    return sorted({(table.db, table.name, name) for table, name in leaves if isinstance(table, exp.Table) and table.db})
