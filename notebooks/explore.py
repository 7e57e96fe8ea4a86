"""A first look at a loaded workspace: `marimo edit notebooks/explore.py`, in the project's folder.

Here: the loaded tables through dlt's dataset, the models through the pipeline's SQL client, some charts.
Not here: what the tables mean (docs/assets.md, docs/models.md).
"""
# ruff: noqa: ANN001, ANN201, ANN202 - marimo writes what stands around the cells

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Mode, as loaded")

with app.setup:
    from contextlib import contextmanager
    from pathlib import Path

    import altair as alt
    import marimo as mo
    from dlt.destinations.exceptions import DatabaseUndefinedRelation

    from mode_dagster.extract.destination import database_path
    from mode_dagster.extract.errors import ModeError
    from mode_dagster.extract.faults import errors_unwrapped
    from mode_dagster.extract.pipeline import mode_pipeline


@app.function
@contextmanager
def sentences():
    """Shows a sentence in the place of a cell that can't read: the file is open elsewhere, or a table is not there."""
    try:
        with errors_unwrapped():
            yield
    except DatabaseUndefinedRelation as error:
        said = str(error).splitlines()[0]
        mo.stop(True, mo.md(f"Not everything is there yet; the job `mode_sync` loads and makes all of it. ({said})"))
    except ModeError as error:
        mo.stop(True, mo.md(str(error)))


@app.function
def answer(pipeline, sql):
    """The rows of a query on any schema of the file, as an Arrow table."""
    with sentences(), pipeline.sql_client() as client, client.execute_query(sql) as cursor:
        return cursor.arrow()


@app.cell
def _():
    _demo = "`make demo` loads a made-up workspace."
    mo.stop(not Path(database_path()).exists(), mo.md(f"Nothing is loaded: there is no `{database_path()}`. {_demo}"))
    pipeline = mode_pipeline()
    with sentences():
        mo.stop("runs" not in pipeline.dataset().tables, mo.md(f"Nothing is loaded in `{database_path()}`. {_demo}"))
        _counts = pipeline.dataset().row_counts().arrow()
    mo.vstack([mo.md("# Mode, as loaded"), mo.ui.table(_counts, selection=None)])
    return (pipeline,)


@app.cell
def _(pipeline):
    # a dataset's table can be filtered and joined before anything is read
    with sentences():
        _runs = pipeline.dataset().table("runs").select("report_token", "state", "created_at", "executed_by_username")
        _latest = _runs.order_by("created_at", "desc").limit(100).arrow()
    mo.vstack([mo.md("## The last runs"), mo.ui.table(_latest, selection=None)])
    return


@app.cell
def _(pipeline):
    _days = answer(
        pipeline,
        """
        SELECT day, succeeded_runs, failed_runs, active_people
        FROM mode_marts.workspace_daily
        WHERE day > (SELECT MAX(day) FROM mode_marts.workspace_daily) - 90
        """,
    )
    _outcomes = (
        alt.Chart(_days, width=600)
        .transform_fold(["succeeded_runs", "failed_runs"], as_=["outcome", "runs"])
        .mark_bar()
        .encode(x="day:T", y="runs:Q", color="outcome:N", tooltip=["day:T", "outcome:N", "runs:Q"])
    )
    _active = (
        alt.Chart(_days, width=600, height=120)
        .mark_line()
        .encode(x="day:T", y="active_people:Q", tooltip=["day:T", "active_people:Q"])
    )
    mo.vstack([mo.md("## Health, day by day"), mo.ui.altair_chart(_outcomes), mo.ui.altair_chart(_active)])
    return


@app.cell
def _(pipeline):
    _failing = answer(
        pipeline,
        """
        SELECT report_name, owner_username, failing_streak, failing_since, last_error_code, last_error_message
        FROM mode_marts.report_health
        WHERE is_failing
        ORDER BY failing_streak DESC
        """,
    )
    _slow = answer(
        pipeline,
        """
        SELECT
          COALESCE(report_name, report_token) AS report, p50_duration_seconds, p95_duration_seconds, run_minutes_30d
        FROM mode_marts.report_health
        WHERE p95_duration_seconds IS NOT NULL
        ORDER BY p95_duration_seconds DESC
        LIMIT 20
        """,
    )
    _chart = (
        alt.Chart(_slow, width=600)
        .mark_bar()
        .encode(
            x="p95_duration_seconds:Q",
            y=alt.Y("report:N", sort="-x"),
            tooltip=["p50_duration_seconds:Q", "p95_duration_seconds:Q", "run_minutes_30d:Q"],
        )
    )
    mo.vstack(
        [
            mo.md("## Reports that fail"),
            mo.ui.table(_failing, selection=None),
            mo.md("## Reports that are slow"),
            mo.ui.altair_chart(_chart),
        ]
    )
    return


@app.cell
def _(pipeline):
    _stale = answer(
        pipeline,
        """
        SELECT report_name, collection_name, owner_username, reason, unused_days, run_minutes_90d, subscribers, web_url
        FROM mode_marts.stale_reports
        ORDER BY run_minutes_90d DESC, unused_days DESC
        """,
    )
    _empty = mo.md("Somebody has used each report in the last 90 days.")
    mo.vstack(
        [mo.md("## Reports that nobody uses"), mo.ui.table(_stale, selection=None) if _stale.num_rows else _empty]
    )
    return


@app.cell
def _(pipeline):
    _tables = answer(
        pipeline,
        """
        SELECT qualified_name, warehouse, reports, owners, runs_30d, manual_runs_30d
        FROM mode_marts.table_usage
        ORDER BY reports DESC, qualified_name
        LIMIT 20
        """,
    )
    _chart = (
        alt.Chart(_tables, width=600)
        .mark_bar()
        .encode(
            x="reports:Q",
            y=alt.Y("qualified_name:N", sort="-x"),
            color="warehouse:N",
            tooltip=["reports:Q", "owners:Q", "runs_30d:Q", "manual_runs_30d:Q"],
        )
    )
    mo.vstack([mo.md("## Tables that most reports read"), mo.ui.altair_chart(_chart)])
    return


if __name__ == "__main__":
    app.run()
