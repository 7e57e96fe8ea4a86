"""What can go wrong between Mode and us, by who is at fault and whether trying again helps.

    ModeError
    ├── ModeConfigError      settings missing, malformed or not of this workspace   → a person mends them
    ├── ModeAuthError        401: Mode does not know the credentials                → a person mends them
    ├── ModeRequestError     any other 4xx: not there, not allowed, not understood  → not retried
    ├── ModeUnavailable      429, 5xx, time-outs, resets, after our own retries     → later
    ├── DestinationBusy      another program has the DuckDB file open               → close it, or later
    ├── DestinationError     the DuckDB file or the disk can't be used as it is     → a person mends them
    ├── ModeListingError     a listing is refused or far shorter than what is stored → look before it counts
    └── ModeResponseError    an answer with status 200 that is not what Mode sends  → look at it
        └── ModeDoubtError   … or that Mode itself contradicts; noted unless many do → later

A message says what we were doing, what came back, what to do. It never holds a secret or a whole body.
"""


def first_line(error: object) -> str:
    """What an error says, without the lines that only a log has room for; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def advise_to_install(extra: str) -> str:
    """What to do where a library is missing that an extra of this package brings."""
    return f"Install the extra {extra} of mode-dagster (in a clone: .venv/bin/python -m pip install -e '.[{extra}]')"


class ModeError(Exception):
    """Anything that kept us from reading Mode."""

    retryable = False
    """Whether the same sync may succeed later with nothing changed."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status of the answer, None where there was none."""


class ModeConfigError(ModeError):
    """Settings are missing or wrong, all of them named at once."""


class ModeAuthError(ModeError):
    """Mode answered 401."""


class ModeRequestError(ModeError):
    """Mode refused this one request (4xx)."""


class ModeUnavailable(ModeError):  # noqa: N818 - says a state, not a fault of the caller
    """Mode could not be reached or failed, and retries did not help."""

    retryable = True


class DestinationBusy(ModeError):  # noqa: N818 - says a state, not a fault of the caller
    """The destination can't be opened for writing now."""

    retryable = True


class DestinationError(ModeError):
    """The destination can't be used as it is: damaged, forbidden, of another version, or the disk is full."""


class ModeListingError(ModeError):
    """A listing that would mark much as deleted, or that was readable before and is not now."""


class ModeResponseError(ModeError):
    """The answer is not one that Mode documents."""

    retryable = True


class ModeDoubtError(ModeResponseError):
    """A list came empty although Mode's own counter says that it has rows, and rows are stored."""
