"""All definitions of one workspace, to be loaded as they are or merged into a project of your own.

Here: putting together.
Not here: what is put together.
"""

from collections.abc import Sequence

import dagster as dg

from mode_dagster.alerts.sensors import build_sensors
from mode_dagster.assets import build_assets, build_ledger_check
from mode_dagster.checks import build_table_checks
from mode_dagster.executors import executor_definition
from mode_dagster.jobs import build_jobs
from mode_dagster.models import build_model_checks, build_models
from mode_dagster.operation import load_operation
from mode_dagster.references.assets import build_references, build_references_checks
from mode_dagster.references.external import KeyOf, build_external_tables, by_pattern, with_external_tables
from mode_dagster.resources import ModeDltResource, ModeDuckDBResource, WarehouseResource
from mode_dagster.schedules import build_models_sensor, build_schedules
from mode_dagster.workspace import Workspace
from mode_dagster.workspace_report import build_workspace_report

RESOURCES = {
    "mode_dlt": ModeDltResource(),
    "mode_duckdb": ModeDuckDBResource(),
    "mode_warehouse": WarehouseResource(),
}
"""The same objects for all workspaces of a location, so that their definitions can be merged."""


def build_mode_definitions(
    name: str = "", key_prefix: str | Sequence[str] = (), group_name: str = "", external_tables: KeyOf | None = None
) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources for one Mode workspace.

    `name`, `key_prefix` and `group_name` are those of `Workspace`. Reads no secret and asks nothing.

    Args:
        external_tables: From database, schema and table to the asset key of a table that Mode's queries read, to show
            it upstream of `mode/queries`; None means as the setting of that name says.

    Raises:
        ValueError: The name can't be part of a schema's name.
        ModeConfigError: A setting of the schedules or sensors is malformed.
    """
    prefix = [key_prefix] if isinstance(key_prefix, str) else key_prefix  # as Dagster takes both
    workspace = Workspace(name, tuple(prefix), group_name)
    operation = load_operation(workspace.section)
    key_of = external_tables or (by_pattern(operation.external_tables) if operation.external_tables else None)
    external = build_external_tables(workspace, key_of) if key_of else []
    models = [*build_models(workspace), build_references(workspace), build_workspace_report(workspace)]
    tables = with_external_tables(build_assets(workspace), workspace, external)
    assets = [tables, *models]
    jobs = build_jobs(workspace, tables, models, executor=executor_definition(operation.executor))
    return dg.Definitions(
        # not the warehouse's tables: in a location that has them as assets, two definitions of one key would clash
        assets=assets,
        asset_checks=[
            build_ledger_check(workspace),
            *build_table_checks(workspace),
            *build_model_checks(workspace),
            *build_references_checks(workspace),
        ],
        jobs=jobs,
        schedules=build_schedules(workspace, jobs, operation),
        sensors=[build_models_sensor(workspace, models, operation), *build_sensors(workspace, assets, jobs, operation)],
        resources=RESOURCES,
    )
