"""Which tables and columns a query reads, from its text: dialects, scripts, Liquid, definitions, hostile texts."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mode_dagster.lineage import References, Request, Status, parse_all, parse_query, reached
from mode_dagster.lineage.dialects import ADAPTERS, dialect_of
from mode_dagster.lineage.template import MAX_TEXTS, render
from mode_dagster.lineage.workers import _Worker


def read(text, adapter="postgresql", database="db", definitions=None) -> References:
    return parse_query(text, f"jdbc:{adapter}", database, definitions or {})


def names(found: References, kind="read") -> set[str]:
    """Tables as `database.schema.table`, `-` for what is not known."""
    return {
        f"{each.database or '-'}.{each.schema or '-'}.{each.table}" for each in found.references if each.kind == kind
    }


def only(found: References, table: str):
    (reference,) = [each for each in found.references if each.table == table]
    return reference


def form(field: str, **spec: str) -> str:
    lines = "".join(f"  {name}: {value}\n" for name, value in spec.items())
    return f"\n{{% form %}}\n{field}:\n{lines}{{% endform %}}"


FORM = form("t", type="select", default="a", options="[[A, a], [B, b]]")


@pytest.mark.parametrize(
    ("adapter", "text", "tables"),
    [
        pytest.param("snowflake", "select 1 from Sales.orders", {"DB.SALES.ORDERS"}, id="snowflake_keeps_upper_case"),
        pytest.param("snowflake", 'select 1 from "Sales".orders', {"DB.Sales.ORDERS"}, id="snowflake_quoted_stays"),
        pytest.param("snowflake", "select 1 from a.b.c", {"A.B.C"}, id="snowflake_full_name"),
        pytest.param("snowflake", "select 1 from a..c", {"A.-.C"}, id="snowflake_default_schema_of_a_database"),
        pytest.param(
            "snowflake",
            "select f.value from raw.e, lateral flatten(input => e.j) f, table(generator(rowcount => 3)), @stage/x",
            {"DB.RAW.E"},
            id="snowflake_functions_and_stages_are_no_tables",
        ),
        pytest.param("bigquery", "select 1 from `p-1.d.t`", {"p-1.d.t"}, id="bigquery_quoted_as_a_whole"),
        pytest.param("bigquery", "select 1 from `p-1`.d.`t_*`", {"p-1.d.t_*"}, id="bigquery_wildcard"),
        pytest.param("bigquery", "select 1 from d.Orders o, o.items i", {"db.d.Orders"}, id="bigquery_array_of_a_row"),
        pytest.param("bigquery", "select 1 from d.t, unnest(t.x) u", {"db.d.t"}, id="bigquery_unnest"),
        pytest.param(
            "bigquery",
            "select array(select x from o.items) from d.t o",
            {"db.d.t"},
            id="bigquery_array_of_an_outer_row",
        ),
        pytest.param(
            "postgresql", 'select 1 from Web.Users u, "T x"', {"db.web.users", "db.-.T x"}, id="postgres_case"
        ),
        pytest.param(
            "postgresql",
            "select 1 from generate_series(1, 2) g, (values (1)) v(a), lateral (select 1 from x) l",
            {"db.-.x"},
            id="postgres_functions_and_values_are_no_tables",
        ),
        pytest.param(
            "redshift", "select 1 from a.b minus select 1 from stl_query", {"db.a.b", "db.-.stl_query"}, id="redshift"
        ),
        pytest.param("databricks", "select 1 from c.s.t lateral view explode(x) e", {"c.s.t"}, id="databricks"),
        pytest.param("databricks", "select /*+ broadcast(x) */ 1 from s.t x", {"db.s.t"}, id="databricks_hint"),
        pytest.param("databricks", "select 1 from delta.`/mnt/x`", {"db.delta./mnt/x"}, id="databricks_file"),
        pytest.param("mysql", "select 1 from `t` join shop.orders", {"-.db.t", "-.shop.orders"}, id="mysql_two_parts"),
        pytest.param(
            "sqlserver", "select top 5 * from [My Db].dbo.[T] with (nolock)", {"my db.dbo.t"}, id="sqlserver_brackets"
        ),
        pytest.param("sqlserver", "select 1 from other..t", {"other.-.t"}, id="sqlserver_default_schema"),
        pytest.param("sqlserver", "select 1 from srv.d.dbo.t", {"srv.d.dbo.t"}, id="sqlserver_of_another_server"),
        pytest.param("sqlserver", "select 1 from t, srv.d.dbo.f(1) x", {"db.-.t"}, id="sqlserver_function_elsewhere"),
        pytest.param("dremio", 'select 1 from s."F".g.h.t', {"s.F.g.h.t"}, id="dremio_folders"),
        pytest.param("oracle", "select sysdate from dual, hr.emp", {"DB.HR.EMP"}, id="oracle_dual_is_no_table"),
        pytest.param("clickhouse", "select 1 from db2.t final, numbers(3)", {"-.db2.t"}, id="clickhouse"),
        pytest.param("trino", "select 1 from t", {"db.-.t"}, id="trino"),
        pytest.param("unheard_of", "select 1 from S.T", {"db.s.t"}, id="unknown_adapter_is_generic"),
        pytest.param(
            "postgresql", "select 1 from information_schema.tables", {"db.information_schema.tables"}, id="system"
        ),
    ],
)
def test_names_are_completed_as_the_database_would(adapter, text, tables):
    found = read(text, adapter)
    assert (names(found), found.status) == (tables, Status.PARSED)


def test_a_trino_database_may_name_the_schema_too():
    assert names(read("select 1 from t", "trino", "hive/web")) == {"hive.web.t"}


@pytest.mark.parametrize(("adapter", "database"), [(None, None), ("", ""), ("jdbc:", " ")])
def test_a_data_source_that_says_nothing_completes_nothing(adapter, database):
    found = parse_query("select 1 from t", adapter, database, {})
    assert (names(found), found.dialect) == ({"-.-.t"}, "")


def test_every_dialect_is_one_that_sqlglot_knows():
    for adapter, dialect in ADAPTERS.items():
        assert read("select a from t", adapter).status is Status.PARSED, adapter
        assert dialect_of(f"JDBC:{adapter}".upper()) == dialect


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        pytest.param("with c as (select 1 from t) select 1 from c", {"t"}, id="cte"),
        pytest.param("with t as (select 1 from t) select 1 from t", {"t"}, id="cte_of_the_table_that_it_hides"),
        pytest.param("with c as (select 1 from t) select 1 from s.c", {"t", "c"}, id="qualified_is_never_a_cte"),
        pytest.param(
            "with recursive c as (select 1 union select 1 from c) select 1 from c join t", {"t"}, id="recursive"
        ),
        pytest.param("with a as (select 1 from b), b as (select 1 from t) select 1 from a", {"b", "t"}, id="later_cte"),
        pytest.param(
            "select 1 from (with c as (select 1 from t) select 1 from c) x join c", {"t", "c"}, id="cte_inside"
        ),
        pytest.param(
            "select (select 1 from a) from b where exists (select 1 from c)", {"a", "b", "c"}, id="subqueries"
        ),
        pytest.param("create temp table x as select 1 from t; select 1 from x", {"t"}, id="temporary_table"),
        pytest.param("select 1 from x; create table x as select 1 from t", {"x", "t"}, id="read_before_it_is_made"),
        pytest.param(
            "create or replace table t as select 1 from t; select 1 from t", {"t"}, id="made_anew_from_itself"
        ),
        pytest.param("grant select on x to r; analyze x; select 1 from t", {"t"}, id="permissions_and_statistics"),
        pytest.param("create view v as select 1 from t; select 1 from v", {"t"}, id="view"),
        pytest.param("drop table if exists old; select 1 from t; alter table q add column z int", {"t"}, id="no_data"),
        pytest.param("set x = 1; begin; call proc(); select 1 from t; commit", {"t"}, id="what_reads_nothing"),
        pytest.param("-- from a\nselect '--', 1 /* from b */ from t -- from c", {"t"}, id="comments"),
        pytest.param("select 1 from t as x for update of x", {"t"}, id="lock"),
        pytest.param("select 1 from t limit [rows]", {"t"}, id="placeholder_in_brackets"),
        pytest.param(";; select 1 from t;", {"t"}, id="empty_statements"),
    ],
)
def test_what_a_script_makes_itself_is_no_table_of_the_warehouse(text, tables):
    found = read(text)
    assert ({each.table for each in found.references}, found.status) == (tables, Status.PARSED)


def test_a_procedure_is_no_table():
    assert names(read("exec dbo.refresh; select a from t", "sqlserver")) == {"db.-.t"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("create temp function f(x int64) as (x + 1); select f(a) from t", id="function"),
        pytest.param("create procedure f() begin select 1; end; select a from t", id="procedure"),
        pytest.param("select a from ml.predict(model m, (select a from t))", id="model"),
    ],
)
def test_functions_and_models_of_bigquery_are_no_tables(text):
    assert names(read(text, "bigquery")) == {"db.-.t"}


@pytest.mark.parametrize("text", ["t (nolock)", "[t] (NOLOCK) x", "t x (nolock)", "t (readuncommitted, readpast)"])
def test_a_hint_without_its_with_makes_no_function_of_a_table(text):
    assert names(read(f"select a from s.t join {text} on 1 = 1", "sqlserver")) == {"db.s.t", "db.-.t"}


def test_temporary_tables_of_sql_server_are_never_external():
    text = "select a into #x from s.t; select a from #x; select a from #of_another_session; insert into #x select 1"
    assert names(read(text, "sqlserver")) == {"db.s.t"}


@pytest.mark.parametrize(
    ("adapter", "text", "tables"),
    [
        pytest.param("snowflake", "use schema raw; select 1 from t", {"DB.RAW.T"}, id="snowflake_schema"),
        pytest.param("snowflake", "use other; select 1 from t", {"OTHER.-.T"}, id="snowflake_database"),
        pytest.param("snowflake", "use role r; use warehouse w; select 1 from t", {"DB.-.T"}, id="snowflake_neither"),
        pytest.param("mysql", "use shop; select 1 from t", {"-.shop.t"}, id="mysql"),
        pytest.param("sqlserver", "use shop; select 1 from t", {"shop.-.t"}, id="sqlserver"),
        pytest.param("databricks", "use catalog c; use schema s; select 1 from t", {"c.s.t"}, id="databricks"),
        pytest.param("trino", "use c.s; select 1 from t", {"c.s.t"}, id="trino"),
        pytest.param("postgresql", "set search_path to web, public; select 1 from t", {"db.web.t"}, id="search_path"),
    ],
)
def test_use_statements_are_followed(adapter, text, tables):
    assert names(read(text, adapter)) == tables


def test_what_is_written_is_not_read():
    found = read("""
        insert into i (a) select a from r1; update u set a = 1 from r2; delete from d where x in (select y from r3);
        merge into m using r4 on m.a = r4.a when matched then update set b = 1; truncate table t
    """)
    assert names(found, "write") == {f"db.-.{table}" for table in "iudmt"}
    assert names(found) == {f"db.-.r{number}" for number in range(1, 5)}


@pytest.mark.parametrize(
    ("adapter", "text", "written", "tables"),
    [
        pytest.param("sqlserver", "update o set a = 1 from t o join u on 1 = 1", {"t"}, {"u"}, id="update_of_an_alias"),
        pytest.param("sqlserver", "delete o from t o join u on 1 = 1", {"t"}, {"u"}, id="delete_of_an_alias"),
        pytest.param("mysql", "delete t, o from t join u o join v", {"t", "u"}, {"v"}, id="delete_of_two"),
        pytest.param("sqlserver", "with c as (select a from t) delete from c", set(), {"t"}, id="delete_of_a_cte"),
        pytest.param("sqlserver", "insert into @x select a from t", set(), {"t"}, id="variable"),
        pytest.param("postgresql", "delete from t where x in (select t.y from u t)", {"t"}, {"u"}, id="alias_inside"),
        pytest.param("postgresql", "insert into t select a from u as t", {"t"}, {"u"}, id="insert_has_no_alias"),
        pytest.param(
            "postgresql",
            "with d as (delete from t returning *) insert into u select * from d",
            {"t", "u"},
            set(),
            id="delete_in_a_cte",
        ),
        pytest.param("snowflake", "insert all into T values (1) select * from U", {"T"}, {"U"}, id="insert_all"),
    ],
)
def test_what_is_written_has_its_own_name(adapter, text, written, tables):
    found = read(text, adapter)
    by_kind = {kind: {each.table for each in found.references if each.kind == kind} for kind in ("write", "read")}
    assert by_kind == {"write": written, "read": tables}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        pytest.param("select a, sum(b) from t where c > 1 group by a order by d", {"t": "abcd"}, id="one_table"),
        pytest.param("select x.a, y.b, c from t x join u y on x.k = y.k", {"t": "ak", "u": "bk"}, id="aliases"),
        pytest.param("select s.t.a from s.t", {"t": "a"}, id="full_name"),
        pytest.param("select t.a.b from t, u", {"t": "a", "u": ""}, id="field_of_a_struct"),
        pytest.param("select * from t", {"t": "*"}, id="star"),
        pytest.param("select t.*, u.a, count(*) from t, u", {"t": "*", "u": "a"}, id="star_of_one"),
        pytest.param("select count(*) from t", {"t": ""}, id="count_is_no_star"),
        pytest.param("select a + 1 as b, c from t order by b", {"t": "ac"}, id="alias_is_no_column"),
        pytest.param("select date_trunc('day', d) as d from t group by d", {"t": "d"}, id="alias_named_like_it"),
        pytest.param("select a from t where b in (select c from u)", {"t": "ab", "u": "c"}, id="subquery"),
        pytest.param("select a from t where exists (select 1 from u where u.b = t.c)", {"t": "ac", "u": "b"},
                     id="correlated"),
        pytest.param("with c as (select a from t) select a, b from c", {"t": "a"}, id="columns_of_a_cte_are_its_own"),
        pytest.param("select a from t union select b from u", {"t": "a", "u": "b"}, id="union"),
        pytest.param("select a from t limit [rows]", {"t": "a"}, id="placeholder"),
        pytest.param("select {{ column }}, a from t", {"t": "a"}, id="parameter"),
    ],
)  # fmt: skip
def test_columns_are_those_that_are_certain(text, columns):
    assert {each.table: "".join(each.columns) for each in read(text).references} == columns


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        pytest.param(
            "bigquery", "declare d, e date default current_date(); select a from t where b in (d, e)", id="script"
        ),
        pytest.param("clickhouse", "with 5 as d select a from t where b = d", id="alias_of_a_value"),
        pytest.param("clickhouse", "with (select 1) as d select a from (select a from t where b = d)", id="of_a_query"),
    ],
)
def test_a_variable_is_no_column(adapter, text):
    assert only(read(text, adapter), "t").columns == ("a", "b")


@pytest.mark.parametrize(
    ("text", "sure", "conditional"),
    [
        pytest.param("select 1 from {% if x %} a {% else %} b {% endif %}", "b", "a", id="if_else"),
        pytest.param("select 1 from {% if t == 'a' %} a {% elsif t == 'b' %} b {% else %} c {% endif %}" + FORM,
                     "a", "bc", id="form_default"),
        pytest.param("select 1 from {% case t %}{% when 'a' %} a {% when 'b' %} b {% else %} c {% endcase %}" + FORM,
                     "a", "bc", id="case"),
        pytest.param("select 1 from {% unless x %} a {% else %} b {% endunless %}", "a", "b", id="unless"),
        pytest.param("select 1 from a {% if x %} join b {% if y %} join c {% else %} join d {% endif %}{% endif %}",
                     "a", "bcd", id="nested"),
        pytest.param("{% if t == 'a' %}select 1 from a{% endif %}{% if t == 'b' %}select 1 from b{% endif %}" + FORM,
                     "a", "b", id="one_or_the_other"),
        pytest.param("{% for x in (1..3) %}{% if x == 2 %} select 1 from a; {% endif %}{% endfor %}", "a", "",
                     id="loop"),
        pytest.param("{% assign t = 'a' %}select 1 from {{ t }}", "a", "", id="assign"),
        pytest.param("select 1 from {{ t }}" + FORM, "a", "b", id="table_from_the_form"),
        pytest.param("select 1 from c join s.{{ t }} on true" + FORM, "ac", "b", id="part_of_a_name_from_the_form"),
        pytest.param("select '{{ t }}' as t from c" + FORM, "c", "", id="option_that_is_no_table"),
        pytest.param("select 1 from a {% comment %} join b {% endcomment %}", "a", "", id="comment"),
        pytest.param("select 1 from a {% if x %} join a {% endif %}", "a", "", id="sure_wins"),
    ],
)  # fmt: skip
def test_every_branch_of_a_template_is_read(text, sure, conditional):
    found = read(text)
    assert found.status is Status.PARSED, found.reason
    assert {each.table for each in found.references if not each.is_conditional} == set(sure)
    assert {each.table for each in found.references if each.is_conditional} == set(conditional)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("select a from t where b = {{ x }} and c = '{{ y }}' and d in ({{ z }}) limit {{ n }}",
                     id="plain"),
        pytest.param("select a from t where b > dateadd(day, -{{ n }}, '{{ x | date: '%Y' }}')", id="filters"),
        pytest.param("select a from t {% for x in xs %} where {{ x }} {% endfor %}", id="loop_over_nothing"),
        pytest.param("select a from t where b in ({{ m }})" + form("m", type="multiselect", default="[x, y]"),
                     id="multiselect"),
        pytest.param("select a from t where b >= '{{ d }}'" + form("d", type="date", default="2024-01-01"), id="date"),
        pytest.param("select a from t where b = {{ d }}" + form("d", type="text", default="''"), id="empty"),
        pytest.param("{% form %}\n: [ not yaml\n{% endform %}select a from t where b = {{ d }}", id="not_yaml"),
    ],
)  # fmt: skip
def test_parameters_stand_for_values(text):
    found = read(text, "snowflake")
    assert (names(found), found.status) == ({"DB.-.T"}, Status.PARSED), found.reason


def test_a_number_stands_in_where_no_name_may_be():
    found = read("select top {{ n }} a from t", "sqlserver")
    assert (names(found), found.status) == ({"db.-.t"}, Status.PARSED)


def test_a_table_named_by_a_parameter_is_said_to_be_missing():
    found = read("select 1 from {{ table }} join s.t_{{ year }} join u")
    assert (names(found), found.status) == ({"db.-.u"}, Status.PARTIAL)
    assert found.reason == "a table's name comes from a parameter without default"


def test_a_template_has_no_more_texts_than_the_limit_but_all_branches():
    text = "select 1 from t" + "".join(f"{{% if p{n} %}} join t{n} on true {{% endif %}}" for n in range(100))
    assert len(render(text).others) < MAX_TEXTS
    assert len(read(text).references) == 101


def test_what_is_not_liquid_after_all_is_read_without_its_tags():
    found = read("select a from t where b like '{%' ")
    assert (names(found), found.status) == ({"db.-.t"}, Status.PARTIAL)
    assert found.reason.startswith("Liquid: ")


def test_a_tag_that_is_never_closed_hides_nothing():
    found = read("select 1 from a {% if x %} join b")
    assert {each.table for each in found.references} == {"a", "b"}
    assert found.status is Status.PARTIAL


DEFINITIONS = {
    "paying": "select account_id from billing.subs -- a comment\n;",
    "active": "select * from {{ @paying as p }} join web.users using (account_id)",
    "broken": "select from from",
    "a": "select 1 from {{ @b as x }} join t_a on true",
    "b": "select 1 from {{ @a as x }} join t_b on true",
}


@pytest.mark.parametrize(
    "include",
    [
        pytest.param("select x from {{ @paying as p }}", id="with_alias"),
        pytest.param("select x from {{ @paying }}", id="without_alias"),
        pytest.param("select x from {{@paying}} as p", id="alias_outside"),
        pytest.param("with c as ({{ @paying }}) select x from c", id="as_a_cte"),
        pytest.param("select 1 where x in ({{ @paying }})", id="after_in"),
        pytest.param("{{- @paying as p -}}", id="alone"),
    ],
)
def test_definitions_are_followed_wherever_they_stand(include):
    found = read(include, definitions=DEFINITIONS)
    assert found.status is Status.PARSED, found.reason
    (reference,) = found.references
    assert (reference.table, reference.definitions, reference.is_direct) == ("subs", ("paying",), False)
    assert reference.columns == ("account_id",)


def test_definitions_in_definitions_are_followed():
    found = read("select x from {{ @active as a }} join billing.subs on true", definitions=DEFINITIONS)
    assert names(found) == {"db.billing.subs", "db.web.users"}
    assert only(found, "users").definitions == ("active",)
    assert (only(found, "subs").definitions, only(found, "subs").is_direct) == (("paying",), True)


def test_a_definition_in_a_branch_not_taken_is_conditional():
    found = read("select 1 from t {% if x %} join {{ @paying as p }} on true {% endif %}", definitions=DEFINITIONS)
    assert only(found, "subs").is_conditional
    assert not only(found, "t").is_conditional


def test_a_definition_met_first_in_a_branch_and_then_for_sure_is_sure():
    definitions = {"outer": "select 1 from {{ @paying as p }}", **DEFINITIONS}
    text = "{% if x %}select 1 from {{ @paying as p }}; {% endif %} select 1 from {{ @outer as o }}"
    assert not only(read(text, definitions=definitions), "subs").is_conditional


@pytest.mark.parametrize(
    ("name", "tables", "reason"),
    [
        pytest.param("a", {"t_a", "t_b"}, "definition a includes itself", id="circle"),
        pytest.param("nope", set(), "there is no definition nope", id="missing"),
        pytest.param("broken", set(), "definition broken: ", id="broken"),
    ],
)
def test_a_definition_that_is_wrong_spoils_only_itself(name, tables, reason):
    found = read(f"select 1 from t join {{{{ @{name} as d }}}} on true", definitions=DEFINITIONS)
    assert {each.table for each in found.references} == {"t", *tables}
    assert (found.status, found.reason[: len(reason)]) == (Status.PARTIAL, reason)


def test_a_definition_in_a_comment_is_not_followed():
    assert names(read("select 1 from t -- {{ @paying as p }}", definitions=DEFINITIONS)) == {"db.-.t"}


def test_reached_are_the_definitions_that_an_answer_depends_on():
    assert list(reached("{{ @active as a }} {{ @nope }}", DEFINITIONS)) == ["active", "paying"]
    assert list(reached("{{ @a }}", DEFINITIONS)) == ["a", "b"]


def test_definitions_that_double_at_every_step_cost_no_more_than_their_texts():
    both = "select 1 from {{{{ @d{0} as x }}}} join {{{{ @d{0} as y }}}} on true"
    definitions = {f"d{step}": both.format(step + 1) for step in range(15)} | {"d15": "select 1 from t"}
    began = time.monotonic()
    assert names(read("select 1 from {{ @d0 as d }}", definitions=definitions)) == {"db.-.t"}
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("text", [None, "", " \n", "-- only a comment", ";;", FORM, "{% assign x = 1 %}"])
def test_a_text_without_sql_is_empty(text):
    assert read(text) == References(Status.EMPTY, dialect="postgres")


def test_what_can_not_be_parsed_is_failed_with_its_reason_and_guesses():
    found = read("select region, sum(amount from sales.orders o join regions group by region")
    assert found.status is Status.FAILED
    assert found.reason.startswith("Expecting )")
    assert names(found) == {"db.sales.orders", "db.-.regions"}
    assert all(each.is_guessed for each in found.references)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("extract(day from created_at)", id="extract"),
        pytest.param("trim(both ' ' from name)", id="trim"),
        pytest.param("a is distinct from b", id="distinct"),
        pytest.param("x from generate_series(1, 2) g join t", id="function"),
    ],
)
def test_no_guess_is_made_of_a_from_that_names_no_table(text):
    assert names(read(f"select ((( {text} from t")) == {"db.-.t"}


def test_one_bad_statement_leaves_the_others():
    found = read("select a from t; selec b frm; select c from u")
    assert (names(found), found.status) == ({"db.-.t", "db.-.u"}, Status.PARTIAL)


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        pytest.param("postgresql", "explain analyze select a from t", id="explain"),
        pytest.param("postgresql", "do $$ begin insert into x select a from t; end $$", id="do_block"),
        pytest.param("redshift", "unload ('select a from t') to 's3://bucket'", id="unload"),
        pytest.param("databricks", "execute immediate 'select a from t'", id="execute"),
    ],
)
def test_the_query_inside_of_another_statement_is_read_as_far_as_it_goes(adapter, text):
    found = read(text, adapter)
    assert found.status is Status.PARTIAL
    assert names(found) == {"db.-.t"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("select a from t where b = 'O''Hara", "Missing ' from 1:26"),
        ("select a /* O'Hara", "a comment is not closed"),
    ],
)
def test_a_reason_does_not_quote_the_query(text, reason):
    found = read(text)
    assert (found.status, found.reason) == (Status.FAILED, reason)


def test_a_reason_is_one_short_line():
    found = read("select " + "x" * 5000 + " from from\n\nwhere")
    assert "\n" not in found.reason
    assert 0 < len(found.reason) <= 200


def test_answers_survive_the_way_through_json():
    found = read("select a, b from {{ @paying as p }} join t on true {% if x %} join u on true {% endif %}")
    assert References.from_json(json.dumps(asdict(found))) == found


HOSTILE = {
    "brackets": "select " + "(" * 5_000 + "1" + ")" * 5_000,
    "subqueries": "select * from (" * 3_000 + "t" + ")" * 3_000,
    "long_list": "select a from t where b in (" + ",".join(map(str, range(400_000))) + ")",
    "doubling_text": "{% assign x = 'aaaaaaaa' %}" + "{% assign x = x | append: x %}" * 40 + "{{ x }}",
    "growing_text": '{{ "aaaaaaaa"' + ' | replace: "a", "aaaaaaaaaaaaaaaa"' * 12 + " }}",
    "loops": "{% for a in (1..9999) %}{% for b in (1..9999) %}{% for c in (1..9999) %}x" + "{% endfor %}" * 3,
    "yaml_bomb": "{% form %}\n" + "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
    ) + "p:\n  default: *m\n{% endform %}select {{ p }}",
    "never_closed": "select a from t where b = 'x" + "y" * 500_000,
}  # fmt: skip


def test_hostile_texts_end_in_time_with_a_reason_and_stop_no_other():
    queries = {**HOSTILE, "good": "select a from t"}
    parsed = dict(zip(queries, parse_all([Request(text) for text in queries.values()], seconds=1), strict=True))
    assert parsed["good"].references.status is Status.PARSED
    for name, found in parsed.items():
        assert found.references.reason or name == "good", name
    assert parsed["long_list"].references == References(
        Status.FAILED, reason="takes longer than 1 seconds", is_final=False
    )
    (grown,) = parse_all([Request(HOSTILE["growing_text"])], seconds=30)
    assert grown.references.reason == "takes too much memory"
    assert parsed["brackets"].references.reason == "nested too deeply"


def test_time_is_limited_outside_the_main_thread_too():
    found = []
    request = Request(HOSTILE["long_list"])
    thread = threading.Thread(target=lambda: found.extend(parse_all([request], seconds=0.5)))
    thread.start()
    thread.join(10)
    assert found[0].references.reason == "takes longer than 0.5 seconds"


def test_many_queries_come_back_in_their_order():
    requests = [Request(f"select a from t{number}") for number in range(120)]
    parsed = parse_all(requests, processes=2)
    assert [found.references.references[0].table for found in parsed] == [f"t{number}" for number in range(120)]
    assert parse_all([]) == []


def test_a_process_that_died_by_itself_is_replaced():
    worker = _Worker(5)
    try:
        assert worker.parse(Request("select a from t")).references.status is Status.PARSED
        worker.process.kill()
        assert worker.parse(Request("select a from t")).references.status is Status.PARSED
    finally:
        worker.stop()


PIECES = (
    "select ", "from ", "t ", "a.b ", "where ", "(", ")", "'", '"', "`", ";", "--", "/*", "*/", ",", "$$", "\n", "\0",
    "{{ x }}", "{{ @d as d }}", "{% if x %}", "{% else %}", "{% endif %}", "{% form %}", "{% endform %}", "{{", "}}",
    "{% for i in x %}", "{%", "%}", "[rows]", "union all ", "with c as (", "join ", "create table x as ", "use y;",
    "1 ", "\\", "@", "é",
)  # fmt: skip


@pytest.fixture(scope="module")
def worker():
    running = _Worker(5)
    yield running
    running.stop()


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=40).map("".join),
    adapter=st.sampled_from(["jdbc:snowflake", "jdbc:bigquery", "jdbc:postgresql", "jdbc:sqlserver", "?"]),
)
def test_any_text_gets_a_status_in_time(worker, text, adapter):
    found = worker.parse(Request(text, adapter, "db", {"d": text}))
    assert found.references.status in Status
    assert found.seconds < 5
    assert found.references.reason or found.references.status in (Status.PARSED, Status.EMPTY)


def test_lineage_imports_neither_dagster_nor_dlt():
    check = (
        "import sys, mode_dagster.lineage.worker; sys.exit(any(m in sys.modules for m in ('dagster', 'dlt', 'duckdb')))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
