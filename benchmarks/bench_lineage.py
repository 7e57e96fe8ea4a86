"""How much of varied queries is understood, how fast, and what DataHub's Mode source finds in the same sandbox.

`python benchmarks/bench_lineage.py [--queries 10000] [--datahub-venv PATH]`

First, made-up queries in five dialects, each built from parts that name known tables, are parsed as the asset does it;
what is found is compared with what was put in. Then, with `--datahub-venv`, DataHub's Mode source (installed at PATH
at the first use, see bench_peers.py) and this project read the same sandbox, and their table references are compared.
"""

import argparse
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from bench_peers import RUN_RECIPE, UNLIMITED, install_datahub, recipe, settings

from mode_dagster.lineage import Request, Status, parse_all
from mode_dagster.references.tables import answer_all, loaded_queries
from mode_dagster.sandbox import Sandbox, SandboxOptions
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace

DIALECTS = ("snowflake", "bigquery", "postgresql", "redshift", "databricks")
SCHEMAS = ("sales", "web", "finance", "support", "Core_Data")
TABLES = (
    "orders",
    "customers",
    "refunds",
    "sessions",
    "events",
    "tickets",
    "invoices",
    "plans",
    "regions",
    "campaigns",
)
COLUMNS = ("id", "customer_id", "amount", "status", "created_at", "region", "channel", "quantity", "country", "plan")
DEFINITIONS = {
    f"def_{schema.lower()}_{table}": f"select id, customer_id, amount from {schema}.{table} where status <> 'x' -- live"
    for schema in SCHEMAS
    for table in TABLES[:4]
}
FORM = """
{% form %}
country:
  type: select
  default: all
  options: [[Everywhere, all], [Germany, DE], [Kenya, KE]]
since:
  type: date
  default: 2024-01-01
{% endform %}"""


@dataclass
class Text:
    """One query in the making, and the tables that it names."""

    dice: random.Random
    dialect: str
    named: set[str] = field(default_factory=set)

    def table(self) -> str:
        schema, table = self.dice.choice(SCHEMAS), self.dice.choice(TABLES)
        self.named.add(f"{schema}.{table}".lower())
        quote = {"bigquery": "`", "databricks": "`"}.get(self.dialect)
        if quote and self.dice.random() < 0.3:
            return f"{quote}{schema}{quote}.{quote}{table}{quote}"
        return f"{schema}.{table}"

    def include(self) -> str:
        name = self.dice.choice(list(DEFINITIONS))
        self.named.add(re.search(r"from (\S+)", DEFINITIONS[name])[1].lower())
        return f"{{{{ @{name} as d }}}}"

    def column(self) -> str:
        return self.dice.choice(COLUMNS)

    def some(self, low: int, high: int, alias: str = "") -> str:
        chosen = self.dice.sample(COLUMNS, self.dice.randint(low, high))
        return ", ".join(f"{alias}{name}" for name in chosen)


def joins(text: Text) -> str:
    sql = f"select {text.some(1, 4, 'a.')}, count(*) as n, sum(b.amount) as total\nfrom {text.table()} a"
    for number, alias in enumerate("bcdef"[: text.dice.randint(1, 5)]):
        kind = text.dice.choice(("join", "left join", "inner join", "full outer join"))
        on = f"{alias}.{text.column()} = a.{text.column()}" if number else "b.customer_id = a.id"
        sql += f"\n{kind} {text.table()} as {alias} on {on} and {alias}.status in ('x', 'y')"
    return f"{sql}\nwhere a.created_at >= '2024-01-01' and a.{text.column()} is not null\ngroup by 1\norder by 2 desc"


def ctes(text: Text) -> str:
    steps = text.dice.randint(2, 6)
    parts = [f"s0 as (\n  select {text.some(3, 6)}, id as k from {text.table()}\n)"]
    for step in range(1, steps):
        source = f"s{text.dice.randrange(step)}"
        parts.append(
            f"s{step} as (\n  select p.*, q.{text.column()} as c{step} from {source} p "
            f"join {text.table()} q on q.id = p.k where q.amount > {step} -- step {step}\n)"
        )
    return f"with {', '.join(parts)}\nselect count(distinct k) as n, max(k) as k from s{steps - 1}"


def windows(text: Text) -> str:
    over = f"over (partition by {text.column()} order by {text.column()} desc)"
    select = f"select {text.some(2, 5)}, row_number() {over} as rn, lag(amount) {over} as before from {text.table()}"
    if text.dialect in ("snowflake", "bigquery", "databricks") and text.dice.random() < 0.6:
        return f"{select}\nqualify rn = 1"
    return f"select * from (\n{select}\n) ranked where rn <= 3 and before > 0"


def liquid(text: Text) -> str:
    return (
        "{% assign cutoff = '2024-01-01' %}\n"
        f"select o.id, o.amount from {text.table()} o\n"
        f"{{% if country != 'all' %}} join {text.table()} c on c.id = o.customer_id\n"
        f"{{% elsif deep %}} join {text.table()} c on c.id = o.id {{% endif %}}"
        "where o.created_at >= '{{ since }}' and o.country = '{{ country }}' and o.amount > {{ minimum }}\n"
        "and o.created_at > '{{ cutoff }}'\n"
        "{% for name in names %} or o.status = '{{ name }}' {% endfor %}" + FORM
    )


def definitions(text: Text) -> str:
    if text.dice.random() < 0.5:
        base = f"with base as (select * from {text.include()})"
        return f"{base}\nselect b.amount from base b join {text.table()} t on t.id = b.id"
    return f"select d.id, t.{text.column()} from {text.include()} join {text.table()} t on t.id = d.customer_id"


def script(text: Text) -> str:
    made = f"tmp_{text.dice.randrange(100)}"
    making = "create temp table" if text.dialect != "databricks" else "create or replace temporary view"
    return (
        f"{making} {made} as\n select id, {text.column()} as v from {text.table()};\n"
        f"select m.v, count(*) from {made} m join {text.table()} t on t.id = m.id group by m.v;"
    )


def unions(text: Text) -> str:
    parts = [f"select '{n}' as part, {text.column()} as v from {text.table()}" for n in range(text.dice.randint(2, 6))]
    return "\nunion all\n".join(parts)


def subqueries(text: Text) -> str:
    return (
        f"select {text.some(1, 3, 'o.')}, (select max(x.amount) from {text.table()} x where x.id = o.id) as top\n"
        f"from {text.table()} o where o.customer_id in (select id from {text.table()} where status = 'live')\n"
        f"and exists (select 1 from {text.table()} r where r.id = o.id and r.amount between 1 and 10)\n"
        "and case when o.status = 'a' then 1 when o.status like '%b_c%' then 2 else 0 end > 0"
    )


OWN = {
    "snowflake": (
        "select t.payload:items[0].name::string as n, f.value:id::int from {0} t, "
        "lateral flatten(input => t.payload:items) f",
        "select region, sum(iff(status = 'x', amount, 0)), listagg(distinct plan, ',') within group (order by plan) "
        "from {0} at (offset => -60) where created_at > dateadd('day', -7, current_date) group by all",
        "select * from {0} pivot (sum(amount) for region in ('n', 's')) as p",
        "use schema public; select object_construct('a', amount), try_to_number(plan) from {0} sample (10)",
    ),
    "bigquery": (
        "select * except (amount), safe_divide(amount, 2) from {0} t, unnest(t.items) as item with offset o",
        "select date_trunc(created_at, week(monday)), approx_quantiles(amount, 100)[offset(50)] from {0} group by 1",
        "declare x int64 default 3; select struct(id as a, amount as b).a, array_agg(plan ignore nulls limit 5) "
        "from {0}",
        "select format_date('%Y', date(created_at)), countif(status = 'x') from {0} "
        "where regexp_contains(plan, r'^a\\d+') group by 1",
    ),
    "postgresql": (
        "select data->>'a' as a, data #>> '{{b,c}}' from {0} where data @> '{{\"x\": 1}}'::jsonb and plan ~* '^a'",
        "select g.d, count(*) filter (where t.status = 'x') from generate_series(now() - interval '7 days', now(), "
        "'1 day') g(d) left join {0} t on t.created_at::date = g.d::date group by 1",
        "select distinct on (region) region, amount from {0} order by region, created_at desc nulls last",
        "select percentile_cont(0.5) within group (order by amount), array_agg(plan order by id) from {0} t, "
        "lateral (select t.amount * 2 as twice) l",
    ),
    "redshift": (
        "select listagg(plan, ', ') within group (order by plan), dateadd(day, -7, getdate()) from {0} group by region",
        "select json_extract_path_text(plan, 'a'), datediff(hour, created_at, sysdate), nvl(amount, 0) from {0}",
        "select approximate count(distinct customer_id), convert_timezone('UTC', created_at) from {0} group by 2",
        "select ratio_to_report(amount) over (partition by region), decode(status, 'a', 1, 0) from {0}",
    ),
    "databricks": (
        "select e.col, t.amount from {0} t lateral view explode(split(t.plan, ',')) e as col",
        "select plan:items[0].name, from_json(plan, 'a int'), date_add(created_at, 7) from {0} version as of 3",
        "select transform(array(1, 2), x -> x + amount), collect_set(plan) from {0} group by region",
        "select /*+ broadcast(t) */ percentile_approx(amount, 0.5), try_cast(plan as int) "
        "from {0} t tablesample (5 percent)",
    ),
}


def own(text: Text) -> str:
    return text.dice.choice(OWN[text.dialect]).format(text.table())


def many(count: int) -> Iterator[tuple[Text, Request]]:
    parts = (joins, ctes, windows, liquid, definitions, script, unions, subqueries, own)
    for number in range(count):
        text = Text(random.Random(number), DIALECTS[number % len(DIALECTS)])
        sql = parts[number // len(DIALECTS) % len(parts)](text)
        yield text, Request(sql, f"jdbc:{text.dialect}", "prod", DEFINITIONS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--datahub-venv", type=Path, help="compare with DataHub, installed there")
    options = parser.parse_args()
    varied(options.queries)
    if options.datahub_venv:
        compare(options.datahub_venv)


def varied(count: int) -> None:
    queries = list(many(count))
    began = time.monotonic()
    parsed = parse_all([request for _, request in queries])
    wall = time.monotonic() - began
    print("| dialect | queries | parsed | partial | failed | tables right | p50 ms | p95 ms | longest ms |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for dialect in (*DIALECTS, "all"):
        chosen = [
            (text, found) for (text, _), found in zip(queries, parsed, strict=True) if dialect in (text.dialect, "all")
        ]
        row(dialect, chosen)
    print(f"\n{count:,} queries in {wall:.1f} s ({count / wall:,.0f} a second) with {os.cpu_count()} processes.")
    reasons = Counter(
        (text.dialect, found.references.reason)
        for (text, _), found in zip(queries, parsed, strict=True)
        if found.references.reason
    )
    for (dialect, reason), times in reasons.most_common(10):
        print(f"- {times:,} x {dialect}: {reason}")


def row(dialect: str, chosen: list) -> None:
    share = Counter(found.references.status for _, found in chosen)
    right = sum(
        {f"{each.schema}.{each.table}".lower() for each in found.references.references} == text.named
        for text, found in chosen
    )
    took = sorted(found.seconds * 1_000 for _, found in chosen)
    cells = [
        dialect,
        f"{len(chosen):,}",
        *(f"{share[status] / len(chosen):.1%}" for status in (Status.PARSED, Status.PARTIAL, Status.FAILED)),
        f"{right / len(chosen):.1%}",
        *(f"{took[int(part * (len(took) - 1))]:.1f}" for part in (0.5, 0.95, 1)),
    ]
    print(f"| {' | '.join(cells)} |")


def compare(datahub: Path) -> None:
    install_datahub(datahub)
    size = SandboxOptions(reports=100, rate_limit_requests=UNLIMITED)
    with Sandbox(size) as sandbox, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        where = {**os.environ, **settings(sandbox, folder)}
        for command in (
            [sys.executable, "-m", "mode_dagster.extract", "reports", "queries", "data_sources", "definitions"],
            [str(datahub / "bin/python"), "-c", RUN_RECIPE, recipe(sandbox, folder)],
        ):
            subprocess.run(command, env=where, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        ours, theirs = our_references(folder), their_references(folder)
    print("\n| query | how many | ours | DataHub | only ours | only DataHub |\n|---|--:|--:|--:|---|---|")
    for query, found in sorted(ours.items()):
        both = [(mine, theirs.get(key, set())) for key, mine in found.items()]
        numbers = [len(both), sum(len(mine) for mine, _ in both), sum(len(other) for _, other in both)]
        only = [listed(mine - other for mine, other in both), listed(other - mine for mine, other in both)]
        print(f"| {' | '.join(map(str, [query, *numbers, *only]))} |")


def listed(tables: Iterable[set[str]]) -> str:
    counted = Counter(itertools.chain.from_iterable(tables))
    return ", ".join(f"{times} x {table}" for table, times in sorted(counted.items())) or "-"


def our_references(folder: Path) -> Mapping[str, Mapping[str, set[str]]]:
    """Query's name → its id → tables, from what `python -m mode_dagster.extract` loaded, as the asset finds them."""
    with duckdb.connect(str(folder / "mode_analytics.duckdb")) as connection:
        known = connection.execute("SELECT token, name, id FROM mode_analytics_data.queries").fetchall()
        queries = loaded_queries(DuckDBWarehouse(connection), Workspace())
    answers = answer_all(queries, {}, datetime.now(UTC))
    names = {token: (name, key) for token, name, key in known}
    found: dict[str, dict[str, set[str]]] = defaultdict(dict)
    for query in queries:
        name, key = names[query.token]
        found[name][key] = {
            ".".join(filter(None, (each.database, each.schema, each.table))).lower()
            for each in answers[query.text_hash].references.references
        }
    return found


def their_references(folder: Path) -> Mapping[str, set[str]]:
    """Query's id → tables upstream of it, from the events that DataHub would send."""
    events = json.loads((folder / "datahub.json").read_text())
    return {
        re.search(r"dataPlatform:mode,(\w+),", event["entityUrn"])[1]: {
            re.search(r"dataPlatform:\w+,(.+),PROD", upstream["dataset"])[1].lower()
            for upstream in event["aspect"]["json"]["upstreams"]
        }
        for event in events
        if event.get("aspectName") == "upstreamLineage"
    }


if __name__ == "__main__":
    main()
