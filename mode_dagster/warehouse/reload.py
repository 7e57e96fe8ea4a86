"""Stored rows that are loaded again: into another destination, or into files that are written anew.

Here: taking off what dlt put on them.
Not here: reading them (`duckdb_file`, `files`).
"""

from collections.abc import Collection, Mapping
from typing import Any

from dlt.common.json import json


def loadable(row: Mapping[str, Any], documents: Collection[str]) -> dict[str, Any]:
    """A stored row as dlt loads it again: without what dlt noted of it.

    Args:
        documents: The columns of JSON, whose values may be texts.
    """
    return {
        column: json.loads(value) if column in documents and isinstance(value, str) else value
        for column, value in row.items()
        if not column.startswith("_dlt_")
    }
