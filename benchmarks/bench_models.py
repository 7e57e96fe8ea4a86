"""How long the SQL models take on a large workspace, and how much memory.

`python benchmarks/bench_models.py [--runs 1000000]`: makes a DuckDB file with that many runs of two years and two query
runs for each, then builds every model, each in a process of its own.
A baseline to compare within one run, not a gate.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime

import duckdb

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.models import MODELS, run_model
from mode_dagster.models.statement import reads
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.warehouse.interface import TYPES
from mode_dagster.workspace import Workspace

NOW = datetime(2026, 6, 17, 12, 20, tzinfo=UTC)
ROWS = {
    "spaces": "SELECT 's' || i AS token, 'Space ' || i AS name FROM range(100) AS t(i)",
    "data_sources": "SELECT 'd' || i AS token, 1000 + i AS id, 'Source ' || i AS name FROM range(20) AS t(i)",
    "memberships": "SELECT 'u' || i AS member_token, 'user' || i AS member_username FROM range(400) AS t(i)",
    "users": """
        SELECT 'u' || i AS token, 'user' || i AS username, TRUE AS "user" FROM range(500) AS t(i)""",
    "reports": """
        SELECT 'r' || i AS token, i AS id, 'Report ' || i AS name, 's' || i % 100 AS space_token,
          'user' || i % 500 AS creator_username, NOW - INTERVAL 1 HOUR * (i * 5) AS created_at,
          NOW - INTERVAL 1 HOUR * i AS edited_at, i * 3 AS view_count, i % 50 = 0 AS archived
        FROM range({reports}) AS t(i)""",
    "queries": """
        SELECT 'q' || i AS token, 'Query ' || i AS name, 'r' || i % {reports} AS report_token,
          1000 + i % 20 AS data_source_id, 'user' || i % 500 AS creator_username,
          NOW - INTERVAL 1 HOUR * i AS created_at
        FROM range(3 * {reports}) AS t(i)""",
    "charts": """
        SELECT 'c' || i AS token, 'r' || i % {reports} AS report_token, 'q' || i % (3 * {reports}) AS query_token
        FROM range(5 * {reports}) AS t(i)""",
    "report_schedules": """
        SELECT 'p' || i AS token, 'r' || i AS report_token, 'daily' AS frequency,
          'Pacific Time (US & Canada)' AS time_zone, i % 24 AS cron_hour, i % 60 AS cron_minute,
          i % 9 AS subscriber_count
        FROM range({reports} // 2) AS t(i)""",
    "report_subscriptions": """
        SELECT 'b' || i AS token, 'r' || i AS report_token, 'p' || i AS schedule_token, i % 9 AS email_subscriber_count
        FROM range({reports} // 2) AS t(i)""",
    "runs": """
        SELECT 'run' || i AS token, 'r' || hash(i) % {reports} AS report_token,
          NOW - INTERVAL 1 SECOND * (i * 63072000.0 / {runs}) AS created_at,
          created_at + INTERVAL 1 MILLISECOND * CAST(1000 + hash(i, 'd') % 600000 AS BIGINT) AS completed_at,
          ['succeeded', 'succeeded', 'completed', 'succeeded', 'failed', 'succeeded', 'cancelled']
            [CAST(1 + hash(i, 's') % 7 AS BIGINT)]
            AS state,
          CASE WHEN i % 4 > 0 AND hash(i) % {reports} < {reports} // 2 THEN 'p' || hash(i) % {reports} END
            AS report_schedule_token,
          'user' || hash(i, 'u') % 500 AS executed_by_username
        FROM range({runs}) AS t(i)""",
    "query_runs": """
        SELECT runs.token || '-' || i AS token, runs.token AS run_token, runs.report_token, runs.state,
          runs.created_at + INTERVAL 150 MILLISECOND AS created_at, runs.completed_at,
          'q' || (CAST(substr(runs.report_token, 2) AS BIGINT) + i * {reports}) AS query_token,
          'd' || hash(runs.token) % 20 AS data_source_token,
          CASE WHEN runs.state = 'failed' THEN 'Code' || hash(runs.token) % 5 END AS error_code,
          CASE WHEN runs.state = 'failed' THEN 'The database said something of this length, more or less' END
            AS error_message
        FROM mode_analytics_data.runs AS runs, range(2) AS t(i)""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--reports", type=int, default=3_000)
    parser.add_argument("--make", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--build", nargs=2, metavar=("MODEL", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.runs, options.reports)
    elif options.build:
        build(*options.build)
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/large.duckdb"
            # in a process of its own, whose memory the others would take over as their peak
            alone("--make", file, "--runs", str(options.runs), "--reports", str(options.reports))
            compare(file)


def alone(*arguments: str) -> list[str]:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def make(file: str, runs: int, reports: int) -> None:
    """The loaded tables, all of them; those that ROWS does not name are empty."""
    with duckdb.connect(file) as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA mode_analytics_data")
        for table in ENDPOINTS:
            columns = ", ".join(f'"{column.name}" {TYPES[column.data_type]}' for column in table.all_columns)
            connection.execute(f"CREATE TABLE mode_analytics_data.{table.name} ({columns})")
        for name, select in ROWS.items():
            sql = select.format(runs=runs, reports=reports).replace("NOW", f"TIMESTAMPTZ '{NOW.isoformat()}'")
            connection.execute(f"INSERT INTO mode_analytics_data.{name} BY NAME {sql}")


def compare(file: str) -> None:
    measured = {
        model.name: [float(figure) for figure in alone("--build", model.name, file)]
        for model in MODELS.values()
        if set(reads(model).models) <= set(MODELS)
    }
    _, whole, cores, _ = (sum(figures) for figures in zip(*measured.values(), strict=True))
    print("| model | rows | seconds | CPU seconds | share | peak MB |\n|---|--:|--:|--:|--:|--:|")
    for name, (rows, seconds, cpu, peak) in measured.items():
        print(f"| {name} | {rows:,.0f} | {seconds:.2f} | {cpu:.2f} | {cpu / cores:.0%} | {peak:.0f} |")
    print(f"| all | | {whole:.2f} | {cores:.2f} | 100% | {max(figures[-1] for figures in measured.values()):.0f} |")


def build(name: str, file: str) -> None:
    with duckdb.connect(file) as connection:
        began, cpu = time.monotonic(), time.process_time()
        built = run_model(DuckDBWarehouse(connection), MODELS[name], Workspace(), NOW)
        figures = (built.rows, time.monotonic() - began, time.process_time() - cpu)
    print(*figures, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
