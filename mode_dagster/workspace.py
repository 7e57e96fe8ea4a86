"""What the parts of one workspace are called: settings, assets, schemas, jobs, pool.

Here: every name that differs between two workspaces in one code location, derived from one word; its tables, by them.
Not here: where the tables go (`extract.destination`), how Mode is reached (`settings`), what is made of the names
(`translator`, `jobs`, `models`).
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import dagster as dg
from dlt.pipeline.pipeline import Pipeline

from mode_dagster.extract.destination import DATASET, PIPELINE
from mode_dagster.extract.endpoints import Family
from mode_dagster.extract.pipeline import mode_pipeline, read_warehouse
from mode_dagster.settings import SECTION
from mode_dagster.warehouse import Warehouse

MARTS = "mode_marts"


@dataclass(frozen=True)
class Workspace:
    """One workspace in a code location.

    Raises:
        ValueError: The name can't be part of a schema's or job's name.
    """

    name: str = ""
    """Tells this workspace from others in the same location; the only one needs none.

    Its settings are then in `[sources.mode_analytics_source.<name>]`, and schemas, jobs and pool end in `_<name>`.
    """
    key_prefix: Sequence[str] = ()
    """Goes before `mode/<table>` and `mode_marts/<model>`; a named workspace without one takes its name."""
    group_name: str = ""
    """One asset group for everything, instead of one for each family of tables."""

    def __post_init__(self) -> None:
        if self.name and not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(
                f"A workspace can't be called {self.name!r} here: use lower-case letters, digits and underscores, "
                "beginning with a letter. (Its name in Mode's URLs is the setting `workspace`.)"
            )

    @property
    def section(self) -> str:
        """Where its settings stand: `sources.mode_analytics_source`, or `.<name>` below it."""
        return f"{SECTION}.{self.name}" if self.name else SECTION

    @property
    def dataset(self) -> str:
        """The schema of the loaded tables."""
        return self.named(DATASET)

    @property
    def marts(self) -> str:
        """The schema of the SQL models."""
        return self.named(MARTS)

    def pipeline(self) -> Pipeline:
        """The dlt pipeline that loads it.

        Raises:
            ModeConfigError: The destination can't be used.
        """
        return mode_pipeline(self.named(PIPELINE), self.dataset)

    def read(self) -> AbstractContextManager[Warehouse]:
        """What is loaded of it, to be read only.

        Raises:
            NoWarehouseError: Nothing is there yet, or somebody is writing.
        """
        return read_warehouse(self.named(PIPELINE), self.dataset)

    def named(self, word: str) -> str:
        """`word` for the only workspace, `word_<name>` for a named one."""
        return f"{word}_{self.name}" if self.name else word

    def table_key(self, table: str) -> dg.AssetKey:
        """The asset of a loaded table: `mode/<table>`."""
        return dg.AssetKey([*self._prefix, "mode", table])

    def model_key(self, model: str) -> dg.AssetKey:
        """The asset of a SQL model: `mode_marts/<model>`."""
        return dg.AssetKey([*self._prefix, MARTS, model])

    def group(self, family: Family | None = None) -> str:
        """The asset group of a family of tables, or of the SQL models where none is given."""
        return self.group_name or (family.value if family else MARTS)

    @property
    def _prefix(self) -> Sequence[str]:
        return self.key_prefix or ([self.name] if self.name else [])


ONLY = Workspace()
"""The one of a location that has no other."""
