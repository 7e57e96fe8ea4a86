"""Whether rows name rows of other tables that exist.

Here: what a row hangs on (the path that it was read from), and what else it points to.
Not here: how many rows hang on another one (`counters`).
"""

# ruff: noqa: S608 - names come from the catalogue and from the destination itself, never from rows

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from mode_dagster.checks.loaded import Check, Finding, Gravity, Loaded, NotLoadedError, found_wrong
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint
from mode_dagster.warehouse.sql import literal, quoted
from mode_dagster.wording import words

ALSO = {endpoint.parent: endpoint.main_route.also for endpoint in ENDPOINTS if endpoint.main_route.also}
"""Tables that a parent's name may mean too: a dataset is a report of its own type, and has queries as one."""


@dataclass(frozen=True)
class Relation:
    """A column that names a row of another table."""

    column: str
    table: str
    target: str
    required: bool
    """Whether every row must name one."""


def relation_checks(endpoint: Endpoint) -> list[Check]:
    """The checks of what a table's rows hang on and point to."""
    parents, references = relations(endpoint)
    live = "" if endpoint.history else ", and not one that is gone from Mode"
    checks = [
        Check(
            "has_its_parent",
            f"Every row's {_columns(parents)} is a row of {_tables(parents)}{live}.",
            partial(_orphans, endpoint, parents),
            advice="Materialize the tables that they name; if that doesn't help, run the reconciling job.",
            gravity=Gravity.FAILS,
        ),
        Check(
            "points_to_what_exists",
            f"Every row's {_columns(references)}, where there is one, is a row of {_tables(references)}.",
            partial(_orphans, endpoint, references),
            advice="Mode still names what was deleted, or this API token can't see it.",
        ),
    ]
    return [check for check, related in zip(checks, (parents, references), strict=True) if related]


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


def _columns(related: Sequence[Relation]) -> str:
    return " and ".join(relation.column for relation in related)


def _tables(related: Sequence[Relation]) -> str:
    return " and ".join(dict.fromkeys(relation.table for relation in related))


def _orphans(endpoint: Endpoint, related: Sequence[Relation], loaded: Loaded) -> Finding:
    source = loaded.table(endpoint.name, *endpoint.key)
    known = [relation for relation in related if _is_comparable(endpoint, relation, loaded)]
    if not known:
        raise NotLoadedError(f"there is nothing to compare with in {_tables(related)}")
    wrong = loaded.wrong(" UNION ALL ".join(_orphan_rows(endpoint, relation, source, loaded) for relation in known))
    (rows,) = loaded.row(f"SELECT count(*) FROM {source} AS t WHERE {loaded.live(endpoint)}")
    says = f"{words(wrong.count, 'name')} in {words(rows, 'row')} lead nowhere."
    return found_wrong(wrong, says, {"rows": rows, "names_wrong": wrong.count})


def _is_comparable(endpoint: Endpoint, relation: Relation, loaded: Loaded) -> bool:
    """Whether the other table was read: an optional one that is empty was perhaps refused."""
    tables = {relation.table, ALSO.get(relation.table, relation.table)} if relation.required else {relation.table}
    if any(relation.target not in loaded.columns(table) for table in tables):
        return False
    if relation.column not in loaded.columns(endpoint.name):
        return False
    (some,) = loaded.row(f"SELECT count(*) > 0 FROM {loaded.table(relation.table)}")
    return relation.required or bool(some)


def _orphan_rows(endpoint: Endpoint, relation: Relation, source: str, loaded: Loaded) -> str:
    key = ", ".join(f"t.{quoted(column)}" for column in endpoint.key)
    column = f"t.{quoted(relation.column)}"
    named = "TRUE" if relation.required else f"{column} IS NOT NULL"
    nowhere = " AND ".join(
        f"NOT EXISTS ({_named(endpoint, relation, table, loaded)})"
        for table in (relation.table, ALSO.get(relation.table, ""))
        if relation.target in loaded.columns(table)
    )
    return (
        f"SELECT {key}, {literal(relation.column)} AS lacking, {column} AS names FROM {source} AS t "
        f"WHERE {loaded.live(endpoint)} AND {named} AND {nowhere}"
    )


def _named(endpoint: Endpoint, relation: Relation, table: str, loaded: Loaded) -> str:
    """A SELECT of the row that a row `t` names; history may name what is gone."""
    exists = "TRUE" if endpoint.history else loaded.live(BY_NAME[table], "p")
    column = f"t.{quoted(relation.column)}"
    return f"SELECT 1 FROM {loaded.table(table)} AS p WHERE p.{relation.target} = {column} AND {exists}"
