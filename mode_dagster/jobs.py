"""The jobs that people and schedules start.

Here: which assets a job materializes.
Not here: when (schedules), how (`assets`).
"""

import dagster as dg

mode_sync = dg.define_asset_job(
    "mode_sync",
    selection=dg.AssetSelection.all(),
    description="Everything: every table that Mode can give, and what is computed from them.",
)
