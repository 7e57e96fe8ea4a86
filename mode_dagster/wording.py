"""How numbers, times and other people's texts are put into a sentence.

Here: what is said the same way on an asset's page, in the terminal and in an alert.
Not here: Markdown (`markdown`), HTML (`workspace_report.page`).
"""

from datetime import UTC, datetime


def words(count: int, one: str, many: str = "") -> str:
    """`1,204 rows`, `1 row`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def clock(moment: datetime | None) -> str:
    """A point in time as people read it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "unknown"


def one_line(text: str, longest: int) -> str:
    """A text on one line of so many characters: whoever wrote it into Mode may have used some that a terminal obeys."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
