"""Which columns of which table a statement reads, where that is certain without knowing any table's columns.

Here: columns qualified with a table or its alias, and unqualified ones where there is only one table to read.
Not here: which names are tables (`sql`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from mode_dagster.lineage.template import NEUTRAL

ALL = "*"
"""Every column: `SELECT *`."""


def columns_read(expression: exp.Expr, variables: Collection[str]) -> Mapping[int, set[str]]:
    """Columns by the id() of the table's node; a statement that can't be resolved has none.

    Args:
        variables: What the script has declared.
    """
    found: dict[int, set[str]] = defaultdict(set)
    # ClickHouse's `WITH 5 AS x` is no table
    values = {cte.alias for cte in expression.find_all(exp.CTE) if cte.args.get("scalar")}.union(variables)
    try:
        for scope in traverse_scope(expression):
            sources = {name: node for name, (node, _) in scope.selected_sources.items()}
            for column in [*scope.columns, *_stars(scope)]:
                if isinstance(column, exp.Column) and not column.table and column.name in values:
                    continue
                for name, node in _read_from(column, sources, scope):
                    found[id(node)].add(name)
    except Exception:  # an ambiguous alias, or a statement that sqlglot has no scopes for: its tables are known anyway
        return {}
    return found


def _stars(scope: Scope) -> Iterator[exp.Expr]:
    """`*` and `t.*` among what is selected; that of count(*) is neither."""
    if isinstance(scope.expression, exp.Select):
        yield from (item for item in scope.expression.expressions if item.is_star)


def _read_from(column: exp.Expr, sources: Mapping[str, exp.Expr], scope: Scope) -> Iterator[tuple[str, exp.Expr]]:
    if isinstance(column, exp.Star):
        yield from ((ALL, node) for node in sources.values())
        return
    names = [part.name for part in column.parts] if isinstance(column, exp.Column) else []
    if NEUTRAL in (name.lower() for name in names):
        return
    for place, name in enumerate(names[:-1]):
        # a struct's field comes after the column, a schema before the table
        if name in sources:
            yield names[place + 1], sources[name]
            return
    if len(names) == 1 and len(sources) == 1 and _is_column_here(column, scope):
        yield names[0], next(iter(sources.values()))


def _is_column_here(column: exp.Expr, scope: Scope) -> bool:
    """Whether an unqualified name is a column of what this very SELECT reads, and not an alias or a placeholder."""
    if column.parent_select is not scope.expression or column.find_ancestor(exp.Limit, exp.Offset, exp.Fetch):
        return False
    for item in scope.expression.expressions:
        if isinstance(item, exp.Alias) and item.alias == column.name:
            # `date_trunc('day', day) AS day` reads the column; elsewhere `day` may mean either
            return column.find_ancestor(exp.Alias) is item
    return True
