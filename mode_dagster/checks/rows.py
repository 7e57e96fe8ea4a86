"""Claims about the rows of one table alone, each derived from its row of the catalogue.

Here: keys, times, states, types.
Not here: other tables (`relations`, `counters`), lists (`listings`), how recent the data is (`recency`).
"""

# ruff: noqa: S608 - names come from the catalogue and from the destination itself, never from rows

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from mode_dagster.checks.loaded import SHOWN, Check, Finding, Gravity, Loaded, NotLoadedError, found_wrong
from mode_dagster.contents import showable
from mode_dagster.extract.endpoints import Column, Endpoint
from mode_dagster.warehouse.sql import literal, not_a_key, quoted, sql_time
from mode_dagster.wording import words

SKEW = timedelta(minutes=5)
"""How far Mode's clock may be ahead of ours."""
VARIANT = re.compile(r"(.+)__v_(text|bigint|double|bool|timestamp|date|time|json|decimal|wei|binary)")
"""What dlt calls the column that keeps values of another type."""


def row_checks(endpoint: Endpoint) -> list[Check]:
    """The checks of one table's rows."""
    times = past_times(endpoint)
    return [
        key_check(endpoint.name, endpoint.key),
        *([_time_check(endpoint, times)] if times else []),
        *(_word_check(endpoint, column) for column in endpoint.columns if column.words),
        _variant_check(endpoint.name),
    ]


def key_check(table: str, key: Sequence[str]) -> Check:
    """That a table's key is one."""
    return Check(
        "key_is_unique",
        f"{', '.join(key)}: never empty, never twice.",
        partial(_key, table, key),
        advice="Something other than a load has written rows; delete the doubles.",
        gravity=Gravity.BLOCKS,
    )


def _time_check(endpoint: Endpoint, times: Sequence[str]) -> Check:
    return Check(
        "no_time_in_the_future",
        f"None of {', '.join(times)} is more than {SKEW.seconds // 60} minutes later than when the table was read.",
        partial(_future, endpoint, times),
        advice="A clock is wrong: Mode's, or this machine's.",
    )


def _word_check(endpoint: Endpoint, column: Column) -> Check:
    return Check(
        f"{column.name}s_are_known",
        f"Every {column.name} is one of Mode's words: {', '.join(column.words)}.",
        partial(_unknown, endpoint, column.name, column.words),
        advice="Such rows count as unfinished. Add the word to the catalogue, mode_dagster/extract/endpoints.py.",
    )


def _variant_check(table: str) -> Check:
    return Check(
        "no_value_lost_to_a_type_change",
        "No column has values of another type than documented; dlt keeps such values in `<name>__v_<type>`.",
        partial(_variants, table),
        advice="Nothing is lost: read them from those columns, or mend the type in mode_dagster/extract/endpoints.py.",
    )


def past_times(endpoint: Endpoint) -> list[str]:
    """The columns that say when something happened; what is to happen is called next."""
    times = (column.name for column in endpoint.columns if column.data_type == "timestamp")
    return [column for column in times if not column.startswith("next_")]


def _key(table: str, key: Sequence[str], loaded: Loaded) -> Finding:
    source = loaded.table(table, *key)
    wrong = loaded.wrong(not_a_key(source, key), "times DESC")
    (rows,) = loaded.row(f"SELECT count(*) FROM {source}")
    says = f"{words(wrong.count, 'key')} of {words(rows, 'row')} empty or not unique."
    return found_wrong(wrong, says, {"rows": rows, "rows_wrong": wrong.count})


def _future(endpoint: Endpoint, times: Sequence[str], loaded: Loaded) -> Finding:
    there = [column for column in times if column in loaded.columns(endpoint.name)]
    source = loaded.table(endpoint.name, *endpoint.key)
    if not there:
        raise NotLoadedError(f"the table {endpoint.name} has no time of its own")
    latest = sql_time((loaded.read_at(endpoint.name) or loaded.now) + SKEW)
    late = {column: f"t.{quoted(column)} > {latest}" for column in there}
    named = " || ".join(
        f"CASE WHEN {condition} THEN {literal(f', {column}')} ELSE '' END" for column, condition in late.items()
    )
    values = ", ".join(f"t.{quoted(column)}" for column in there)
    key = ", ".join(f"t.{quoted(column)}" for column in endpoint.key)
    wrong = loaded.wrong(
        f"SELECT {key}, substring({named}, 3) AS columns, greatest({values}) AS latest FROM {source} AS t "
        f"WHERE {loaded.live(endpoint)} AND ({' OR '.join(late.values())})",
        "latest DESC",
    )
    (rows,) = loaded.row(f"SELECT count(*) FROM {source} AS t WHERE {loaded.live(endpoint)}")
    says = f"{words(wrong.count, 'row')} of {rows:,} with a time later than they were read."
    return found_wrong(wrong, says, {"rows": rows, "rows_wrong": wrong.count})


def _unknown(endpoint: Endpoint, column: str, known: Sequence[str], loaded: Loaded) -> Finding:
    source = loaded.table(endpoint.name, column)
    counts = loaded.all(
        f"SELECT {quoted(column)}, count(*), min({quoted(endpoint.key[0])}) FROM {source} GROUP BY 1 ORDER BY 2 DESC"
    )
    rows = sum(count for _, count, _ in counts)
    unknown = [line for line in counts if line[0] is not None and line[0] not in known]
    return Finding(
        passed=not unknown,
        says=f"{words(sum(count for _, count, _ in unknown), 'row')} of {rows:,} with a word that "
        "Mode does not document.",
        numbers={"rows": rows, "rows_without": sum(count for word, count, _ in counts if word is None)}
        | {f"{column}_{word}": count for word, count, _ in counts if word in known},
        columns=[column, "rows", f"for example {endpoint.key[0]}"],
        rows=unknown[:SHOWN],
    )


def _variants(table: str, loaded: Loaded) -> Finding:
    found = loaded.columns(table)
    source = loaded.table(table)
    variants = {c: match[1] for c in sorted(found) if (match := VARIANT.fullmatch(c)) and match[1] in found}
    may_be_shown = showable(table)
    counted = [(column, *loaded.row(_samples(source, column))) for column in variants]
    lost = [
        (column, count, values if variants[column] in may_be_shown else "(not shown)")
        for column, count, values in counted
        if count
    ]
    return Finding(
        passed=not lost,
        says=f"{words(sum(row[1] for row in lost), 'value')} of another type, in {words(len(lost), 'column')}.",
        numbers={"columns": len(lost), "values": sum(row[1] for row in lost)},
        columns=["kept in", "values", "for example"],
        rows=lost[:SHOWN],
    )


def _samples(source: str, column: str) -> str:
    column = quoted(column)
    sample = f"SELECT DISTINCT CAST({column} AS VARCHAR) AS value FROM {source} WHERE {column} IS NOT NULL LIMIT 3"
    return f"SELECT count({column}), (SELECT string_agg(value, ', ') FROM ({sample}) AS samples) FROM {source}"
