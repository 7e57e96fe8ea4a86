"""What all assets of the schema `mode_marts` have in common: SQL models, the lineage of queries, the workspace report.

Here: their specs, when they are made and tried again, how they fail.
Not here: what makes them (`mode_dagster.models`, `references`, `workspace_report`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from mode_dagster.extract.destination import destination_type
from mode_dagster.freshness import DAILY
from mode_dagster.models.build import ModelError
from mode_dagster.workspace import Workspace

WHEN_UPSTREAM_CHANGED = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
RETRY = dg.RetryPolicy(max_retries=2, delay=1)
"""For a DuckDB file that another program has open: opening it waits about 100 seconds for the lock each time."""


def mart_spec(
    workspace: Workspace,
    name: str,
    kind: str,
    *,
    deps: Sequence[dg.AssetKey],
    description: str,
    metadata: Mapping[str, Any] | None = None,
    code_version: str | None = None,
) -> dg.AssetSpec:
    """The asset `mode_marts/<name>`, made of what follows the daily load.

    Args:
        name: The last part of its key.
        kind: What makes it, or what it is, as its badge says.
    """
    return dg.AssetSpec(
        workspace.model_key(name),
        deps=deps,
        description=description,
        metadata=metadata,
        group_name=workspace.group(),
        code_version=code_version,
        automation_condition=WHEN_UPSTREAM_CHANGED,
        freshness_policy=DAILY.policy,
        kinds={destination_type(), kind},
    )


@contextmanager
def model_as_failure() -> Iterator[None]:
    """What can't be built as a Dagster failure that isn't tried again; a locked file is."""
    try:
        yield
    except ModelError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
