"""Three short answers from the SQL models, for a terminal.

Here: `mode-dagster answers`.
Not here: all the rest that the models tell (`workspace_report`, docs/models.md).
"""

# ruff: noqa: S608 - names are the workspace's own

from collections.abc import Mapping, Sequence

from mode_dagster.extract.errors import ModeError
from mode_dagster.models import ModelError
from mode_dagster.warehouse import Warehouse, WarehouseError, is_made
from mode_dagster.wording import clock, one_line, words
from mode_dagster.workspace import Workspace
from mode_dagster.workspace_report.facts import Facts, Row, read_facts

LONGEST = 400


class NoAnswersError(ModeError):
    """Nothing is there to answer from; the message says what to do."""


def three_answers(workspace: Workspace) -> Mapping[str, str]:
    """What fails most, what costs most for nobody, what is read most: each question with its answer.

    Raises:
        NoAnswersError: Nothing is loaded, a model is missing, or another program has it open.
        ModeConfigError: The destination is not set up.
    """
    job = workspace.named("mode_sync")
    # the module of a named workspace is that of somebody's own project
    how = f"run the job {job}" if workspace.name else f"dagster job execute -m mode_dagster.definitions -j {job}"
    how_to_load = f"Load everything first: {how}"
    try:
        with workspace.read() as warehouse:
            facts = read_facts(warehouse, workspace)
            scheduled = _costliest_schedules(warehouse, workspace)
    except WarehouseError as error:
        raise NoAnswersError(str(error) if is_made(workspace.pipeline()) else f"{error} {how_to_load}") from error
    except ModelError as error:
        raise NoAnswersError(str(error)) from error
    if not facts.active_reports:
        raise NoAnswersError(f"No active report is loaded. {how_to_load}")
    answers = {
        "Which report fails most?": _failing(facts),
        "What runs and nobody looks?": _unused(facts, scheduled),
        "What is read most?": _table(facts.tables[0]) if facts.tables else _slowest(facts),
    }
    return {question: one_line(answer, LONGEST) for question, answer in answers.items()}


def _failing(facts: Facts) -> str:
    if not facts.failing:
        return "None is failing now."
    worst = max(facts.failing, key=lambda report: report["failing_streak"])
    why = ": ".join(filter(None, [worst["last_error_code"], worst["last_error_message"]]))
    return (
        f"{_name(worst)}: {words(worst['failing_streak'], 'run')} failed since {clock(worst['failing_since'])}"
        f"{f' ({why})' if why else ''}. Failing now: {words(len(facts.failing), 'report')}."
    )


def _unused(facts: Facts, scheduled: Sequence[Row]) -> str:
    if facts.stale:
        first = facts.stale[0]
        days = first["unused_days"]
        unused = "no person is known to have used it" if days is None else f"no person has used it for {days:,} days"
        return (
            f"{_name(first)}: {unused}, and its runs took {first['run_minutes_30d'] or 0:,.0f} minutes in 30 days. "
            f"Unused in all: {words(len(facts.stale), 'report')}, {facts.stale_minutes:,.0f} minutes."
        )
    used = "No report has gone unused for 90 days."
    if not scheduled:
        return used
    costliest = scheduled[0]
    return (
        f"{used} The schedule that costs most is that of {_name(costliest)}: "
        f"{costliest['minutes']:,.0f} minutes in {words(costliest['runs'], 'run')} of the last 30 days."
    )


def _table(table: Row) -> str:
    return (
        f"{table['qualified_name']}: {words(table['reports'], 'report')} read it "
        f"with {words(table['queries'], 'query', 'queries')}."
    )


def _slowest(facts: Facts) -> str:
    """Where no table is known."""
    unknown = "No table is known that queries read."
    if not facts.slow_queries:
        return unknown
    slowest = facts.slow_queries[0]
    return (
        f"{unknown} The slowest query is {slowest['query_name'] or '(no name)'} of {_name(slowest)}: "
        f"95 % of its runs stay below {slowest['p95_seconds_30d'] / 60:,.1f} minutes."
    )


def _costliest_schedules(warehouse: Warehouse, workspace: Workspace) -> Sequence[Row]:
    runs = f"{workspace.marts}.run_facts"
    return warehouse.query(
        f"SELECT report_name, COUNT(*) AS runs, SUM(duration_seconds) / 60 AS minutes FROM {runs} "
        "WHERE trigger = 'scheduled' AND is_report_deleted = FALSE "
        f"AND created_at >= (SELECT MAX(created_at) FROM {runs}) - INTERVAL '30 days' "
        "GROUP BY report_token, report_name HAVING SUM(duration_seconds) > 0 "
        "ORDER BY minutes DESC, report_token LIMIT 1"
    ).by_name()


def _name(report: Row) -> str:
    return report["report_name"] or "(no name)"
