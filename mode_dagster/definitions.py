"""Everything that Dagster loads, and nothing else: `dagster dev -m mode_dagster.definitions`.

Loading needs no credentials and no network.
"""

import dagster as dg

from mode_dagster.build import build_mode_definitions
from mode_dagster.executors import executor_definition
from mode_dagster.operation import load_operation

defs = dg.Definitions.merge(
    build_mode_definitions(),
    # for what is materialized by hand or by automation, outside the jobs
    dg.Definitions(executor=executor_definition(load_operation().executor)),
)
