"""How each engine writes what DuckDB means, where sqlglot alone would write something else.

Here: one function for one kind of expression, and for each engine which of them it needs.
Not here: what else the engines differ in, and when the rules are used (`engines`).

Every rule was looked up in the engine's own manual; only those of Postgres were run (docs/destinations.md).
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlglot
from sqlglot import exp

TIME_FORM = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?$"
NUMBER_FORM = r"^[+-]?\d{1,9}$"
Rule = Callable[[Any], exp.Expr]


def _written(template: str, dialect: str, **parts: exp.Expr) -> exp.Expr:
    """SQL of a dialect with expressions in the places of `:name`."""
    whole = {name: exp.paren(part) if isinstance(part, exp.Binary) else part for name, part in parts.items()}
    return exp.replace_placeholders(sqlglot.parse_one(template, dialect=dialect), **whole)


def _round_half_up(node: exp.Round) -> exp.Expr:
    """Postgres rounds floating point numbers to whole ones only, and a half to the even one."""
    decimals = node.args.get("decimals")
    power = exp.Literal.number(10 ** int(decimals.name if decimals else 0))
    return _written("FLOOR(:value * :power + 0.5) / :power", "duckdb", value=node.this, power=power)


def _whole_part(node: exp.Extract) -> exp.Expr:
    """A part of a time as the whole number that it is in DuckDB; Postgres gives a decimal."""
    return exp.cast(node.copy(), "BIGINT")


def _json_arrow(node: exp.JSONExtract | exp.JSONExtractScalar) -> exp.Expr:
    """The functions want `json`, the operators also take the `jsonb` that dlt stores."""
    node.set("only_json_types", True)
    return node


def _computed_once(node: exp.CTE) -> exp.Expr:
    """Postgres puts a CTE that is read once into its reader, and computes what `SELECT *, …` names at each mention."""
    if any(isinstance(selected, exp.Star) for selected in node.this.selects):
        node.set("materialized", True)
    return node


def _cast_what_fits(node: exp.TryCast) -> exp.Expr:
    """Postgres has no cast that gives NULL for a text of another form."""
    form = TIME_FORM if node.to.this == exp.DType.TIMESTAMPTZ else NUMBER_FORM
    return _written(
        "CASE WHEN CAST(:text AS TEXT) ~ :form THEN :value END",
        "postgres",
        text=node.this,
        form=exp.Literal.string(form),
        value=exp.cast(node.this, node.to),
    )


POSTGRES: Mapping[type[exp.Expr], Rule] = {
    exp.CTE: _computed_once,
    exp.Round: _round_half_up,
    exp.TryCast: _cast_what_fits,
    exp.Extract: _whole_part,
    exp.JSONExtract: _json_arrow,
    exp.JSONExtractScalar: _json_arrow,
}
REDSHIFT: Mapping[type[exp.Expr], Rule] = {}
SNOWFLAKE: Mapping[type[exp.Expr], Rule] = {}
BIGQUERY: Mapping[type[exp.Expr], Rule] = {}
DATABRICKS: Mapping[type[exp.Expr], Rule] = {}
