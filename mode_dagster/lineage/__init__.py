"""Which tables and columns a query of Mode reads, from its text alone.

Here: Mode's templates (`template`) and definitions (`definitions`), dialects (`dialects`), SQL (`sql`), all of them
together (`query`), and many queries in processes that can be stopped (`workers`, `worker`).
Not here: where the texts come from and where the answers go (`mode_dagster.references`). Nothing in here may import
Dagster or dlt: a worker process starts in a quarter of a second because of that.
"""

from mode_dagster.lineage.definitions import reached
from mode_dagster.lineage.query import PARSER_VERSION, References, Request, Status, TableReference, parse_query
from mode_dagster.lineage.workers import parse_all

__all__ = ["PARSER_VERSION", "References", "Request", "Status", "TableReference", "parse_all", "parse_query", "reached"]
