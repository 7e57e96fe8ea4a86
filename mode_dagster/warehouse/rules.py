"""How each engine writes what DuckDB means, where sqlglot alone would write something else.

Here: one rule for one kind of expression, and for each engine the rules that it needs.
Not here: what else the engines differ in, and when the rules are used (`engines`).

The rules of Postgres were run; the others were written from what is known of the engine, and never run
(docs/destinations.md).
A text that is cast to TIMESTAMP before `AT TIME ZONE` is a local time, anything else there is a point in time: sqlglot
can't know, and DuckDB's `AT TIME ZONE` means the opposite for the two.
"""

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import available_timezones

import sqlglot
from sqlglot import exp

TIME_FORM = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?$"
NUMBER_FORM = r"^[+-]?\d{1,9}$"
NO_ZONES = {"Factory", "localtime", "posixrules"}
"""Files of the IANA database that are no zone."""

Rule = Callable[[Any], exp.Expr]


def _written(template: str, dialect: str, **parts: exp.Expr) -> exp.Expr:
    """SQL of a dialect with expressions in the places of `:name`."""
    whole = {name: exp.paren(part) if isinstance(part, exp.Binary) else part for name, part in parts.items()}
    written = exp.replace_placeholders(sqlglot.parse_one(template, dialect=dialect), **whole)
    return exp.paren(written, copy=False) if isinstance(written, exp.Add | exp.Div) else written


def _one_argument(dialect: str, template: str) -> Rule:
    """Writes an expression of one argument, `:value`, otherwise."""
    return lambda node: _written(template, dialect, value=node.this)


def _at_time_zone(dialect: str, local: str, instant: str) -> Rule:
    """Writes `AT TIME ZONE` as what gives a local time, or a point in time; `:value` and `:zone`."""

    def rule(node: exp.AtTimeZone) -> exp.Expr:
        is_local = isinstance(node.this, exp.Cast) and node.this.to.this == exp.DType.TIMESTAMPNTZ
        return _written(instant if is_local else local, dialect, value=node.this, zone=node.args["zone"])

    return rule


def _weekday(dialect: str, template: str) -> Rule:
    """Writes the day of the week, Monday 1 to Sunday 7, of `:value`."""

    def rule(node: exp.Extract) -> exp.Expr:
        if node.name.upper() != "ISODOW":
            return node
        return _written(template, dialect, value=node.expression)

    return rule


def _whole_part(node: exp.Extract) -> exp.Expr:
    """A part of a time as the whole number that it is in DuckDB; Postgres gives a decimal."""
    return exp.cast(node.copy(), "BIGINT")


def _round_half_up(node: exp.Round) -> exp.Expr:
    """Postgres rounds floating point numbers to whole ones only, and a half to the even one."""
    decimals = node.args.get("decimals")
    power = exp.Literal.number(10 ** int(decimals.name if decimals else 0))
    return _written("FLOOR(:value * :power + 0.5) / :power", "duckdb", value=node.this, power=power)


def _divide_exactly(node: exp.Div) -> exp.Expr:
    """Snowflake gives whole numbers six decimals when it divides them."""
    node.set("this", exp.cast(node.this, "DOUBLE"))
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


def _try_cast_text(node: exp.TryCast) -> exp.Expr:
    """Snowflake tries it with text only."""
    return exp.TryCast(this=exp.cast(node.this, "VARCHAR"), to=node.to, requires_string=True)


def _json_arrow(node: exp.JSONExtract | exp.JSONExtractScalar) -> exp.Expr:
    """Postgres' functions want `json`, its operators also take the `jsonb` that dlt stores."""
    node.set("only_json_types", True)
    return node


def _json_of_variant(node: exp.JSONExtract | exp.JSONExtractScalar) -> exp.Expr:
    """Sqlglot would parse the value as text, and dlt stores a VARIANT."""
    keys = ".".join(key.name for key in node.expression.find_all(exp.JSONPathKey))
    return _written("GET_PATH(:value, :path)", "snowflake", value=node.this, path=exp.Literal.string(keys))


def _text_of_variant(node: exp.JSONExtractScalar) -> exp.Expr:
    return exp.cast(_json_of_variant(node), "VARCHAR")


def _json_of_super(node: exp.JSONExtract | exp.JSONExtractScalar) -> exp.Expr:
    """Redshift's function wants text, where dlt stores a SUPER, and may give an empty one for what is not there."""
    node.set("this", exp.Anonymous(this="JSON_SERIALIZE", expressions=[node.this]))
    return exp.Nullif(this=node.copy(), expression=exp.Literal.string(""))


def _same_or_both_null(node: exp.NullSafeEQ) -> exp.Expr:
    """Redshift has no `IS NOT DISTINCT FROM`."""
    template = "COALESCE(:one = :other, :one IS NULL AND :other IS NULL)"
    return _written(template, "redshift", one=node.this, other=node.expression)


def _filter_as_case(node: exp.Filter) -> exp.Expr:
    """Aggregates without `FILTER` pass over what is NULL."""
    aggregate: exp.Expr = node.this.copy()
    counted = exp.Literal.number(1) if isinstance(aggregate.this, exp.Star) else aggregate.this
    aggregate.set("this", exp.Case().when(node.expression.this, counted.copy()))
    return aggregate


def _without_nulls(node: exp.Greatest | exp.Least) -> exp.Expr:
    """BigQuery gives NULL where any is NULL, DuckDB the greatest of the others."""
    values = [node.this, *node.expressions]
    first, *others = (
        exp.Coalesce(this=value.copy(), expressions=[other.copy() for other in values if other is not value])
        for value in values
    )
    return type(node)(this=first, expressions=others) if others else node.this


def _nulls_nowhere(node: exp.GroupConcat | exp.Window) -> exp.Expr:
    """BigQuery takes no NULLS LAST with an aggregate; no model puts what may be NULL in order there."""
    if isinstance(node, exp.GroupConcat) or isinstance(node.this, exp.Sum):
        for ordered in node.find_all(exp.Ordered):
            ordered.set("nulls_first", not ordered.args.get("desc"))
    return node


def _listed_within_group(node: exp.GroupConcat) -> exp.Expr:
    """Redshift orders texts that are put together after them."""
    if not isinstance(node.this, exp.Order):
        return node
    (ordered,) = node.this.expressions
    template = "LISTAGG(:value, :separator) WITHIN GROUP (ORDER BY :order)"
    separator = node.args["separator"]
    return _written(template, "redshift", value=node.this.this, separator=separator, order=ordered.this)


def _empty_list_as_null(node: exp.GroupConcat) -> exp.Expr:
    """Snowflake puts no texts together to an empty one."""
    return exp.Nullif(this=node.copy(), expression=exp.Literal.string(""))


def _scaled_interval(node: exp.Mul) -> exp.Expr:
    """BigQuery has the number within the interval, and wants a whole one."""
    if not isinstance(node.expression, exp.Interval):
        return node
    return exp.Interval(this=exp.cast(node.this, "BIGINT"), unit=node.expression.args["unit"])


def _number_of_units(node: exp.Interval) -> exp.Expr:
    """BigQuery's manual has a number there, no text."""
    if isinstance(node.this, exp.Literal):
        node.set("this", exp.Literal.number(node.name))
    return node


def _dateadd(node: exp.Add | exp.Sub) -> exp.Expr:
    """Snowflake can't multiply an interval."""
    times = node.expression
    if not (isinstance(times, exp.Mul) and isinstance(times.expression, exp.Interval)):
        return node
    number = exp.paren(times.this) if isinstance(times.this, exp.Binary) else times.this
    signed = exp.Neg(this=number.copy()) if isinstance(node, exp.Sub) else number
    return _written(
        f"DATEADD({times.expression.args['unit'].name}, :number, :value)", "snowflake", number=signed, value=node.this
    )


def _iso_week(node: exp.TimestampTrunc) -> exp.Expr:
    """BigQuery's other week begins on Sunday."""
    if node.args["unit"].name.upper() == "WEEK":
        node.set("unit", exp.var("ISOWEEK"))
    return node


def _percentiles_of_windows(node: exp.Select) -> exp.Expr:
    """BigQuery has percentiles as window functions only: beside each row, then any one of a group."""
    found = [each for selected in node.expressions for each in selected.find_all(exp.PercentileCont)]
    if not found:
        return node
    rows = exp.Select(from_=node.args["from_"], where=node.args.get("where")).select("*", copy=False)
    groups = node.args["group"].expressions
    for place, percentile in enumerate(found):
        name = f"percentile_{place}"
        percentile.replace(exp.Max(this=exp.column(name)))
        window = exp.Window(this=percentile, partition_by=[group.copy() for group in groups])
        rows.select(exp.alias_(window, name), copy=False)
    node.set("from_", exp.From(this=rows.subquery("beside")))
    node.set("where", None)
    return node


def _computed_once(node: exp.CTE) -> exp.Expr:
    """Postgres puts a CTE that is read once into its reader, and computes what `SELECT *, …` names at each mention."""
    if any(isinstance(selected, exp.Star) for selected in node.this.selects):
        node.set("materialized", True)
    return node


def _known_time_zones(node: exp.Table) -> exp.Expr:
    """Where nobody can tell which time zones a server knows: those that Python knows."""
    if not (isinstance(node.this, exp.Anonymous) and node.this.name.lower() == "pg_timezone_names"):
        return node
    names = ", ".join(f"('{name}')" for name in sorted(available_timezones() - NO_ZONES))
    listed = sqlglot.parse_one(f"SELECT name FROM (VALUES {names}) AS listed(name)", dialect="duckdb")  # noqa: S608
    return exp.Subquery(this=listed, alias=exp.TableAlias(this=exp.to_identifier("zones")))


Rules = Mapping[type[exp.Expr], Rule]

POSTGRES: Rules = {
    exp.CTE: _computed_once,
    exp.Extract: _whole_part,
    exp.JSONExtract: _json_arrow,
    exp.JSONExtractScalar: _json_arrow,
    exp.Round: _round_half_up,
    exp.TryCast: _cast_what_fits,
}
REDSHIFT: Rules = {
    exp.AtTimeZone: _at_time_zone(
        "redshift",
        local="CONVERT_TIMEZONE('UTC', :zone, CAST(:value AS TIMESTAMP))",
        instant="CAST(CONVERT_TIMEZONE(:zone, 'UTC', :value) AS TIMESTAMPTZ)",
    ),
    exp.Extract: _weekday("redshift", "MOD(EXTRACT(DOW FROM :value) + 6, 7) + 1"),
    exp.Filter: _filter_as_case,
    exp.GroupConcat: _listed_within_group,
    exp.JSONExtract: _json_of_super,
    exp.JSONExtractScalar: _json_of_super,
    exp.NullSafeEQ: _same_or_both_null,
    exp.Table: _known_time_zones,
    exp.TimeToUnix: _one_argument(
        "redshift",
        "CAST(DATEDIFF(MICROSECOND, CAST('1970-01-01' AS TIMESTAMP), CAST(:value AS TIMESTAMP)) AS DOUBLE PRECISION)"
        " / 1000000",
    ),
}
SNOWFLAKE: Rules = {
    exp.Add: _dateadd,
    exp.AtTimeZone: _at_time_zone(
        "snowflake",
        local="CAST(CONVERT_TIMEZONE(:zone, :value) AS TIMESTAMP_NTZ)",
        instant="CAST(CONVERT_TIMEZONE(:zone, 'UTC', :value) AS TIMESTAMP_TZ)",
    ),
    exp.Div: _divide_exactly,
    exp.Extract: _weekday("snowflake", "DATE_PART(DAYOFWEEKISO, :value)"),
    exp.Filter: _filter_as_case,
    exp.GroupConcat: _empty_list_as_null,
    exp.JSONExtract: _json_of_variant,
    exp.JSONExtractScalar: _text_of_variant,
    exp.Sub: _dateadd,
    exp.Table: _known_time_zones,
    exp.TimeToUnix: _one_argument("snowflake", "CAST(DATE_PART(EPOCH_MICROSECOND, :value) AS DOUBLE) / 1000000"),
    exp.TryCast: _try_cast_text,
}
BIGQUERY: Rules = {
    exp.AtTimeZone: _at_time_zone("bigquery", local="DATETIME(:value, :zone)", instant="TIMESTAMP(:value, :zone)"),
    exp.Extract: _weekday("bigquery", "MOD(EXTRACT(DAYOFWEEK FROM :value) + 5, 7) + 1"),
    exp.Filter: _filter_as_case,
    exp.Greatest: _without_nulls,
    exp.GroupConcat: _nulls_nowhere,
    exp.Interval: _number_of_units,
    exp.Least: _without_nulls,
    exp.Mul: _scaled_interval,
    exp.Select: _percentiles_of_windows,
    exp.Table: _known_time_zones,
    exp.TimestampTrunc: _iso_week,
    exp.TimeToUnix: _one_argument("bigquery", "UNIX_MICROS(:value) / 1000000"),
    exp.Window: _nulls_nowhere,
}
DATABRICKS: Rules = {
    exp.AtTimeZone: _at_time_zone(
        "databricks", local="FROM_UTC_TIMESTAMP(:value, :zone)", instant="TO_UTC_TIMESTAMP(:value, :zone)"
    ),
    exp.Extract: _weekday("databricks", "EXTRACT(DAYOFWEEK_ISO FROM :value)"),
    exp.PercentileCont: lambda node: exp.Anonymous(this="PERCENTILE", expressions=[node.this, node.expression]),
    exp.Table: _known_time_zones,
    exp.TimeToUnix: _one_argument("databricks", "UNIX_MICROS(:value) / 1000000"),
}
