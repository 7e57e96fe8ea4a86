"""What one sync did for one endpoint: the numbers and words that assets, checks and the terminal show.

Here: facts, and what follows from them alone.
Not here: reading (`table`), how a page shows them (`materialization`).
"""

from collections import Counter
from dataclasses import dataclass, field

from mode_dagster.extract.errors import ModeError, ModeListingError
from mode_dagster.wording import words

FAILED_LISTS = 10
"""An endpoint is given up after this many lists in a row that could not be read; fewer leave the others loaded."""


@dataclass
class Tally:
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
    failed: int = 0
    """Lists that could not be read, or not be believed."""
    gave_up: bool = False
    """Whether so many failed in a row that the others were not asked for."""
    error: ModeError | None = None
    """Why a list, or all of them, could not be read."""

    @property
    def is_loaded(self) -> bool:
        """Whether the table is as Mode has it, but for single lists that failed: those are as they were before."""
        if self.error is None:
            return True
        if self.gave_up or isinstance(self.error, ModeListingError):
            return False
        return bool(self.lists or (self.failed < FAILED_LISTS and (self.unchanged or self.empty)))

    @property
    def unread(self) -> str:
        """How many lists could not be read, and why the first of them could not; empty for none."""
        if self.error is None or not self.is_loaded:
            return ""
        return f"{words(self.failed, 'list')} could not be read, and nothing changed there: {self.error}"

    @property
    def refused(self) -> str:
        """How many lists were refused with which status; empty for none."""
        return ", ".join(f"{lists} x HTTP {status}" for status, lists in sorted(self.skipped.items()))
