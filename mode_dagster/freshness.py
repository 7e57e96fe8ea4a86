"""How old a load may get before somebody is told.

Here: the limits of each family of tables, as freshness policies.
Not here: how old the data is that was loaded (`mode_dagster.checks.recency`), when loads run (`schedules`).

A policy looks at the last materialization; a load that brought nothing new counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from mode_dagster.extract.endpoints import Family


@dataclass(frozen=True)
class Limit:
    """How old a load may get."""

    warn: timedelta
    fail: timedelta

    @property
    def policy(self) -> dg.FreshnessPolicy:
        """The same for Dagster."""
        return dg.FreshnessPolicy.time_window(fail_window=self.fail, warn_window=self.warn)


DAILY = Limit(warn=timedelta(hours=30), fail=timedelta(hours=50))
"""A daily load that is six hours late warns nobody, one that was left out does; two in a row are a failure."""
HOURLY = Limit(warn=timedelta(hours=6), fail=timedelta(hours=12))
"""Much more than an hour: a weekly reconciling sync of a big workspace keeps the hourly ones waiting for hours.

The ledger's, too, which every load writes.
"""

LIMITS: Mapping[Family, Limit] = {**dict.fromkeys(Family, DAILY), Family.RUNS: HOURLY}
