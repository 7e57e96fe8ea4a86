"""What can be chosen about a sandbox: how big it is, how strict, how slow, and what time it is there.

Not here: what follows from the choice (`world`, `moment`, `server`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ssl import SSLContext
from typing import Any, Literal


@dataclass(frozen=True)
class SandboxOptions:
    """The made-up workspace and the manners of its server."""

    reports: int = 40
    spaces: int = 6
    groups: int = 23
    """Enough for a second page at Mode's default of 20."""
    seed: int = 1
    days: int = 60
    """How far back runs and audit logs go, counted from the server's start."""
    epoch: datetime | None = None
    """Where history begins, instead of `days` before the start; for servers that succeed one another."""
    rate_limit_requests: int = 40
    rate_limit_seconds: float = 10.0
    latency: float = 0.0
    """Seconds that every answer is held back."""
    flat: bool = False
    """Serve the flat routes (`/{workspace}/reports` and so on) with bare keys and `next_page`."""
    discovery: bool = True
    admin: bool = True
    """Whether the API token is an admin's: groups, memberships, audit logs and permissions need one."""
    clock: Callable[[], datetime] | None = None
    """What time it is in the workspace; the real time if None."""
    tls: SSLContext | None = None
    """Speak TLS, with the certificate that is loaded in it."""


@dataclass
class Fault:
    """Something that goes wrong with the requests that `path` is found in."""

    path: str
    """A regular expression, searched in `METHOD /api/…?query`."""
    status: int = 500
    body: str = ""
    """Sent in UTF-8; surrogates as the bytes that they escape, for answers that are none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    """How many requests it hits; None for every one."""
    after: int = 0
    """How many requests it lets pass first."""
    kind: Literal["status", "truncate", "reset", "drop", "html", "delay", "body", "edit"] = "status"
    seconds: float = 0.0
    """How long a `delay` takes."""
    edit: Callable[[Any], Any] = lambda body: body
    """What an `edit` makes of the right answer's JSON."""


@dataclass
class Request:
    """One request that the sandbox got."""

    method: str
    path: str
    query: str
    at: float
    """Seconds on the monotonic clock when it arrived."""
    status: int = 0
    """What it was answered with; 0 while it is being answered, and for dropped connections."""
