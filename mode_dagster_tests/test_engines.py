"""The SQL of warehouses that can't run here: every statement of the package, in the words that each of them has.

A warehouse that answers from DuckDB keeps what it would have sent to the server. What is sent is parsed again in that
server's dialect, and may use only functions and types that its manual has.
"""

import os
import re
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import duckdb
import pytest
import sqlglot
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlglot import exp
from sqlglot.tokens import TokenType

from mode_dagster.answers import three_answers
from mode_dagster.checks import checks_of
from mode_dagster.checks.loaded import Loaded
from mode_dagster.contents import look_into
from mode_dagster.extract import pipeline as pipelines
from mode_dagster.extract import stored
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Listing
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.pipeline import DATASET, mode_pipeline
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.extract.stored import Stored, mark_deleted
from mode_dagster.failing_reports import failing_reports
from mode_dagster.external_tables import build_external_tables
from mode_dagster.models import MODELS, run_model
from mode_dagster.models.build import key_check, violations
from mode_dagster.reference_tables import answer_all, known_answers, loaded_queries, write_tables
from mode_dagster.warehouse import DuckDBWarehouse, Rows
from mode_dagster.warehouse.engines import ENGINES, translated
from mode_dagster.warehouse.server import ServerWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.loaded_file import File, load_once

ONLY = Workspace()


def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


CREDENTIALS = {
    "postgres": {"": "postgresql://mode:secret@db.acme.test:5432/acme"},
    "redshift": {"": "redshift://mode:secret@acme.redshift.amazonaws.com:5439/acme"},
    "snowflake": {"": "snowflake://mode:secret@acme-account/ACME?warehouse=LOADING&role=MODE"},
    "bigquery": {
        "__PROJECT_ID": "acme-project",
        "__PRIVATE_KEY": private_key(),
        "__CLIENT_EMAIL": "mode@acme-project.iam.gserviceaccount.com",
    },
    "databricks": {
        "__SERVER_HOSTNAME": "acme.cloud.databricks.com",
        "__HTTP_PATH": "/sql/1.0/warehouses/1",
        "__ACCESS_TOKEN": "secret",
        "__CATALOG": "acme",
    },
}


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
    for name, value in CREDENTIALS[kind].items():
        patch.setenv(f"DESTINATION__{kind.upper()}__CREDENTIALS{name}", value)


@pytest.fixture(scope="module", params=list(ENGINES))
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
        patch.setattr(pipelines, "open_warehouse", opened)
        patch.setattr("mode_dagster.contents.open_warehouse", opened)
        ask_everything(warehouse, pipeline)
    return list(dict.fromkeys(warehouse.sent))


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
    queries = loaded_queries(warehouse, ONLY)
    write_tables(warehouse, ONLY, queries, answer_all(queries, known_answers(warehouse, ONLY), NOON))
    known_answers(warehouse, ONLY)
    for now in (NOON, NOON + timedelta(days=1)):
        for model in MODELS.values():
            run_model(warehouse, model, ONLY, now)
    for model in MODELS.values():
        for check in (key_check(model), *model.checks):
            violations(warehouse, model, check, ONLY, NOON)
    checked = Loaded(warehouse, DATASET, NOON)
    for table in [*BY_NAME, LEDGER]:
        for check in checks_of(table):
            assert not check.find(checked).says.startswith("Could not check")
    three_answers(ONLY)
    failing_reports(ONLY, told=["x"])
    build_external_tables(ONLY)


def test_what_is_sent_parses_in_the_servers_dialect(kind, sent):
    assert len(sent) > 400
    dialect = ENGINES[kind].dialect
    for statement in sent:
        parsed = sqlglot.parse_one(statement, dialect=dialect)
        assert not parsed.find(exp.Command) or statement in ENGINES[kind].session, statement


def functions(statement: str, dialect: str) -> set[str]:
    """The words that stand before an opening bracket."""
    tokens = sqlglot.tokenize(statement, dialect=dialect)
    return {
        token.text.upper()
        for token, after in zip(tokens, tokens[1:], strict=False)
        if after.token_type == TokenType.L_PAREN and re.fullmatch(r"[A-Za-z_]+", token.text) and token.token_type != TokenType.IDENTIFIER
    }


def test_functions(kind, sent):
    found = set()
    types=set()
    for statement in sent:
        found |= functions(statement, ENGINES[kind].dialect)
        for t in sqlglot.parse_one(statement, dialect=ENGINES[kind].dialect).find_all(exp.DataType): types.add(t.sql(ENGINES[kind].dialect))
    import json
    open(f"/tmp/D/fn_{kind}.json","w").write(json.dumps({"n":len(sent),"chars":sum(map(len,sent)),"f":sorted(found),"t":sorted(types),"sent":sent}))
