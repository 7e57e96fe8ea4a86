"""The tables as assets: one op that reads Mode once for all that was selected.

Here: dagster-dlt around our source; failures that a person can act on.
Not here: keys and lineage (`translator`), metadata (`materialization`), names (`workspace`).

One op and not one per family: lists are asked for once a sync, all tables share the threads and the rate limit.
A table that could not be read is not materialized, and Dagster skips only what depends on it; the check
`every_table_was_read` of the ledger then makes the run fail by name.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Any

import dagster as dg
from dagster_dlt import dlt_assets
from dagster_dlt.dlt_event_iterator import DltEventType
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.pipeline import Pipeline
from pydantic import Field

from mode_dagster.contents import look_into
from mode_dagster.extract.destination import load_options
from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.errors import ModeError, first_line
from mode_dagster.extract.faults import errors_unwrapped
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.extract.pipeline import load
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.extract.sync import Sync
from mode_dagster.extract.tally import Tally
from mode_dagster.materialization import FAILED, ledger_metadata, load_metadata
from mode_dagster.resources import ModeDltResource
from mode_dagster.settings import load_settings
from mode_dagster.translator import ModeTranslator
from mode_dagster.wording import words
from mode_dagster.workspace import ONLY, Workspace

Listed = StrEnum("Listed", [endpoint.name for endpoint in ENDPOINTS if not endpoint.history])  # type: ignore[misc]
"""The tables of which rows can be found gone."""


class SyncConfig(dg.Config):
    """What one run does otherwise than usual."""

    reconcile: bool = Field(
        default=False,
        description="Full refresh: read everything, whether it seems to have moved or not, and count what was missed.",
    )
    dry_run: bool = Field(
        default=False, description="Plan only: read the listings, say what would be asked for, and load nothing."
    )
    reports: list[str] = Field(
        default=[],
        description="Tokens (last part of the address) of the only reports whose queries, charts, runs and so on are "
        "read; all if empty. Listings are read in full all the same.",
    )
    max_requests: int | None = Field(
        default=None,
        ge=0,
        description="Stop after so many requests, 0 for no limit; the next run goes on from there. "
        "If not given, the setting of that name.",
    )
    accept_shrunk: list[Listed] = Field(
        default=[],
        description="Tables whose listing may be far shorter than what is stored; the rest is marked as deleted.",
    )


OP = "mode"
LEDGER_CHECK = "every_table_was_read"


def build_assets(workspace: Workspace = ONLY) -> dg.AssetsDefinition:
    """All tables of the catalogue, and the ledger, as one subsettable asset definition."""
    pipeline = workspace.pipeline()

    @dlt_assets(
        dlt_source=mode_analytics_source(),
        dlt_pipeline=pipeline,
        name=workspace.named(OP),
        dagster_dlt_translator=ModeTranslator(workspace=workspace),
        pool=workspace.named(OP),  # of what uses this workspace's credentials
    )
    def mode(
        context: dg.AssetExecutionContext, config: SyncConfig, mode_dlt: ModeDltResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        selected = frozenset(key.path[-1] for key in context.selected_asset_keys)

        def run(source: DltSource) -> list[DltEventType]:
            return list(mode_dlt.run(context=context, dlt_source=source, **load_options()))

        with _load_as_failure(), _sync(context, config, workspace, pipeline) as sync:
            if config.dry_run:
                _say_plan(context, workspace, sync, selected - {LEDGER})
                return
            began = time.monotonic()
            # those of the last part stand for all
            (results,) = deque(load(pipeline, sync, selected - {LEDGER}, run), maxlen=1)
            seconds = time.monotonic() - began
            if sync.failures and _is_worth_another_try(context, sync.failures):
                raise _failure(sync.failures, allow_retries=True)
            yield from _materializations(context, pipeline, sync, results, seconds)
            if sync.failures and not (LEDGER in selected and _has_ledger_check(context, workspace)):
                raise _failure(sync.failures, allow_retries=False)

    return mode


def _sync(context: dg.AssetExecutionContext, config: SyncConfig, workspace: Workspace, pipeline: Pipeline) -> Sync:
    settings = load_settings(workspace.section)
    if config.max_requests is not None:
        settings = replace(settings, max_requests=config.max_requests)
    # so that runs of different workspaces can be told apart and filtered
    tags = {"mode/workspace": settings.workspace or settings.base_url, "mode/listing": str(settings.listing)}
    context.instance.add_run_tags(context.run.run_id, tags)
    return Sync(
        settings,
        pipeline=pipeline,
        reconcile=config.reconcile,
        accept_shrunk=config.accept_shrunk,
        only_reports=config.reports,
        isolate=True,
        say=context.log.info,
    )


def _say_plan(context: dg.AssetExecutionContext, workspace: Workspace, sync: Sync, selected: frozenset[str]) -> None:
    with errors_unwrapped():
        plan = sync.make_plan(selected, looks_ahead=True)
    context.log.info(f"dry run, nothing is loaded. {plan}")
    for table in plan.tables:
        numbers = {"lists": table.lists, "lists_due": table.due, "requests_planned": table.requests}
        key = workspace.table_key(table.table)
        context.log_event(dg.AssetObservation(key, metadata={"plan": str(plan), **numbers}))


def _materializations(
    context: dg.AssetExecutionContext, pipeline: Pipeline, sync: Sync, results: Iterable[DltEventType], seconds: float
) -> Iterator[dg.MaterializeResult[Any]]:
    """One for each table that was read, but for single lists that failed, with what the sync knows of it."""
    by_table = {result.asset_key.path[-1]: result for result in results if result.asset_key}
    contents = look_into(pipeline, by_table)
    for table, result in by_table.items():
        if table == LEDGER:
            known = ledger_metadata(pipeline, sync, contents[table], seconds)
        else:
            tally = sync.tallies[table]
            context.log.info(f"{table}: {_said(tally)}")
            if not tally.is_loaded:
                continue
            known = load_metadata(pipeline, table, sync, contents[table])
        yield dg.MaterializeResult(asset_key=result.asset_key, metadata=known)


def _said(tally: Tally) -> str:
    """What was fetched of a table, or why nothing had to be."""
    if tally.requests or tally.rows:
        return f"{words(tally.rows, 'row')} fetched, {words(tally.requests, 'request')}, {tally.seconds:.1f} s"
    return tally.note or f"nothing to fetch, {tally.unchanged:,} lists are as they were"


@contextmanager
def _load_as_failure() -> Iterator[None]:
    """What stops the whole load, as a Dagster failure: advice first, no wall of text."""
    try:
        yield
    except ModeError as error:
        status = {} if error.status is None else {"http_status": error.status}
        raise dg.Failure(str(error), metadata=status, allow_retries=error.retryable) from None
    except PipelineStepFailed as failed:
        reason = first_line(failed.exception or failed)[:500]
        raise dg.Failure(f"dlt could not {failed.step} the rows: {reason}") from failed


def _is_worth_another_try(context: dg.AssetExecutionContext, failures: Mapping[str, ModeError]) -> bool:
    """Whether trying again may help and Dagster will: then nothing is materialized yet."""
    op = context.op_execution_context
    policy = op.job_def.get_retry_policy_for_handle(op.op_handle)
    tries_left = policy is not None and op.retry_number < policy.max_retries
    return tries_left and any(error.retryable for error in failures.values())


def _has_ledger_check(context: dg.AssetExecutionContext, workspace: Workspace) -> bool:
    """Whether the run has the check that makes it fail; a selection may leave checks out, and so may other projects."""
    check = dg.AssetCheckKey(workspace.table_key(LEDGER), LEDGER_CHECK)
    parts = context.job_def.asset_layer.data
    return any(check == spec.key for part in parts for spec in part.assets_def.check_specs)


def _failure(failures: Mapping[str, object], *, allow_retries: bool) -> dg.Failure:
    """Which tables could not be read and why."""
    reasons = "\n".join(f"- {table}: {reason}" for table, reason in failures.items())
    return dg.Failure(
        f"{len(failures)} of the tables could not be read completely; all others were loaded.\n{reasons}",
        metadata={FAILED: ", ".join(failures)},
        allow_retries=allow_retries,
    )


def build_ledger_check(workspace: Workspace = ONLY) -> dg.AssetChecksDefinition:
    """Makes a run fail in which any table could not be read, after everything else was done.

    In a step of its own, because Dagster abandons all that hangs on a failed step, whatever table it needs.
    """
    key = workspace.table_key(LEDGER)

    @dg.asset_check(asset=key, name=LEDGER_CHECK, description="No table failed in the latest sync.")
    def every_table_was_read(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        event = context.instance.get_latest_materialization_event(key)
        found = event.asset_materialization.metadata.get(FAILED) if event and event.asset_materialization else None
        failures: Any = found.value if found is not None else {}
        if failures:
            raise _failure(failures, allow_retries=False)
        return dg.AssetCheckResult(passed=True)

    return every_table_was_read
