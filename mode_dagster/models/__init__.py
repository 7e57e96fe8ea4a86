"""SQL models: each .sql file of this folder is a table of the schema `mode_marts`, an asset and its checks.

Here: the files as Dagster assets and asset checks.
Not here: reading a file's head (`header`), what its SQL reads (`statement`), making the table (`build`), what all
assets of that schema share (`mart`), the models themselves (*.sql).
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg

from mode_dagster.markdown import markdown_table
from mode_dagster.models.build import Built, ModelError, key_check, run_model, table_name, violations
from mode_dagster.models.header import Model, read_model
from mode_dagster.models.mart import RETRY, mart_spec, model_as_failure
from mode_dagster.models.statement import column_lineage, reads, render
from mode_dagster.resources import WarehouseResource
from mode_dagster.translator import code_reference, table_schema
from mode_dagster.warehouse.interface import Excerpt
from mode_dagster.workspace import MARTS, Workspace

__all__ = [
    "MODELS",
    "Model",
    "ModelError",
    "build_model_checks",
    "build_models",
    "read_models",
    "render",
    "run_model",
]


def read_models(folder: Path) -> Mapping[str, Model]:
    """The models of a folder by name, each after those that it reads.

    Raises:
        ValueError: A file is not as it has to be, or models read each other in a circle.
    """
    models = {model.name: model for model in map(read_model, sorted(folder.glob("*.sql")))}
    graph = {model.name: [name for name in reads(model).models if name in models] for model in models.values()}
    try:
        return {name: models[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        raise ValueError(f"Models read each other in a circle: {' → '.join(error.args[1])}") from None


MODELS: Mapping[str, Model] = read_models(Path(__file__).parent)


def build_models(workspace: Workspace, models: Mapping[str, Model] = MODELS) -> list[dg.AssetsDefinition]:
    """One asset for each model."""
    return [_asset(model, workspace, models) for model in models.values()]


def build_model_checks(workspace: Workspace, models: Mapping[str, Model] = MODELS) -> list[dg.AssetChecksDefinition]:
    """One step for each model with all its checks: that the key is one (blocking), and what its head says must hold."""
    return [_checks(model, workspace) for model in models.values()]


def _asset(model: Model, workspace: Workspace, models: Mapping[str, Model]) -> dg.AssetsDefinition:
    # what the page says before and after a run alike
    about = {"question": model.question, "dagster/table_name": table_name(model, workspace)}
    code = code_reference(model.path, model.line)
    spec = mart_spec(
        workspace,
        model.name,
        "sql",
        deps=_upstream(model, workspace),
        description=f"{model.description}\n\nOne row: {model.grain}.\n\nAnswers: {model.question}",
        metadata={**about, "dagster/column_schema": _column_schema(model, {}), **code},
        code_version=hashlib.sha256(model.sql.encode()).hexdigest()[:12],
    )

    @dg.multi_asset(
        name=spec.key.to_python_identifier(), description=spec.description, specs=[spec], retry_policy=RETRY
    )
    def build(context: dg.AssetExecutionContext, mode_warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
        began = time.monotonic()
        with model_as_failure(), mode_warehouse.open(workspace) as warehouse:
            built = run_model(warehouse, model, workspace, _start(context.instance, context.run))
        numbers = _numbers(model, built, time.monotonic() - began)
        # not in the spec, because it would make loading the definitions a second slower
        numbers["dagster/column_lineage"] = _column_lineage(model, workspace, models)
        return dg.MaterializeResult(metadata={**about, **numbers})

    return build


def _checks(model: Model, workspace: Workspace) -> dg.AssetChecksDefinition:
    key = workspace.model_key(model.name)
    specs = [
        dg.AssetCheckSpec(
            key_check(model), asset=key, blocking=True, description=f"{', '.join(model.key)}: never empty, never twice."
        ),
        *(dg.AssetCheckSpec(name, asset=key, description=f"Every row: {sql}") for name, sql in model.checks.items()),
    ]

    @dg.multi_asset_check(name=f"{key.to_python_identifier()}__checks", specs=specs, retry_policy=RETRY)
    def check(
        context: dg.AssetCheckExecutionContext, mode_warehouse: WarehouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        now = _start(context.instance, context.run)
        with model_as_failure(), mode_warehouse.open(workspace) as warehouse:
            found = [violations(warehouse, model, spec.name, workspace, now) for spec in specs]
        yield from map(partial(_check_result, model), specs, found)

    return check


def _upstream(model: Model, workspace: Workspace) -> Sequence[dg.AssetKey]:
    return [
        *(workspace.table_key(name) for name in reads(model).tables),
        *(workspace.model_key(name) for name in reads(model).models),
    ]


def _column_lineage(model: Model, workspace: Workspace, models: Mapping[str, Model]) -> dg.TableColumnLineage:
    def column(schema: str, table: str, name: str) -> dg.TableColumnDep:
        key = workspace.model_key(table) if schema == MARTS else workspace.table_key(table)
        return dg.TableColumnDep(asset_key=key, column_name=name)

    found = column_lineage(model, models)
    return dg.TableColumnLineage({name: [column(*origin) for origin in origins] for name, origins in found.items()})


def _column_schema(model: Model, types: Mapping[str, str]) -> dg.TableSchema:
    """The documented columns; before the first run nobody knows their types."""
    columns = ((name, types.get(name, "?"), description) for name, description in model.columns.items())
    return table_schema(columns, model.key)


def _numbers(model: Model, built: Built, seconds: float) -> dict[str, Any]:
    return {
        "dagster/row_count": built.rows,
        "dagster/column_schema": _column_schema(model, built.columns),
        "seconds": round(seconds, 2),
        "sample": _shown(model, list(built.columns), built.sample),
    }


def _shown(model: Model, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.MetadataValue[Any]:
    """Rows for Dagster's event log, which more people read than the table, and for longer: without what is marked."""
    kept = [place for place, name in enumerate(columns) if name not in model.unshown]
    return dg.MetadataValue.md(
        markdown_table([columns[place] for place in kept], [[row[place] for place in kept] for row in rows])
    )


def _check_result(model: Model, spec: dg.AssetCheckSpec, violated: Excerpt) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"violations": violated.count}
    if violated.count:
        metadata["rows"] = _shown(model, violated.columns, violated.rows)
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=not violated.count,
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def _start(instance: dg.DagsterInstance, run: dg.DagsterRun) -> datetime:
    """When the run began: the one moment that all its models mean by current_timestamp."""
    record = instance.get_run_record_by_id(run.run_id)
    return datetime.fromtimestamp(record.start_time, UTC) if record and record.start_time else datetime.now(UTC)
