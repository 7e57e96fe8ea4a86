"""Claims about the rows of one table, each derived from its row of the catalogue.

Here: keys, parents, references, types, times, states, what left a listing, what Mode refused.
Not here: Mode's own counters (`counters`), how recent the data is (`recency`).
"""

# ruff: noqa: S608 - names come from the catalogue and from the destination itself, never from rows

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from mode_dagster.checks.loaded import (
    SHOWN,
    Check,
    Finding,
    Gravity,
    Loaded,
    NotLoadedError,
    Wrong,
    key_of,
    moment,
    quoted,
    text,
    words,
)
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint
from mode_dagster.extract.ledger import LEDGER, REFUSED
from mode_dagster.extract.walk import SHRUNK, SHRUNK_FROM

SKEW = timedelta(minutes=5)
"""How far Mode's clock may be ahead of ours."""
VARIANT = re.compile(r"(.+)__v_(text|bigint|double|bool|timestamp|date|time|json|decimal|wei|binary)")
"""What dlt calls the column that keeps values of another type."""


def row_checks(endpoint: Endpoint) -> list[Check]:
    """The checks of one table."""
    parents, references = relations(endpoint)
    checks = [key_check(endpoint.name)]
    if parents:
        checks.append(
            Check(
                "has_its_parent",
                f"Every row's {' and '.join(relation.column for relation in parents)} is a row of "
                f"{' and '.join(relation.table for relation in parents)}"
                f"{'' if endpoint.history else ', and not one that is gone from Mode'}.",
                partial(_orphans, endpoint, parents),
                Gravity.FAILS,
            )
        )
    if references:
        checks.append(
            Check(
                "points_to_what_exists",
                f"Every row's {' and '.join(relation.column for relation in references)}, where there is one, is "
                f"a row of {' and '.join(relation.table for relation in references)}; Mode keeps pointers to what was "
                "deleted.",
                partial(_orphans, endpoint, references),
            )
        )
    if not endpoint.history:
        checks.append(
            Check(
                "listing_did_not_shrink",
                f"The latest sync found less than {1 - SHRUNK:.0%} of the rows gone (from {SHRUNK_FROM} rows on).",
                partial(_gone, endpoint),
            )
        )
    if times := past_times(endpoint):
        checks.append(
            Check(
                "no_time_in_the_future",
                f"No {', '.join(times)} is later than when it was read.",
                partial(_future, endpoint, times),
            )
        )
    checks += [
        Check(
            f"{column.name}s_are_known",
            f"Every {column.name} is one of Mode's words: {', '.join(column.words)}.",
            partial(_unknown, endpoint, column.name, column.words),
        )
        for column in endpoint.columns
        if column.words
    ]
    return [*checks, variant_check(endpoint.name)]


def ledger_checks() -> list[Check]:
    """The checks of the ledger's rows."""
    readable = Check(
        "lists_were_readable",
        "Mode refused no table altogether (403, 404 …); single lists that it refused are counted.",
        _refused,
    )
    return [key_check(LEDGER), readable]


def key_check(table: str) -> Check:
    """That a table's key is one."""
    return Check(
        "key_is_unique",
        f"{', '.join(key_of(table))}: never empty, never twice.",
        partial(_key, table),
        Gravity.BLOCKS,
    )


def variant_check(table: str) -> Check:
    """That no column has values of another type than documented."""
    return Check(
        "no_value_lost_to_a_type_change",
        "No column has values of another type than before; dlt keeps such values in a column <name>__v_<type>.",
        partial(_variants, table),
    )


@dataclass(frozen=True)
class Relation:
    """A column that names a row of another table."""

    column: str
    table: str
    target: str
    required: bool
    """Whether every row must name one."""


def relations(endpoint: Endpoint) -> tuple[list[Relation], list[Relation]]:
    """What the rows hang on, by the path that they were read from; and what else they point to.

    History points to what may have been deleted before the first load, so only its parents are looked for.
    """
    nouns = {f"{other.noun}_token": other.name for other in ENDPOINTS}
    parents = [Relation(c, nouns[c], "token", required=True) for c in endpoint.list_columns if c in nouns]
    own = {column.name for column in endpoint.columns}
    references = [
        Relation(column, name, target, required=False)
        for name in endpoint.references
        for target in ("token", "id")
        if (column := f"{BY_NAME[name].noun}_{target}") in own and not endpoint.history
    ]
    return parents, references


def past_times(endpoint: Endpoint) -> list[str]:
    """The columns that say when something happened; what is to happen is called next."""
    times = (column.name for column in endpoint.columns if column.data_type == "timestamp")
    return [column for column in times if not column.startswith("next_")]


def _key(table: str, loaded: Loaded) -> Finding:
    key = key_of(table)
    source = loaded.table(table, *key)
    columns = ", ".join(map(quoted, key))
    empty = " OR ".join(f"{quoted(column)} IS NULL" for column in key)
    wrong = loaded.wrong(
        f"SELECT {columns}, count(*) AS times FROM {source} GROUP BY {columns} HAVING count(*) > 1 OR {empty}",
        "times DESC",
    )
    (rows,) = loaded.row(f"SELECT count(*) FROM {source}")
    says = f"{words(wrong.count, 'key')} of {words(rows, 'row')} empty or not unique."
    return _finding(wrong, says, rows)


def _orphans(endpoint: Endpoint, related: Sequence[Relation], loaded: Loaded) -> Finding:
    source = loaded.table(endpoint.name, *endpoint.key)
    known = [relation for relation in related if _is_comparable(endpoint, relation, loaded)]
    if not known:
        tables = " and ".join(relation.table for relation in related)
        raise NotLoadedError(f"there is nothing to compare with in {tables}")
    wrong = loaded.wrong(" UNION ALL ".join(_orphan_rows(endpoint, relation, source, loaded) for relation in known))
    (rows,) = loaded.row(f"SELECT count(*) FROM {source} AS t WHERE {loaded.live(endpoint)}")
    return _finding(wrong, f"{words(wrong.count, 'row')} of {rows:,} without what they name.", rows)


def _is_comparable(endpoint: Endpoint, relation: Relation, loaded: Loaded) -> bool:
    """Whether the other table was read: an optional one that is empty was perhaps refused."""
    if relation.target not in loaded.columns(relation.table) or relation.column not in loaded.columns(endpoint.name):
        return False
    (some,) = loaded.row(f"SELECT count(*) > 0 FROM {loaded.table(relation.table)}")
    return relation.required or bool(some)


def _orphan_rows(endpoint: Endpoint, relation: Relation, source: str, loaded: Loaded) -> str:
    key = ", ".join(f"t.{quoted(column)}" for column in endpoint.key)
    column = f"t.{quoted(relation.column)}"
    exists = "TRUE" if endpoint.history else loaded.live(BY_NAME[relation.table], "p")
    found = f"SELECT 1 FROM {loaded.table(relation.table)} AS p WHERE p.{relation.target} = {column} AND {exists}"
    named = "TRUE" if relation.required else f"{column} IS NOT NULL"
    return (
        f"SELECT {key}, {text(relation.column)} AS lacking, {column} AS names FROM {source} AS t "
        f"WHERE {loaded.live(endpoint)} AND {named} AND NOT EXISTS ({found})"
    )


def _gone(endpoint: Endpoint, loaded: Loaded) -> Finding:
    source = loaded.table(endpoint.name, *endpoint.key, "deleted_at")
    since = loaded.read_at(*_line(endpoint))
    if since is None:
        raise NotLoadedError("the ledger knows nothing of this table")
    just_gone = f"deleted_at >= {moment(since)}"
    live, gone = loaded.row(f"SELECT count(*) FILTER (deleted_at IS NULL), count(*) FILTER ({just_gone}) FROM {source}")
    there = loaded.columns(endpoint.name)
    labels = [column for column in ("name", "title", "report_token") if column in there]
    columns = ", ".join(map(quoted, dict.fromkeys([*endpoint.key, *labels, "deleted_at"])))
    wrong = loaded.wrong(f"SELECT {columns} FROM {source} WHERE {just_gone}")
    before = live + gone
    return Finding(
        passed=before < SHRUNK_FROM or gone <= (1 - SHRUNK) * before,
        says=f"{gone:,} of {words(before, 'row')} gone in the latest sync.",
        numbers={"rows_live": live, "rows_gone": gone},
        columns=wrong.columns,
        rows=wrong.rows,
    )


def _line(endpoint: Endpoint) -> list[str]:
    """A table and all above it: what is gone there takes its rows along."""
    above = BY_NAME.get(endpoint.parent or "")
    return [endpoint.name, *(_line(above) if above else [])]


def _future(endpoint: Endpoint, times: Sequence[str], loaded: Loaded) -> Finding:
    there = [column for column in times if column in loaded.columns(endpoint.name)]
    source = loaded.table(endpoint.name, *endpoint.key)
    if not there:
        raise NotLoadedError(f"the table {endpoint.name} has no time of its own")
    latest = moment((loaded.read_at(endpoint.name) or loaded.now) + SKEW)
    late = {column: f"t.{quoted(column)} > {latest}" for column in there}
    named = ", ".join(f"CASE WHEN {condition} THEN {text(column)} END" for column, condition in late.items())
    values = ", ".join(f"t.{quoted(column)}" for column in there)
    key = ", ".join(f"t.{quoted(column)}" for column in endpoint.key)
    wrong = loaded.wrong(
        f"SELECT {key}, concat_ws(', ', {named}) AS columns, greatest({values}) AS latest FROM {source} AS t "
        f"WHERE {loaded.live(endpoint)} AND ({' OR '.join(late.values())})",
        "latest DESC",
    )
    (rows,) = loaded.row(f"SELECT count(*) FROM {source} AS t WHERE {loaded.live(endpoint)}")
    return _finding(wrong, f"{words(wrong.count, 'row')} of {rows:,} with a time later than they were read.", rows)


def _unknown(endpoint: Endpoint, column: str, known: Sequence[str], loaded: Loaded) -> Finding:
    source = loaded.table(endpoint.name, column)
    counts = loaded.all(
        f"SELECT {quoted(column)}, count(*), min({quoted(endpoint.key[0])}) FROM {source} GROUP BY 1 ORDER BY 2 DESC"
    )
    unknown = [row for row in counts if row[0] is not None and row[0] not in known]
    return Finding(
        passed=not unknown,
        says=f"{words(sum(row[1] for row in unknown), 'row')} of {sum(row[1] for row in counts):,} with a word that "
        "Mode does not document.",
        numbers={"rows": sum(row[1] for row in counts), "rows_without": sum(row[1] for row in counts if row[0] is None)}
        | {f"{column}_{word}": count for word, count, _ in counts if word in known},
        columns=[column, "rows", f"for example {endpoint.key[0]}"],
        rows=unknown[:SHOWN],
    )


def _variants(table: str, loaded: Loaded) -> Finding:
    found = loaded.columns(table)
    source = loaded.table(table)
    variants = sorted(c for c in found if (match := VARIANT.fullmatch(c)) and match[1] in found)
    rows = [(column, *loaded.row(_samples(source, column))) for column in variants]
    lost = [row for row in rows if row[1]]
    return Finding(
        passed=not lost,
        says=f"{words(sum(row[1] for row in lost), 'value')} of another type, in {words(len(lost), 'column')}.",
        numbers={"columns": len(lost), "values": sum(row[1] for row in lost)},
        columns=["kept in", "values", "for example"],
        rows=lost[:SHOWN],
    )


def _samples(source: str, column: str) -> str:
    sample = f"SELECT DISTINCT CAST({quoted(column)} AS VARCHAR) AS value FROM {source} WHERE value IS NOT NULL LIMIT 3"
    return f"SELECT count({quoted(column)}), (SELECT string_agg(value, ', ') FROM ({sample})) FROM {source}"


def _refused(loaded: Loaded) -> Finding:
    by_table = loaded.all(
        f"SELECT endpoint, count(*) AS lists, count(*) FILTER (outcome = {text(REFUSED)}) AS refused, "
        f"string_agg(DISTINCT 'HTTP ' || http_status, ', ') AS statuses FROM {loaded.ledger()} GROUP BY endpoint "
        "HAVING refused > 0 ORDER BY refused = lists DESC, refused DESC"
    )
    (lists,) = loaded.row(f"SELECT count(*) FROM {loaded.ledger()}")
    refused = sum(row[2] for row in by_table)
    entirely = [row[0] for row in by_table if row[1] == row[2]]
    return Finding(
        passed=not entirely,
        says=f"{refused:,} of {words(lists, 'list')} refused"
        + (f"; nothing at all could be read of {', '.join(entirely)}." if entirely else "."),
        numbers={
            "lists": lists,
            "lists_refused": refused,
            "share_refused": round(refused / lists, 4) if lists else 0.0,
        },
        columns=["table", "lists", "refused", "answered"],
        rows=by_table[:SHOWN],
    )


def _finding(wrong: Wrong, says: str, rows: int) -> Finding:
    return Finding(
        passed=not wrong.count,
        says=says,
        numbers={"rows": rows, "rows_wrong": wrong.count},
        columns=wrong.columns,
        rows=wrong.rows,
    )
