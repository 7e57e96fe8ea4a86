"""What runs by itself, when, where, and who is told: these settings as Dagster would take them.

Here: reading them when the location loads, without any secret, and checking what only Dagster can check.
Not here: their names and defaults (`settings`), what is made of them (`schedules`, `alerts`).
"""

from dataclasses import fields

import dagster as dg

from mode_dagster.executors import executor_problems
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.settings import SECTION, Operation, explain, is_address, read_values, say_unknown, unknown_names


def load_operation(section: str = SECTION, *, with_secrets: bool = False) -> Operation:
    """Reads and checks the settings of operation.

    Args:
        section: Where they stand; a named workspace has its own, below the only one's.
        with_secrets: Whether to read `webhook_url` too, as a sensor does when it runs.

    Raises:
        ModeConfigError: One or more are malformed, or a name looks like a mistyped one of them. Other unknown names
            are left to the sync, so that the location still loads.
    """
    values, problems = read_values(Operation, section, with_secrets=with_secrets)
    operation = Operation(**values)
    ours = [setting.name for setting in fields(Operation)]
    problems += [say_unknown(name, likely) for name, likely in unknown_names(section).items() if likely in ours]
    problems += _bad_crons(operation) + _bad_addresses(operation)
    problems += _bad_pattern(operation.external_tables) + executor_problems(operation.executor)
    if problems:
        raise ModeConfigError(explain("Cannot set up schedules and sensors", problems, section))
    return operation


def _bad_crons(operation: Operation) -> list[str]:
    return [
        f"{name}: {cron!r} is not a cron expression; five fields: minute, hour, day, month, weekday, "
        f"such as {getattr(Operation, name)}"
        for name in ("sync_cron", "runs_cron", "reconcile_cron")
        if not _is_cron(cron := getattr(operation, name))
    ]


def _is_cron(text: str) -> bool:
    try:
        dg.ScheduleDefinition(name="trial", job_name="trial", cron_schedule=text)
    except dg.DagsterInvalidDefinitionError:
        return False
    return True


def _bad_addresses(operation: Operation) -> list[str]:
    """Addresses that are none; the webhook's is a secret and not repeated."""
    return [
        f"{name}: not an http(s) address, such as {example}"
        for name, example in (
            ("webhook_url", "https://hooks.slack.com/services/…"),
            ("webserver_url", "https://dagster.example.com"),
        )
        if (address := getattr(operation, name)) and not is_address(address)
    ]


def _bad_pattern(pattern: str) -> list[str]:
    try:
        made = pattern.format(database="d", schema="s", table="t")
    except (LookupError, ValueError, AttributeError, TypeError):
        made = ""
    if not pattern or ("{table}" in pattern and all(made.split("/"))):
        return []
    return [f"external_tables: {pattern!r} is not a pattern of {{database}}, {{schema}} and {{table}} with / between"]
