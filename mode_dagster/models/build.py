"""One model in the warehouse: from its SELECT to a table that is what its head says, or to none at all.

Here: what is here works without Dagster.
Not here: reading the files (`header`), assets and checks (`mode_dagster.models`), engines (`warehouse`).
"""

# ruff: noqa: S608 - names come from heads that were checked, SQL from the files of this package

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mode_dagster.models.header import Model
from mode_dagster.models.statement import reads, render
from mode_dagster.warehouse import Warehouse, WarehouseError
from mode_dagster.warehouse.interface import Excerpt
from mode_dagster.warehouse.sql import not_a_key
from mode_dagster.workspace import Workspace


class ModelError(Exception):
    """A model can't be built; the message says what was found and what to do. Trying again doesn't help."""


@dataclass(frozen=True)
class Built:
    """The table that a model became."""

    rows: int
    columns: Mapping[str, str]
    """Name → type, as the destination calls it."""
    sample: Sequence[Sequence[Any]]
    """A few rows."""


SAMPLE_ROWS = 5
VIOLATIONS_SHOWN = 20


def run_model(warehouse: Warehouse, model: Model, workspace: Workspace, now: datetime) -> Built:
    """Makes a model's table anew; when anything fails, the table is as it was before.

    Args:
        now: What `current_timestamp` is.

    Raises:
        ModelError: A table that it reads is missing, its columns are not the documented ones, or the warehouse
            refuses it.
    """
    table = table_name(model, workspace)
    need_tables(warehouse, workspace, f"build {table}", reads(model).tables, reads(model).models)
    select = render(model.sql, workspace, now)
    try:
        _need_documented_columns(model, warehouse.column_names(select))
        with warehouse.transaction():
            if model.kept:
                warehouse.replace_rows(table, select, model.key)
            else:
                warehouse.replace(table, select)
            warehouse.describe(table, model.description, model.columns)
        return _built(warehouse, model, workspace)
    except WarehouseError as error:
        raise ModelError(f"Could not build {table} ({model.path.name}): {error}") from error


def violations(warehouse: Warehouse, model: Model, check: str, workspace: Workspace, now: datetime) -> Excerpt:
    """The rows of a built model that break one of its checks, or its key where `check` is `key_check(model)`.

    Raises:
        ModelError: The table is missing, or the warehouse refuses the condition.
    """
    table = table_name(model, workspace)
    if check == key_check(model):
        wrong = not_a_key(table, model.key)
    else:
        wrong = f"SELECT * FROM {table} WHERE NOT ({render(model.checks[check], workspace, now)})"
    try:
        return warehouse.excerpt(wrong, VIOLATIONS_SHOWN)
    except WarehouseError as error:
        raise ModelError(f"Could not check {check} of {table}: {error}") from error


def key_check(model: Model) -> str:
    """What the check of a model's key is called: `report_token_is_the_key`."""
    return f"{'_and_'.join(model.key)}_is_the_key"


def table_name(model: Model, workspace: Workspace) -> str:
    """Schema and name of a model's table."""
    return f"{workspace.marts}.{model.name}"


def need_tables(
    warehouse: Warehouse, workspace: Workspace, purpose: str, tables: Sequence[str] = (), models: Sequence[str] = ()
) -> None:
    """Refuses to go on where a table is lacking.

    Args:
        purpose: What they are needed for.
        tables: Loaded ones.
        models: Those of `mode_marts`.

    Raises:
        ModelError: One is lacking.
    """
    loaded, built = warehouse.tables(workspace.dataset), warehouse.tables(workspace.marts)
    lacking = {
        **{f"{workspace.dataset}.{name}": workspace.table_key(name) for name in tables if name not in loaded},
        **{f"{workspace.marts}.{name}": workspace.model_key(name) for name in models if name not in built},
    }
    if lacking:
        keys = ", ".join(key.to_user_string() for key in lacking.values())
        raise ModelError(f"Could not {purpose}: there is no table {', '.join(lacking)}. Materialize first: {keys}.")


def _need_documented_columns(model: Model, names: Sequence[str]) -> None:
    documented = list(model.columns)
    if list(names) == documented:
        return
    undocumented = [name for name in names if name not in documented]
    lacking = [name for name in documented if name not in names]
    faults = [
        f"documented, but not in the result: {', '.join(lacking)}" if lacking else "",
        f"in the result, but not documented: {', '.join(undocumented)}" if undocumented else "",
        "" if lacking or undocumented else f"the result has them in this order: {', '.join(names)}",
    ]
    raise ModelError(f"{model.path.name}: `columns:` and the SELECT differ; {'; '.join(filter(None, faults))}")


def _built(warehouse: Warehouse, model: Model, workspace: Workspace) -> Built:
    table = table_name(model, workspace)
    return Built(
        rows=warehouse.query(f"SELECT count(*) FROM {table}").first[0],
        columns=warehouse.types(table),
        sample=warehouse.query(f"SELECT * FROM {table} LIMIT {SAMPLE_ROWS}").rows,
    )
