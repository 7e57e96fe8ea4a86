"""Where the steps of a run are worked: the setting `executor` as Dagster takes it.

Here: one executor definition for each value of the setting, and which values a destination allows.
Not here: how executors are deployed (deploy/), which steps there are (`jobs`).

The tables are one step whatever the executor, because they share Mode's rate limit. Each SQL model, the checks of each
asset, the lineage of queries and the report are steps of their own: those can go to other processes or machines.
"""

from importlib import import_module

import dagster as dg

from mode_dagster.extract.destination import is_duckdb_file
from mode_dagster.extract.errors import ModeConfigError, advise_to_install
from mode_dagster.settings import Executor


def executor_definition(executor: Executor) -> dg.ExecutorDefinition:
    """Dagster's executor for a value of the setting.

    Raises:
        ModeConfigError: The library that it needs is not installed.
    """
    match executor:
        case Executor.IN_PROCESS:
            return dg.in_process_executor
        case Executor.MULTIPROCESS:
            # a step's process is forked from one that has this project loaded already, which takes seconds
            start = {"forkserver": {"preload_modules": ["mode_dagster.definitions"]}}
            return dg.multiprocess_executor.configured({"start_method": start})
        case Executor.CELERY:
            return _from_library("dagster_celery", "celery_executor", "celery")
        case Executor.K8S:
            return _from_library("dagster_k8s", "k8s_job_executor", "k8s")


def executor_problems(executor: Executor) -> list[str]:
    """Why this executor can't work where the tables go; none if it can."""
    if executor is Executor.IN_PROCESS or not is_duckdb_file():
        return []
    return [
        f"executor: {str(executor)!r} works steps in several processes, and a DuckDB file has one writer; "
        "set DESTINATION_TYPE to a server (docs/destinations.md), or executor to in_process"
    ]


def _from_library(module: str, name: str, extra: str) -> dg.ExecutorDefinition:
    try:
        found: dg.ExecutorDefinition = getattr(import_module(module), name)
    except ImportError as error:
        raise ModeConfigError(
            f"Could not use the executor {extra}: {module} is not installed. "
            f"{advise_to_install(extra)} wherever this project is loaded."
        ) from error
    return found
