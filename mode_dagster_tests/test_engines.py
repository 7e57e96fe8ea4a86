"""The SQL of warehouses that can't run here: every statement of the package, in the words that each of them has.

A warehouse that answers from DuckDB keeps what it would have sent to the server. What is sent is parsed again in that
server's dialect, and may use only functions and types that its manual has.
"""

import re
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlglot import exp
from sqlglot.errors import UnsupportedError
from sqlglot.tokens import TokenType

from mode_dagster.alerts.failing_reports import failing_reports
from mode_dagster.answers import three_answers
from mode_dagster.checks import checks_of
from mode_dagster.checks.loaded import Loaded
from mode_dagster.extract import gone, stored
from mode_dagster.extract import pipeline as pipelines
from mode_dagster.extract.destination import DATASET
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing
from mode_dagster.extract.gone import mark_deleted
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.pipeline import mode_pipeline
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.extract.stored import Stored
from mode_dagster.models import MODELS, run_model
from mode_dagster.models.build import key_check, violations
from mode_dagster.references.external import build_external_tables, by_pattern
from mode_dagster.references.tables import answer_all, known_answers, loaded_queries, write_tables
from mode_dagster.warehouse import DuckDBWarehouse, Rows
from mode_dagster.warehouse.engines import ENGINES, translated
from mode_dagster.warehouse.server import ServerWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.loaded_file import load_once

ONLY = Workspace()
FULL_NAME = by_pattern("{database}/{schema}/{table}")
PAGE = Path(__file__).parents[1] / "docs" / "destinations.md"


def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def documented(kind: str) -> dict[str, str]:
    """The settings of a destination as docs/destinations.md has them, by their names in the environment."""
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return dict(flat(f"DESTINATION__{kind.upper()}", tomllib.loads(text)["destination"][kind]))


def flat(prefix: str, settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        key = f"{prefix}__{name.upper()}"
        if isinstance(value, dict):
            yield from flat(key, value)
        else:
            yield key, private_key() if name == "private_key" else value


class Recording(ServerWarehouse):
    """Keeps what it would send, and lets DuckDB answer."""

    def __init__(self, kind, client, here: DuckDBWarehouse) -> None:
        self.here = here
        self.sent: list[str] = []
        super().__init__(kind, client)

    def query(self, sql):
        self.sent.append(translated(sql, self._engine, self._naming))
        return self.here.query(sql)

    def columns(self, schema):
        return self.here.columns(schema)

    def transaction(self):
        return nullcontext()

    def _need_schema(self, table):
        self.here.query(f"CREATE SCHEMA IF NOT EXISTS {table.partition('.')[0]}")

    def _run(self, sql):
        self.sent.append(sql)
        return Rows([], [])


def point(patch: pytest.MonkeyPatch, kind: str) -> None:
    """Sets the environment as a user would."""
    patch.setenv("DESTINATION_TYPE", kind)
    for name, value in documented(kind).items():
        patch.setenv(name, value)


SERVERS = [
    pytest.param(kind, marks=[] if kind == "bigquery" else pytest.mark.slow) for kind in ENGINES if kind != "postgres"
]


@pytest.fixture(scope="module", params=SERVERS)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def sent(kind, tmp_path_factory) -> list[str]:
    """Every statement that the package sends to a server of that kind."""
    folder = tmp_path_factory.mktemp(kind)
    source = load_once()
    with pytest.MonkeyPatch.context() as patch, duckdb.connect() as connection:
        patch.setenv("DLT_DATA_DIR", str(folder))
        point(patch, kind)
        connection.execute(f"ATTACH '{source}' AS loaded (READ_ONLY); COPY FROM DATABASE loaded TO memory")
        pipeline = mode_pipeline()
        warehouse = Recording(kind, pipeline.sql_client(), DuckDBWarehouse(connection))

        @contextmanager
        def opened(_):
            yield warehouse

        patch.setattr(stored, "open_warehouse", opened)
        patch.setattr(gone, "open_warehouse", opened)
        patch.setattr(pipelines, "open_warehouse", opened)
        patch.setattr("mode_dagster.contents.open_warehouse", opened)
        ask_everything(warehouse, pipeline)
    return [statement for statement in dict.fromkeys(warehouse.sent) if statement not in ENGINES[kind].session]


@pytest.fixture(scope="module")
def statements(kind, sent) -> list[exp.Expr]:
    """The same, parsed in the server's dialect."""
    return parsed(sent, kind)


def ask_everything(warehouse, pipeline) -> None:
    loaded = Stored(pipeline)
    loaded.runs_without_query_runs(NOON)
    loaded.newest_audit_log()
    for endpoint in ENDPOINTS:
        if endpoint.key == ("token",):
            loaded.rows(endpoint, ["created_at"])
        loaded.counts(endpoint, endpoint.list_columns[0] if endpoint.list_columns else "")
        if endpoint.history and endpoint.parent == "reports":
            loaded.newest_finished(endpoint)
            loaded.unfinished(endpoint, NOON)
    for listing in Listing:
        mark_deleted(pipeline, listing, NOON)
    queries = loaded_queries(warehouse, ONLY)[:9]
    write_tables(warehouse, ONLY, queries, answer_all(queries, known_answers(warehouse, ONLY, queries), NOON))
    known_answers(warehouse, ONLY, queries)
    for model in MODELS.values():
        run_model(warehouse, model, ONLY, NOON)
        if model.kept:
            run_model(warehouse, model, ONLY, NOON + timedelta(days=1))
    for model in MODELS.values():
        for check in (key_check(model), *model.checks):
            violations(warehouse, model, check, ONLY, NOON)
    checked = Loaded(warehouse, DATASET, NOON)
    for table in [*BY_NAME, LEDGER]:
        for check in checks_of(table):
            assert not check.find(checked).says.startswith("Could not check")
    three_answers(ONLY)
    failing_reports(ONLY, told=["x"])
    build_external_tables(ONLY, FULL_NAME)


COMMON = {
    *("CAST", "CEIL", "COALESCE", "COUNT", "EXISTS", "FIRST_VALUE", "FLOOR", "LAG", "LEFT", "LOWER", "MAX", "MIN"),
    *("NULLIF", "REGEXP_REPLACE", "REPLACE", "ROUND", "ROW_NUMBER", "SUBSTRING", "SUM", "TRIM"),
}
FUNCTIONS = {
    "redshift": {
        *("BOOL_AND", "BOOL_OR", "CONVERT_TIMEZONE", "DATEDIFF", "DATE_TRUNC", "EXTRACT", "GREATEST", "LEAST"),
        *("JSON_EXTRACT_PATH_TEXT", "JSON_SERIALIZE", "LISTAGG", "PERCENTILE_CONT", "POSITION", "TRY_CAST"),
        "VARCHAR",
    },
    "snowflake": {
        *("BOOLAND_AGG", "BOOLOR_AGG", "CHARINDEX", "CONVERT_TIMEZONE", "DATEADD", "DATEDIFF", "DATE_PART"),
        "DATE_TRUNC",
        *("GET_PATH", "GREATEST_IGNORE_NULLS", "LEAST_IGNORE_NULLS", "LISTAGG", "PERCENTILE_CONT", "TRY_CAST"),
    },
    "bigquery": {
        *("DATETIME", "DATE_DIFF", "EXTRACT", "GREATEST", "INSTR", "JSON_EXTRACT", "JSON_EXTRACT_SCALAR", "LEAST"),
        *("LOGICAL_AND", "LOGICAL_OR", "MOD", "PERCENTILE_CONT", "SAFE_CAST", "STRING_AGG", "STRUCT", "TIMESTAMP"),
        *("TIMESTAMP_TRUNC", "UNIX_MICROS", "UNNEST"),
    },
    "databricks": {
        *("BOOL_AND", "BOOL_OR", "DATEDIFF", "DATE_TRUNC", "EXTRACT", "FILTER", "FROM_UTC_TIMESTAMP", "GREATEST"),
        *("GET_JSON_OBJECT", "LEAST", "LISTAGG", "LOCATE", "PERCENTILE", "TO_UTC_TIMESTAMP", "TRY_CAST", "UNIX_MICROS"),
    },
}
"""What each of them has, by its manual; `COMMON` they all have."""
TYPES = {
    "redshift": {"BIGINT", "BOOLEAN", "DATE", "DOUBLE PRECISION", "INTEGER", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
    | {"SUPER", "VARCHAR(MAX)"},
    "snowflake": {"BIGINT", "BOOLEAN", "DATE", "DOUBLE", "INT", "TIMESTAMPNTZ", "TIMESTAMPTZ", "VARCHAR"}
    | {"DECIMAL(19, 0)", "TIMESTAMPLTZ", "VARIANT"},
    "bigquery": {"BOOL", "DATE", "DATETIME", "FLOAT64", "INT64", "JSON", "STRING", "TIMESTAMP"},
    "databricks": {"BIGINT", "BOOLEAN", "DATE", "DOUBLE", "INT", "STRING", "TIMESTAMP", "TIMESTAMP_NTZ"},
}
SYNTAX = {
    *("AND", "AS", "BY", "FROM", "GROUP", "IN", "INTERVAL", "JOIN", "NOT", "ON", "OR", "OVER", "SELECT", "THEN"),
    *("UNION ALL", "VALUES", "WHEN", "WHERE"),
}
"""Words that may stand before a bracket and are no functions."""


def parsed(statements: list[str], kind: str) -> list[exp.Expr]:
    return [sqlglot.parse_one(statement, dialect=ENGINES[kind].dialect) for statement in statements]


def called(statement: str, kind: str) -> set[str]:
    """The words that stand before an opening bracket."""
    tokens = sqlglot.tokenize(statement, dialect=ENGINES[kind].dialect)
    return {
        token.text.upper()
        for token, after in pairwise(tokens)
        if after.token_type == TokenType.L_PAREN and token.token_type not in (TokenType.IDENTIFIER, TokenType.STRING)
        if re.fullmatch(r"\w+", token.text)
    }


def test_what_is_sent_parses_in_the_servers_dialect(statements):
    assert len(statements) > 300
    assert not [statement for statement in statements if statement.find(exp.Command)]


def test_only_functions_types_and_names_that_the_server_has(kind, sent, statements):
    words = set().union(*(called(statement, kind) for statement in sent if not statement.startswith("INSERT")))
    assert words - SYNTAX - COMMON <= FUNCTIONS[kind]
    types = {each.sql(ENGINES[kind].dialect) for statement in statements for each in statement.find_all(exp.DataType)}
    assert types <= TYPES[kind]
    names = {name for statement in statements for name in statement.find_all(exp.Identifier)}
    assert not {name.name for name in names if not name.quoted}
    assert max(len(name.name) for name in names) <= 64, "all of them take more"


def test_the_loaded_tables_can_be_made_there(kind, monkeypatch):
    point(monkeypatch, kind)
    schema = mode_analytics_source().discover_schema()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = mode_pipeline()._get_destination_clients(schema)[0]
    statements, made = client._build_schema_update_sql([(name, {}) for name in client.schema.tables])
    assert {name.lower() for name in made} >= {*BY_NAME, LEDGER}
    tables = parsed(statements, kind)
    columns = [column for table in tables for column in table.find_all(exp.ColumnDef)]
    assert len(columns) > 400
    kinds = {re.sub(r"\(\d+\)$", "", column.kind.sql(ENGINES[kind].dialect)) for column in columns}
    assert kinds <= {*TYPES[kind], "VARCHAR"}
    assert max(len(column.name) for column in columns) <= client.capabilities.max_column_identifier_length


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redshift"], indirect=True, scope="module")
def test_redshift_has_one_order_for_all_lists_of_a_select_and_a_frame_for_each_running_sum(statements):
    for statement in statements:
        for select in statement.find_all(exp.Select):
            orders = {
                group.expression.sql()
                for selected in select.expressions
                for group in selected.find_all(exp.WithinGroup)
            }
            assert len(orders) < 2, select
        for window in statement.find_all(exp.Window):
            if isinstance(window.this, exp.Sum | exp.FirstValue) and window.args.get("order"):
                assert window.args.get("spec"), window


def test_postgres_is_documented_as_it_is_read(monkeypatch):
    point(monkeypatch, "postgres")
    credentials = mode_pipeline().sql_client().credentials
    assert (credentials.host, credentials.database, credentials.password) == ("db.example.com", "warehouse", "secret")


def say(sql: str, kind: str) -> str:
    def naming(schema: str, table: str) -> list[exp.Identifier]:
        return [exp.to_identifier(part, quoted=True) for part in ("acme", schema, table)]

    return translated(sql, ENGINES[kind], naming)


def test_nulls_are_passed_over_by_greatest_everywhere():
    sql = "SELECT GREATEST(a, b)"
    assert say(sql, "snowflake") == 'SELECT GREATEST_IGNORE_NULLS("A", "B")'
    assert say(sql, "bigquery") == "SELECT GREATEST(COALESCE(`a`, `b`), COALESCE(`b`, `a`))"
    assert say("SELECT LEAST(a)", "bigquery") == "SELECT `a`"


def test_weeks_begin_on_monday_everywhere():
    assert say("SELECT DATE_TRUNC('week', t)", "bigquery") == "SELECT TIMESTAMP_TRUNC(`t`, ISOWEEK)"
    assert "ALTER SESSION SET WEEK_START = 1" in ENGINES["snowflake"].session
    weekday = "SELECT EXTRACT(ISODOW FROM t) - 1"
    assert say(weekday, "bigquery") == "SELECT (MOD(EXTRACT(DAYOFWEEK FROM `t`) + 5, 7) + 1) - 1"
    assert say(weekday, "redshift") == 'SELECT ((EXTRACT(DOW FROM "t") + 6) % 7 + 1) - 1'
    assert say(weekday, "snowflake") == 'SELECT DATE_PART(DAYOFWEEKISO, "T") - 1'
    assert say(weekday, "databricks") == "SELECT EXTRACT(DAYOFWEEK_ISO FROM `t`) - 1"


def test_seconds_keep_their_fractions_everywhere():
    sql = "SELECT EPOCH(t)"
    assert "EPOCH_MICROSECOND" in say(sql, "snowflake")
    assert "MICROSECOND" in say(sql, "redshift")
    assert say(sql, "bigquery") == "SELECT (UNIX_MICROS(`t`) / 1000000)"
    assert say(sql, "databricks") == "SELECT (UNIX_MICROS(`t`) / 1000000)"


@pytest.mark.parametrize(
    ("kind", "local", "instant"),
    [
        ("postgres", '"t" AT TIME ZONE "z"', 'CAST("t" AS TIMESTAMP) AT TIME ZONE "z"'),
        (
            "redshift",
            'CONVERT_TIMEZONE(\'UTC\', "z", CAST("t" AS TIMESTAMP))',
            'CAST(CONVERT_TIMEZONE("z", \'UTC\', CAST("t" AS TIMESTAMP)) AS TIMESTAMP WITH TIME ZONE)',
        ),
        (
            "snowflake",
            'CAST(CONVERT_TIMEZONE("Z", "T") AS TIMESTAMPNTZ)',
            'CAST(CONVERT_TIMEZONE("Z", \'UTC\', CAST("T" AS TIMESTAMPNTZ)) AS TIMESTAMPTZ)',
        ),
        ("bigquery", "DATETIME(`t`, `z`)", "TIMESTAMP(CAST(`t` AS DATETIME), `z`)"),
        (
            "databricks",
            "FROM_UTC_TIMESTAMP(CAST(`t` AS TIMESTAMP), `z`)",
            "TO_UTC_TIMESTAMP(CAST(CAST(`t` AS TIMESTAMP_NTZ) AS TIMESTAMP), `z`)",
        ),
    ],
    ids=lambda value: value if value in ENGINES else "",
)
def test_a_time_zone_goes_both_ways(kind, local, instant):
    assert say("SELECT t AT TIME ZONE z", kind) == f"SELECT {local}"
    assert say("SELECT CAST(t AS TIMESTAMP) AT TIME ZONE z", kind) == f"SELECT {instant}"


def test_numbers_divide_as_fractions_and_intervals_are_multiplied():
    assert say("SELECT a / b", "snowflake") == 'SELECT CAST("A" AS DOUBLE) / "B"'
    assert say("SELECT a / b", "redshift") == 'SELECT CAST("a" AS DOUBLE PRECISION) / "b"'
    sql = "SELECT t - n * INTERVAL '1 minute', t + INTERVAL '30 days'"
    assert say(sql, "snowflake") == 'SELECT DATEADD(MINUTE, -"N", "T"), "T" + INTERVAL \'30 DAYS\''
    assert say(sql, "bigquery") == "SELECT `t` - INTERVAL (CAST(`n` AS INT64)) MINUTE, `t` + INTERVAL 30 DAY"


def test_texts_are_put_together_in_order_and_none_of_them_is_null():
    sql = "SELECT STRING_AGG(x, ', ' ORDER BY x) FROM s.t"
    assert say(sql, "redshift").startswith('SELECT LISTAGG("x", \', \') WITHIN GROUP (ORDER BY "x") FROM')
    assert say(sql, "snowflake").startswith(
        "SELECT NULLIF(LISTAGG(\"X\", ', ') WITHIN GROUP (ORDER BY \"X\"), '') FROM"
    )
    assert say(sql, "bigquery") == "SELECT STRING_AGG(`x`, ', ' ORDER BY `x`) FROM `acme`.`s`.`t`"


def test_percentiles_of_a_group_are_windows_in_bigquery():
    sql = "SELECT k, QUANTILE_CONT(x, 0.5) AS p FROM s.t WHERE y GROUP BY k"
    window = "PERCENTILE_CONT(`x`, 0.5) OVER (PARTITION BY `k`) AS `percentile_0`"
    rows = f"SELECT *, {window} FROM `acme`.`s`.`t` WHERE `y`"
    assert say(sql, "bigquery") == f"SELECT `k`, MAX(`percentile_0`) AS `p` FROM ({rows}) AS `beside` GROUP BY `k`"


def test_json_is_read_as_dlt_stores_it():
    sql = "SELECT json_extract_string(v, '$.a'), json_extract(v, '$.a') IS NULL"
    assert say(sql, "postgres") == "SELECT \"v\" ->> 'a', \"v\" -> 'a' IS NULL"
    assert say(sql, "snowflake") == "SELECT CAST(GET_PATH(\"V\", 'a') AS VARCHAR), GET_PATH(\"V\", 'a') IS NULL"
    assert "JSON_EXTRACT_PATH_TEXT(JSON_SERIALIZE(\"v\"), 'a')" in say(sql, "redshift")


def test_filters_and_comparisons_of_null_in_other_words():
    sql = "SELECT COUNT(*) FILTER (WHERE a), MAX(x) FILTER (WHERE a), a IS NOT DISTINCT FROM b"
    counted = 'COUNT(CASE WHEN "a" THEN 1 END), MAX(CASE WHEN "a" THEN "x" END)'
    assert say(sql, "redshift") == f'SELECT {counted}, COALESCE("a" = "b", "a" IS NULL AND "b" IS NULL)'
    assert "FILTER" not in say(sql, "bigquery")


def test_a_column_with_its_tables_whole_name_keeps_the_tables_own():
    sql = "UPDATE s.t SET a = NULL WHERE s.t.b IN (SELECT b FROM s.u)"
    assert say(sql, "bigquery") == (
        "UPDATE `acme`.`s`.`t` SET `a` = NULL WHERE `t`.`b` IN (SELECT `b` FROM `acme`.`s`.`u`)"
    )


def test_what_an_engine_has_nothing_like_is_an_error():
    with pytest.raises(UnsupportedError):
        say("SELECT ANY_VALUE(a) FROM s.t", "postgres")
