"""The tables as assets: one op that reads Mode once for all that was selected.

Here: dagster-dlt around our source; failures that a person can act on.
Not here: keys and lineage (`translator`), metadata (`materialization`).

One op and not one per family: lists are asked for once a sync, all tables share the threads and the rate limit,
and a table that fails leaves every other one materialized, whatever depends on what.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_dlt import dlt_assets
from dagster_dlt.dlt_event_iterator import DltEventType
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.pipeline import Pipeline
from pydantic import Field

from mode_dagster.extract.errors import ModeError
from mode_dagster.extract.pipeline import load_pending, mode_errors, mode_pipeline
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.extract.stored import mark_deleted
from mode_dagster.extract.sync import Sync
from mode_dagster.materialization import count_rows, load_metadata
from mode_dagster.resources import ModeDltResource
from mode_dagster.translator import ModeTranslator


class SyncConfig(dg.Config):
    """What one run does otherwise than usual."""

    reconcile: bool = Field(
        default=False, description="Read everything, whether it moved or not, and count what was missed."
    )
    accept_shrunk: list[str] = Field(
        default=[],
        description="Tables whose listing may be far shorter than what is stored; the rest is marked as deleted.",
    )


OP = "mode"
POOL = "mode"
"""One run at a time uses Mode's credentials and writes the DuckDB file."""


def build_assets(pipeline: Pipeline | None = None) -> dg.AssetsDefinition:
    """All tables of the catalogue as one subsettable asset definition.

    Args:
        pipeline: Where the tables go; None takes the project's own.
    """
    target = pipeline or mode_pipeline()

    @dlt_assets(
        dlt_source=mode_analytics_source(),
        dlt_pipeline=target,
        name=OP,
        dagster_dlt_translator=ModeTranslator(),
        pool=POOL,
    )
    def mode(
        context: dg.AssetExecutionContext, config: SyncConfig, dlt: ModeDltResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        selected = frozenset(key.path[-1] for key in context.selected_asset_keys)
        with Sync(
            pipeline=target,
            reconcile=config.reconcile,
            accept_shrunk=config.accept_shrunk,
            isolate=True,
            say=context.log.info,
        ) as sync:
            with _as_failure():
                load_pending(target)
                for _ in sync.checkpoints(selected):
                    results = list(dlt.run(context=context, dlt_source=mode_analytics_source(sync)))
                mark_deleted(target, sync.settings.listing, sync.now())
            yield from _materializations(context, target, sync, results)
            if sync.failures:
                raise _failure(sync.failures)

    return mode


def _materializations(
    context: dg.AssetExecutionContext, pipeline: Pipeline, sync: Sync, results: Iterable[DltEventType]
) -> Iterator[dg.MaterializeResult[Any]]:
    """One for each table that was read to its end, with what the sync knows of it."""
    by_table = {result.asset_key.path[-1]: result for result in results if result.asset_key}
    rows = count_rows(pipeline, list(by_table))
    for table, result in by_table.items():
        report = sync.reports[table]
        context.log.info(f"{table}: {report.rows} rows, {report.requests} requests, {report.seconds:.1f} s")
        if report.error is None:
            metadata = {**(result.metadata or {}), **load_metadata(pipeline, table, sync, rows[table])}
            yield dg.MaterializeResult(asset_key=result.asset_key, metadata=metadata)


@contextmanager
def _as_failure() -> Iterator[None]:
    """What stops the whole load, as a Dagster failure: advice first, no wall of text."""
    try:
        with mode_errors():
            yield
    except ModeError as error:
        raise dg.Failure(str(error), metadata=_metadata(error), allow_retries=error.retryable) from None
    except PipelineStepFailed as failed:
        reason = str(failed.exception).strip().splitlines()[0][:500]
        raise dg.Failure(f"dlt could not {failed.step} the rows: {reason}") from failed


def _failure(failures: Mapping[str, ModeError]) -> dg.Failure:
    lines = "\n".join(f"- {table}: {error}" for table, error in failures.items())
    return dg.Failure(
        f"{len(failures)} of the tables could not be read completely; all others were loaded.\n{lines}",
        metadata={"failed_tables": ", ".join(failures)},
        allow_retries=any(error.retryable for error in failures.values()),
    )


def _metadata(error: ModeError) -> Mapping[str, int]:
    return {"http_status": error.status} if error.status is not None else {}
