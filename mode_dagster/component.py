"""One Mode workspace as a Dagster component, for projects that are written in `defs.yaml`.

    type: mode_dagster.ModeComponent
    attributes:
      name: emea
      key_prefix: [emea]

Here: the component's attributes.
Not here: what they lead to (`build`).
"""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from mode_dagster.build import build_mode_definitions


class ModeComponent(dg.Component, dg.Model, dg.Resolvable):
    """A Mode (mode.com) workspace: its tables, SQL models, checks, jobs, schedules and sensors."""

    name: str = Field(
        default="",
        description="Tells this workspace from others in the same code location: its settings are then in "
        "[sources.mode_analytics_source.<name>], and schemas, jobs and pool end in _<name>. "
        "The only workspace needs none.",
        examples=["emea"],
    )
    key_prefix: Sequence[str] = Field(
        default=(),
        description="Goes before the asset keys mode/<table> and mode_marts/<model>; a named workspace without one "
        "takes its name.",
        examples=[["analytics", "mode"]],
    )
    group_name: str = Field(
        default="",
        description="One asset group for everything, instead of one for each family of tables.",
        examples=["mode"],
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the workspace."""
        return build_mode_definitions(self.name, self.key_prefix, self.group_name)
