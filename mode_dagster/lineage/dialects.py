"""What a data source of Mode speaks, and how it completes a table's name.

Here: adapter → sqlglot dialect, and which part of a name the data source's `database` is.
Not here: parsing (`sql`).
"""

from dataclasses import dataclass

from sqlglot import exp
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

SAME = (
    *("athena", "bigquery", "clickhouse", "databricks", "dremio", "druid", "duckdb", "hive", "mysql", "oracle"),
    *("postgres", "presto", "redshift", "singlestore", "snowflake", "spark", "sqlite", "teradata", "trino"),
)
"""Adapters that sqlglot calls as Mode does."""
ADAPTERS = {
    **{name: name for name in SAME},
    "azuresynapse": "tsql",
    "impala": "hive",
    "mariadb": "mysql",
    "oracledb": "oracle",
    "postgresql": "postgres",
    "sqlserver": "tsql",
    "synapse": "tsql",
    "treasuredata": "presto",
    "vertica": "postgres",
}
GENERIC = ""
"""sqlglot's own dialect, a bit of everything: for adapters that we don't know."""
SCHEMA_IS_TOP = frozenset({"mysql", "singlestore", "hive", "spark", "clickhouse"})
"""Names have two parts, and what the data source calls its database is the first of them."""
CATALOG_AND_SCHEMA = frozenset({"presto", "trino", "athena"})
"""The data source's database may be `catalog/schema`."""


@dataclass(frozen=True)
class Names:
    """Where an unqualified table is: what stands in front of its name if the query doesn't say."""

    database: str | None = None
    schema: str | None = None


def dialect_of(adapter: str | None) -> str:
    """The sqlglot dialect of an adapter such as `jdbc:snowflake`; GENERIC where it is unknown."""
    return ADAPTERS.get((adapter or "").lower().removeprefix("jdbc:").strip(), GENERIC)


def names_of(dialect: str, database: str | None) -> Names:
    """What the data source's `database` completes, in the case in which the dialect keeps names."""
    if not (database or "").strip():
        return Names()
    parts = str(database).strip().split("/") if dialect in CATALOG_AND_SCHEMA else [str(database).strip()]
    kept = [normal(part, dialect) for part in parts if part]
    if dialect in SCHEMA_IS_TOP:
        return Names(schema=kept[0])
    return Names(database=kept[0], schema=kept[1] if len(kept) > 1 else None)


def normal(name: str, dialect: str) -> str:
    """`name` in the case in which the dialect keeps a table's name that stands there without quotes."""
    table = exp.Table(this=exp.Identifier(this=name, quoted=False))
    return normalize_identifiers(table, dialect=dialect or None).name
