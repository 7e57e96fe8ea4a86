"""What one sync did for one endpoint, in numbers.

Here: the record.
Not here: counting (`walk`), showing it (`materialization`).
"""

from collections import Counter
from dataclasses import dataclass, field

from mode_dagster.extract.errors import ModeError


@dataclass
class Report:
    """What one sync did for one endpoint."""

    rows: int = 0
    """Rows fetched."""
    lists: int = 0
    """Lists read to their end: one, or one a parent."""
    unchanged: int = 0
    """Lists not asked for, because nothing moved since they were loaded."""
    empty: int = 0
    """Lists not asked for, because Mode's counter says that they are empty."""
    skipped: Counter[int] = field(default_factory=Counter)
    """Lists that Mode refused with a tolerated status, by status."""
    counted: int | None = None
    """Rows by Mode's own counters, over the lists that have one and were read in full; None where none was."""
    counted_rows: int = 0
    """Rows fetched from those same lists."""
    missed: int = 0
    """Rows by which lists that seemed unchanged differ from what is stored; only a reconciling sync looks."""
    requests: int = 0
    """Requests made, retries included."""
    seconds: float = 0.0
    """From the first request to the last row."""
    note: str = ""
    """Why there is nothing, or not everything; empty if all is there."""
    error: ModeError | None = None
    """What stopped it."""
