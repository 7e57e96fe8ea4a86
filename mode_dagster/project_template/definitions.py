"""What Dagster loads: the Mode workspace, and beside it what is yours."""

import dagster as dg
from dagster_duckdb import DuckDBResource

from mode_dagster import build_mode_definitions


@dg.asset(
    key_prefix="bi",
    deps=[dg.AssetKey(["mode_marts", "report_health"])],
    kinds={"duckdb"},
    # made anew after its model, once default_automation_condition_sensor is switched on (page Automation)
    automation_condition=dg.AutomationCondition.eager(),
)
def reports_to_mend(mode_duckdb: DuckDBResource) -> dg.MaterializeResult[None]:
    """Who has reports that fail now, and since when. An example of a table of your own: change it or delete it."""
    with mode_duckdb.get_connection() as connection:
        connection.execute(
            """
            CREATE SCHEMA IF NOT EXISTS bi;
            CREATE OR REPLACE TABLE bi.reports_to_mend AS
            SELECT owner_username, count(*) AS reports, min(failing_since) AS failing_since
            FROM mode_marts.report_health
            WHERE is_failing AND is_archived IS NOT TRUE
            GROUP BY owner_username
            """
        )
        rows = len(connection.table("bi.reports_to_mend"))
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "dagster/table_name": "bi.reports_to_mend"})


defs = dg.Definitions.merge(
    build_mode_definitions(),
    # DuckDB has one writer: steps in one process never wait for each other's lock
    dg.Definitions(assets=[reports_to_mend], executor=dg.in_process_executor),
)
