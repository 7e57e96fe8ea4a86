"""Everything that Dagster loads, and nothing else: `dagster dev -m mode_dagster.definitions`.

Loading needs no credentials and no network.
"""

import dagster as dg

from mode_dagster.build import build_mode_definitions

defs = dg.Definitions.merge(build_mode_definitions(), dg.Definitions(executor=dg.in_process_executor))
