"""From .sql files to tables, assets and checks: mistakes are named, failures leave the last good table."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from mode_dagster.extract.destination import DATASET, database_path
from mode_dagster.extract.endpoints import BY_NAME, Column
from mode_dagster.extract.pipeline import BLOCK_SIZE
from mode_dagster.markdown import markdown_table
from mode_dagster.models import MODELS, ModelError, build_model_checks, build_models, read_models, render, run_model
from mode_dagster.models.build import violations
from mode_dagster.models.header import read_model
from mode_dagster.models.statement import column_lineage, reads
from mode_dagster.references.tables import write_tables
from mode_dagster.resources import ModeDuckDBResource, WarehouseResource
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import MARTS, Workspace
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.known_rows import found, known_rows

ONLY = Workspace()
HEAD = """\
-- Reports by name.
-- Two lines of it.
--
-- grain: one report
-- key: report_token
-- question: Which reports
--   are there?
--
-- columns:
--   report_token: Token of the report: its key.
--   report_name: Name of the report,
--     as people see it.
--
-- checks:
--   has_a_name: report_name IS NOT NULL
"""
SELECT = "SELECT token AS report_token, name AS report_name FROM mode_analytics_data.reports"
CLOCK = "--   seen_at: When.\n--\n-- checks"
WORDS = """\
-- Words in names.
--
-- grain: one report
-- key: report_token
-- question: How long are names?
--
-- columns:
--   report_token: Token.
--   letters: Length of the name.
SELECT names.report_token, LENGTH(names.report_name) AS letters FROM mode_marts.names AS names
"""


@pytest.fixture
def write(tmp_path):
    """Writes a .sql file and says where."""

    def put(text: str, name: str = "names") -> Path:
        folder = tmp_path / "models"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.sql"
        path.write_text(text)
        return path

    return put


@pytest.fixture
def connection():
    with duckdb.connect() as opened:
        known_rows(opened, reports=[{"token": "r1", "name": "Sales"}, {"token": "r2", "name": "Costs"}])
        yield opened


def test_a_head_is_read(write):
    model = read_model(write(HEAD + SELECT + ";\n"))
    assert model.name == "names"
    assert model.description == "Reports by name. Two lines of it."
    assert (model.grain, model.key, model.kept) == ("one report", ("report_token",), False)
    assert model.question == "Which reports are there?"
    assert model.columns == {
        "report_token": "Token of the report: its key.",
        "report_name": "Name of the report, as people see it.",
    }
    assert model.checks == {"has_a_name": "report_name IS NOT NULL"}
    assert model.sql == SELECT
    assert model.line == 16


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("-- grain: one report\n", "", 1, "`grain:` is missing"),
        ("-- key: report_token", "-- key: tokn", 1, "`key:` names tokn, which `columns:` does not have"),
        ("-- question:", "-- quest:", 6, "expected one of `grain:`, `key:`"),
        ("-- checks:", "-- key: other", 14, "`key:` is there twice"),
        ("--   report_name:", "--   report_token:", 11, "`report_token:` is there twice"),
        ("--   report_name:", "--  report_name:", 11, "a `name: text`, indented by 2 spaces; or a line"),
        ("--   has_a_name:", "--   Has a name:", 15, "below `columns:` and `checks:` a `name: text`"),
        ("-- columns:", "-- columns: all", 9, "expected one of `grain:`"),
        ("-- Reports by name.\n-- Two lines of it.\n", "", 1, "expected a description"),
        ("-- Two lines", "--Two lines", 2, "expected a space after the dashes"),
        ("-- key: report_token", "-- key: report_token\n-- kept: no", 1, "expected `kept: yes`"),
        ("report_name IS NOT NULL", "", 1, "`has_a_name:` says nothing"),
        (SELECT, "", 1, "the SELECT is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith(("`", "expected", "the")) else "",
)
def test_a_mistake_in_a_head_is_named_with_file_and_line(write, old, new, line, message):
    assert old in HEAD + SELECT
    path = write((HEAD + SELECT).replace(old, new, 1))
    with pytest.raises(ValueError, match=r"names\.sql:\d+: ") as raised:
        read_model(path)
    assert str(raised.value).startswith(f"{path}:{line}: ")
    assert message in str(raised.value)


def test_a_file_whose_name_is_no_name_of_a_table_is_refused(write):
    with pytest.raises(
        ValueError, match=r"Names-2\.sql:1: the file is called Names-2; the table's name has lower-case"
    ):
        read_model(write(HEAD + SELECT, "Names-2"))


def test_dependencies_are_what_the_sql_reads(write):
    sql = """
        WITH runs AS (SELECT * FROM mode_analytics_data.runs), -- mode_analytics_data.charts
        days AS (SELECT 'mode_analytics_data.spaces' AS text FROM generate_series(1, 3))
        SELECT token AS report_token, name AS report_name
        FROM mode_analytics_data.reports
        WHERE EXISTS (SELECT 1 FROM runs) AND token IN (SELECT report_token FROM mode_marts.run_facts)
    """
    model = read_model(write(HEAD + sql))
    assert reads(model).tables == ["reports", "runs"]
    assert reads(model).models == ["run_facts"]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 FROM reports", "reads reports; expected mode_analytics_data.<table> or mode_marts.<model>"),
        ("SELECT 1 FROM other.reports", "reads other.reports; expected"),
        ("SELECT 1 FROM mode_analytics_data.reprots", "reprots, which is no table of the catalogue"),
        ("SELECT 1 FROM mode_marts.names", "reads itself"),
        ("SELECT now()", "now is the clock; write current_timestamp"),
        ("SELECT CURRENT_DATE", "CURRENT_DATE is the clock"),
        ("SELECT (1", "the SQL can't be parsed"),
    ],
)
def test_sql_that_reads_what_it_may_not_is_named(write, sql, message):
    with pytest.raises(ValueError, match=r"names\.sql: ") as raised:
        reads(read_model(write(HEAD + sql)))
    assert message in str(raised.value)


def test_models_come_after_those_that_they_read(write):
    path = write(HEAD + SELECT, "zebra")
    write(WORDS.replace("mode_marts.names", "mode_marts.zebra"), "apple")
    assert list(read_models(path.parent)) == ["zebra", "apple"]


def test_models_that_read_each_other_are_refused(write):
    path = write(WORDS, "words")
    write(WORDS.replace("mode_marts.names", "mode_marts.words"))
    with pytest.raises(ValueError, match="read each other in a circle: "):
        read_models(path.parent)


def test_rendering_leaves_all_but_schemas_and_moment():
    sql = """SELECT  'mode_marts.x current_timestamp' AS a, -- mode_marts.y
      Current_Timestamp AS b, mode_marts_x.c
    FROM mode_marts.x JOIN "mode_analytics_data".runs ON TRUE"""
    moment = "TIMESTAMPTZ '2026-06-17 12:20:00.000000+00:00'"
    assert render(sql, ONLY, NOON) == sql.replace("Current_Timestamp", moment).replace(
        '"mode_analytics_data"', ONLY.dataset
    )
    named = render(sql, Workspace("acme"), NOON)
    assert "FROM mode_marts_acme.x JOIN mode_analytics_data_acme.runs ON" in named
    assert "'mode_marts.x current_timestamp' AS a, -- mode_marts.y" in named


def test_a_model_becomes_a_table_with_its_meaning(write, connection):
    built = run_model(DuckDBWarehouse(connection), read_model(write(HEAD + SELECT)), ONLY, NOON)
    assert built.rows == 2
    assert list(built.columns.items()) == [("report_token", "VARCHAR"), ("report_name", "VARCHAR")]
    (table,) = connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 'names'").fetchone()
    columns = connection.execute("SELECT comment FROM duckdb_columns() WHERE table_name = 'names'").fetchall()
    assert table == "Reports by name. Two lines of it."
    assert columns == [("Token of the report: its key.",), ("Name of the report, as people see it.",)]


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("SELECT token AS report_token, 1 AS x FROM mode_analytics_data.reports", "not in the result: report_name; in"),
        ("SELECT token AS report_token, 1 AS x FROM mode_analytics_data.reports", "not documented: x"),
        (
            "SELECT name AS report_name, token AS report_token FROM mode_analytics_data.reports",
            "in this order: rep",
        ),
        ("SELECT token AS report_token, CAST(name AS INT) AS report_name FROM mode_analytics_data.reports", "Sales"),
        ("SELECT tokn AS report_token, name AS report_name FROM mode_analytics_data.reports", "tokn"),
    ],
    ids=["lacking", "undocumented", "order", "while it runs", "unknown column"],
)
def test_a_model_that_fails_leaves_the_last_good_table(write, connection, select, message):
    run_model(DuckDBWarehouse(connection), read_model(write(HEAD + SELECT)), ONLY, NOON)
    with pytest.raises(ModelError, match=message):
        run_model(DuckDBWarehouse(connection), read_model(write(HEAD + select)), ONLY, NOON)
    assert len(found(connection, "SELECT * FROM mode_marts.names")) == 2
    run_model(DuckDBWarehouse(connection), read_model(write(HEAD + SELECT)), ONLY, NOON)


def test_a_condition_that_the_warehouse_refuses_is_named_with_its_table(write, connection):
    model = read_model(write(HEAD.replace("report_name IS NOT NULL", "reprot_name IS NOT NULL") + SELECT))
    run_model(DuckDBWarehouse(connection), model, ONLY, NOON)
    with pytest.raises(ModelError, match=r"Could not check has_a_name of mode_marts\.names: .*reprot_name"):
        violations(DuckDBWarehouse(connection), model, "has_a_name", ONLY, NOON)


def test_a_missing_source_says_what_to_materialize(write):
    model = read_model(write(HEAD + SELECT))
    with duckdb.connect() as empty, pytest.raises(ModelError) as raised:
        run_model(DuckDBWarehouse(empty), model, Workspace("acme"), NOON)
    assert "no table mode_analytics_data_acme.reports. Materialize first: acme/mode/reports." in str(raised.value)


def test_a_named_workspace_has_schemas_of_its_own(write):
    acme, model = Workspace("acme"), read_model(write(HEAD + SELECT))
    with duckdb.connect() as connection:
        known_rows(connection, "mode_analytics_data_acme", reports=[{"token": "r1"}])
        run_model(DuckDBWarehouse(connection), model, acme, NOON)
        assert found(connection, "SELECT report_token FROM mode_marts_acme.names") == [{"report_token": "r1"}]
        assert violations(DuckDBWarehouse(connection), model, "has_a_name", acme, NOON).count == 1
    (asset,) = build_models(acme, models={"names": model})
    assert asset.key.to_user_string() == "acme/mode_marts/names"
    assert [dep.asset_key.to_user_string() for dep in next(iter(asset.specs)).deps] == ["acme/mode/reports"]


def test_kept_rows_stay_and_the_same_key_is_replaced(write, connection):
    kept = HEAD.replace("-- key: report_token", "-- key: report_token\n-- kept: yes")
    model = read_model(write(kept + SELECT))
    run_model(DuckDBWarehouse(connection), model, ONLY, NOON)
    connection.execute("DELETE FROM mode_analytics_data.reports WHERE token = 'r1'")
    connection.execute("UPDATE mode_analytics_data.reports SET name = 'Costs, new'")
    assert run_model(DuckDBWarehouse(connection), model, ONLY, NOON).rows == 2
    grown = kept.replace("-- checks:", "--   extra: More.\n--\n-- checks:").replace("--\n--   extra", "--   extra")
    run_model(
        DuckDBWarehouse(connection), read_model(write(grown + SELECT.replace(" FROM", ", 1 AS extra FROM"))), ONLY, NOON
    )
    assert sorted(tuple(row.values()) for row in found(connection, "SELECT * FROM mode_marts.names")) == [
        ("r1", "Sales", None),
        ("r2", "Costs, new", 1),
    ]


def test_columns_know_where_their_values_come_from(write):
    path = write(HEAD + SELECT)
    write(WORDS, "words")
    models = read_models(path.parent)
    assert column_lineage(models["words"], models) == {
        "report_token": [("mode_marts", "names", "report_token")],
        "letters": [("mode_marts", "names", "report_name")],
    }
    assert column_lineage(models["names"], models)["report_name"] == [("mode_analytics_data", "reports", "name")]


def test_a_model_of_a_column_that_only_this_workspace_has_is_built_without_its_lineage(write, connection):
    connection.execute("ALTER TABLE mode_analytics_data.reports ADD COLUMN cost_center TEXT DEFAULT 'C7'")
    sql = "SELECT r.token AS report_token, r.cost_center AS report_name FROM mode_analytics_data.reports AS r"
    model = read_model(write(HEAD + sql))
    assert column_lineage(model, {}) == {}
    built = run_model(DuckDBWarehouse(connection), model, ONLY, NOON)
    assert sorted(built.sample) == [("r1", "C7"), ("r2", "C7")]


def test_every_column_of_every_model_has_its_lineage():
    for model in MODELS.values():
        assert list(column_lineage(model, MODELS)) == list(model.columns), model.name


def test_a_text_is_marked_as_the_columns_that_it_is_made_of():
    def made_of(model: str, column: str) -> Iterator[Column]:
        """The loaded columns that a model's column is made of."""
        for schema, table, name in lineages[model].get(column, ()):
            if schema == MARTS and table in MODELS:
                yield from made_of(table, name)
            elif schema == DATASET:
                yield next(known for known in BY_NAME[table].all_columns if known.name == name)

    lineages = {name: column_lineage(model, MODELS) for name, model in MODELS.items()}
    with duckdb.connect() as connection:
        known_rows(connection)
        write_tables(DuckDBWarehouse(connection), ONLY, [], {})
        for name, model in MODELS.items():
            run_model(DuckDBWarehouse(connection), model, ONLY, NOON)
            types = DuckDBWarehouse(connection).types(f"{MARTS}.{name}")
            # a trigger is told from who it was, and names nobody
            texts = {column for column in model.columns if types[column] == "VARCHAR" and column != "trigger"}
            origins = {column: list(made_of(name, column)) for column in texts}
            personal = {text for text in texts if any(each.personal or each.personal_where for each in origins[text])}
            sensitive = {text for text in texts if any(each.sensitive for each in origins[text])}
            assert model.personal == personal, f"{name}.sql: these and no others end in `Personal.`: {personal}"
            unshown = personal | sensitive
            assert model.unshown == unshown, f"{name}.sql: the others of these end in `Sensitive.`: {unshown}"


@pytest.mark.parametrize("mark", ["Personal.", "Sensitive."])
def test_people_and_texts_are_in_no_event(warehouse, write, mark):
    head = HEAD.replace("as people see it.", f"as people see it. {mark}")
    write(head.replace("report_name IS NOT NULL", "report_name <> 'Costs'") + SELECT)
    result = warehouse.run()
    sample = next(
        event.materialization.metadata["sample"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key.path[-1] == "names"
    )
    found = checks_of(result)["names.has_a_name"]
    assert not found.passed
    assert [sample.splitlines()[0], found.metadata["rows"].value.splitlines()[2]] == ["| report&#95;token |", "| r2 |"]


def test_cells_stay_cells_whatever_people_write():
    table = markdown_table(["a|b"], [["x\n| y | <b>*z*</b>"], ["[n](javascript:0)" + "n" * 100], [None]])
    lines = table.splitlines()
    assert len(lines) == 5
    assert all(line.count("|") == 2 for line in lines)
    assert not set("<>*[]()") & set(table)
    assert lines[2] == "| x &#124; y &#124; &#60;b&#62;&#42;z&#42;&#60;/b&#62; |"
    assert lines[3].endswith("n… |")
    assert markdown_table(["a"], []) == "No rows."


class Warehouse:
    """Two models over known rows in a file, and Dagster to run them."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.resource = WarehouseResource()
        self.instance = instance
        self.folder = folder

    @property
    def assets(self) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
        models = read_models(self.folder)
        return [*build_models(ONLY, models=models), *build_model_checks(ONLY, models)]

    def run(self, **more) -> dg.ExecuteInProcessResult:
        how = {
            "resources": {"mode_warehouse": self.resource},
            "instance": self.instance,
            "raise_on_error": False,
            **more,
        }
        return dg.materialize(self.assets, **how)

    def execute(self, sql: str) -> list[tuple]:
        with duckdb.connect(database_path()) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def warehouse(tmp_path, write, monkeypatch):
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "known.duckdb"))
    write(WORDS, "words")
    folder = write(HEAD + SELECT).parent
    with duckdb.connect(str(tmp_path / "known.duckdb")) as connection:
        known_rows(connection, reports=[{"token": "r1", "name": "Sales | <b>"}, {"token": "r2", "name": "Costs"}])
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield Warehouse(folder, instance)


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {f"{found.asset_key.path[-1]}.{found.check_name}": found for found in result.get_asset_check_evaluations()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    return failed.step_failure_data.user_failure_data.description


def test_an_asset_says_what_it_is_before_any_run(warehouse):
    (spec,) = warehouse.assets[1].specs
    assert spec.key == dg.AssetKey(["mode_marts", "words"])
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["mode_marts/names"]
    assert spec.description.endswith("Answers: How long are names?")
    assert (spec.group_name, spec.kinds) == ("mode_marts", {"duckdb", "sql"})
    (reference,) = spec.metadata["dagster/code_references"].code_references
    assert (Path(reference.file_path).name, reference.line_number) == ("words.sql", 10)


def test_a_run_shows_numbers_types_and_a_sample(warehouse):
    result = warehouse.run()
    assert result.success
    events = result.get_asset_materialization_events()
    shown = {event.asset_key.path[-1]: event.materialization.metadata for event in events}
    assert shown["names"]["dagster/row_count"].value == 2
    assert shown["names"]["dagster/table_name"].value == "mode_marts.names"
    assert shown["names"]["question"].value == "Which reports are there?"
    assert "| r1 | Sales &#124; &#60;b&#62; |" in shown["names"]["sample"].value
    types = {column.name: column.type for column in shown["words"]["dagster/column_schema"].value.columns}
    assert types == {"report_token": "VARCHAR", "letters": "BIGINT"}
    assert shown["words"]["dagster/column_lineage"].value.deps_by_column["letters"] == [
        dg.TableColumnDep(asset_key=ONLY.model_key("names"), column_name="report_name")
    ]
    assert {name: evaluation.passed for name, evaluation in checks_of(result).items()} == {
        "names.report_token_is_the_key": True,
        "names.has_a_name": True,
        "words.report_token_is_the_key": True,
    }


@pytest.mark.parametrize("key", ["r1", None], ids=["twice", "empty"])
def test_a_key_that_is_none_fails_and_stops_what_is_built_on_it(warehouse, key):
    known = f"'{key}'" if key else "NULL"
    warehouse.execute(f"INSERT INTO mode_analytics_data.reports (token, name) VALUES ({known}, 'Twin')")
    result = warehouse.run()
    assert not result.success
    failed = checks_of(result)["names.report_token_is_the_key"]
    assert not failed.passed
    assert failed.severity == dg.AssetCheckSeverity.ERROR
    assert failed.metadata["violations"].value == 1
    assert failed.metadata["rows"].value.splitlines()[2] == (f"| {key} | 2 |" if key else "|  | 1 |")
    assert [event.asset_key.path[-1] for event in result.get_asset_materialization_events()] == ["names"]


def test_a_condition_that_rows_break_warns_and_shows_them(warehouse):
    warehouse.execute("INSERT INTO mode_analytics_data.reports (token) SELECT 'n' || i FROM range(30) AS t(i)")
    result = warehouse.run()
    assert result.success
    failed = checks_of(result)["names.has_a_name"]
    assert (failed.passed, failed.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert failed.metadata["violations"].value == 30
    assert len(failed.metadata["rows"].value.splitlines()) == 22


def test_a_fault_of_the_model_fails_at_once(warehouse, write):
    write(HEAD + SELECT.replace("name AS", "CAST(name AS INT) AS"))
    result = warehouse.run(selection=[dg.AssetKey(["mode_marts", "names"])])
    assert "Could not build mode_marts.names (names.sql): Conversion Error" in failure_of(result)
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


class Locked(WarehouseResource):
    """A file that another program has open, the first time."""

    @contextlib.contextmanager
    def open(self, workspace):
        marker = Path(database_path()).with_suffix(".tried")
        if not marker.exists():
            marker.touch()
            raise duckdb.IOException("Could not set lock on file")
        with super().open(workspace) as warehouse:
            yield warehouse


def test_a_locked_file_is_tried_again(warehouse):
    resources = {"mode_warehouse": Locked()}
    result = warehouse.run(resources=resources, selection=[dg.AssetKey(["mode_marts", "names"])])
    assert result.success
    assert len([event for event in result.all_events if event.is_step_up_for_retry]) == 1


def test_all_models_of_a_run_agree_on_the_time(warehouse, write):
    for name, text in (("names", HEAD.replace("--\n-- checks", CLOCK, 1) + SELECT), ("words", WORDS)):
        timed = text if name == "names" else text.replace("SELECT names", "--   seen_at: When.\nSELECT names")
        write(timed.replace(" FROM", ", current_timestamp AS seen_at FROM"), name)
    assert warehouse.run().success
    assert (
        len(warehouse.execute("SELECT seen_at FROM mode_marts.names UNION SELECT seen_at FROM mode_marts.words")) == 1
    )


def test_the_file_is_where_the_setting_says_when_it_is_opened(tmp_path, monkeypatch):
    resource = ModeDuckDBResource()
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "later.duckdb"))
    with resource.get_connection() as connection:
        connection.execute("SELECT 1")
    assert (tmp_path / "later.duckdb").exists()


def test_a_file_that_is_opened_before_anything_is_loaded_has_small_blocks(tmp_path, monkeypatch):
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "first.duckdb"))
    with WarehouseResource().open(ONLY) as warehouse:
        assert warehouse.query("SELECT block_size FROM pragma_database_size()").rows == [(BLOCK_SIZE,)]


def asked_for(warehouse, loaded: dg.AssetsDefinition, cursor=None) -> tuple[set[str], object]:
    definitions = dg.Definitions([loaded, *warehouse.assets], resources={"mode_warehouse": warehouse.resource})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of dagster's own making
        result = dg.evaluate_automation_conditions(definitions, instance=warehouse.instance, cursor=cursor)
    keys = [part.to_user_string() for part in (found.key for found in result.results if found.true_subset.size)]
    return {key for key in keys if "mode_marts/" in key}, result.cursor


def test_models_follow_their_tables_once(warehouse):
    @dg.asset(key=ONLY.table_key("reports"))
    def reports() -> None: ...

    everything = {"resources": {"mode_warehouse": warehouse.resource}, "instance": warehouse.instance}
    none, cursor = asked_for(warehouse, reports)
    dg.materialize([reports, *warehouse.assets], **everything)
    together, cursor = asked_for(warehouse, reports, cursor)
    dg.materialize([reports], **everything)
    alone, cursor = asked_for(warehouse, reports, cursor)
    again, cursor = asked_for(warehouse, reports, cursor)
    warehouse.run()
    after, cursor = asked_for(warehouse, reports, cursor)
    assert not none | together | again | after
    assert {"mode_marts/names", "mode_marts/words"} <= alone
