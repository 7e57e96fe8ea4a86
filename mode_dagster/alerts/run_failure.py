"""A failed run in words that a person can act on.

Here: what is told of a run, from its events and tags.
Not here: which runs are told, and to whom (`sensors`).
"""

from datetime import UTC, datetime

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from mode_dagster.alerts.webhook import Message, escaped, link
from mode_dagster.wording import clock
from mode_dagster.workspace import Workspace

AD_HOC = "__ASSET_JOB"
"""What Dagster calls the job of assets that are materialized by hand or by automation."""
STEPS_TOLD = 3
ASSETS_TOLD = 5


def run_failed(context: dg.RunFailureSensorContext, workspace: Workspace, webserver_url: str = "") -> Message:
    """What is told of a failed run."""
    run = context.dagster_run
    return Message(
        f"{escaped(_what_ran(run))} failed",
        [
            _where(run, workspace),
            *_what_failed(context),
            f"*What to do:* {_what_to_do(context)}",
            _run(context, webserver_url),
        ],
    )


def _what_ran(run: dg.DagsterRun) -> str:
    if run.job_name != AD_HOC:
        return run.job_name
    names = sorted(key.to_user_string() for key in run.asset_selection or ())
    more = [f"{len(names) - ASSETS_TOLD} more"] if len(names) > ASSETS_TOLD else []
    return f"Materializing {', '.join(names[:ASSETS_TOLD] + more) or 'assets'}"


def _where(run: dg.DagsterRun, workspace: Workspace) -> str:
    """Workspace and listing as the run said them; it may have failed before."""
    name = run.tags.get("mode/workspace") or workspace.name
    said = [
        f"workspace {name}" if name else "",
        f"listing {listing}" if (listing := run.tags.get("mode/listing")) else "",
    ]
    return escaped(" · ".join(part for part in said if part) or "workspace unknown, its settings were not read")


def _what_failed(context: dg.RunFailureSensorContext) -> list[str]:
    """The first step that failed in its own words, the others by name."""
    failures = context.get_step_failure_events()
    if not failures:
        return [escaped(_how_it_ended(context))]
    first, *others = failures
    said = [f"`{escaped(str(first.step_key))}`: {escaped(_reason(first))}"]
    if others:
        names = ", ".join(f"`{escaped(str(event.step_key))}`" for event in others[:STEPS_TOLD])
        said.append(f"Failed too: {names}{f' and {len(others) - STEPS_TOLD} more' if len(others) > STEPS_TOLD else ''}")
    return said


def _how_it_ended(context: dg.RunFailureSensorContext) -> str:
    """What Dagster noted last when no step failed; of a killed run it says more than the failure does."""
    said = context.failure_event.message or ""
    if said and not said.startswith("This run has been marked as failed from outside"):
        return said
    of_type = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.RUN_FAILURE}
    for record in context.instance.get_records_for_run(context.dagster_run.run_id, of_type=of_type).records:
        event = record.event_log_entry.get_dagster_event()
        if event.event_type is dg.DagsterEventType.RUN_FAILURE:
            break
        error = event.engine_event_data.error if event.event_specific_data else None
        said = " ".join(part for part in (event.message, _at_the_bottom(error)) if part) or said
    return said


def _reason(event: dg.DagsterEvent) -> str:
    """A failure's own description, or the message of the exception at the bottom."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _at_the_bottom(data.error) or "It did not say why."


def _at_the_bottom(error: SerializableErrorInfo | None) -> str:
    """The message of the exception that all others come from; none of their stack."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else ""


def _what_to_do(context: dg.RunFailureSensorContext) -> str:
    if context.dagster_run.tags.get("dagster/will_retry") == "true":
        return "nothing yet. Dagster starts it again by itself."
    if not context.get_step_failure_events():
        return "start it again. What was loaded counts; only what is missing is asked for."
    return (
        "as it says above, then start it again. What was loaded counts; only what is missing is asked for. "
        "docs/runbook.md explains each message."
    )


def _run(context: dg.RunFailureSensorContext, webserver_url: str) -> str:
    """Where to look: link, times, tries."""
    run_id = context.dagster_run.run_id
    address = f"{webserver_url.rstrip('/')}/runs/{run_id}"
    record = context.instance.get_run_record_by_id(run_id)
    started = record.start_time if record else None
    ended = (record.end_time if record else None) or datetime.now(UTC).timestamp()
    tries = context.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_RESTARTED).records
    parts = [
        f"Run {link(address, run_id[:8]) if webserver_url else run_id}",
        f"started {clock(datetime.fromtimestamp(started, UTC))}" if started else "never started",
        f"ended {clock(datetime.fromtimestamp(ended, UTC))}",
        f"tried {len(tries) + 1} times" if tries else "",
        f"started again {again} times" if (again := context.dagster_run.tags.get("dagster/retry_number")) else "",
    ]
    return " · ".join(part for part in parts if part)
