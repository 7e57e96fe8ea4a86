"""What `base_url = "sandbox"` means: a sandbox that lives as long as one sync.

Here: settings of a sync against the bundled sandbox.
Not here: the sandbox itself (`server`, `world`), serving it for long (`mode-dagster sandbox`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from mode_dagster.extract.endpoints import Listing
from mode_dagster.sandbox import SandboxOptions, serve
from mode_dagster.settings import Settings

REQUESTS_ALLOWED = 2_000
"""In the rate limit's window, unless more is set: at Mode's own 40 in 10 s a demo would take minutes."""


@contextmanager
def bundled(settings: Settings, clock: Callable[[], datetime]) -> Iterator[Settings]:
    """Starts a sandbox on a free loopback port and gives the settings that read it."""
    today = clock().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    allowed = max(settings.rate_limit_requests, REQUESTS_ALLOWED)
    options = SandboxOptions(
        flat=settings.listing is Listing.WORKSPACE,
        rate_limit_requests=allowed,
        rate_limit_seconds=settings.rate_limit_seconds,
        clock=clock,
        # the same history for weeks on end, so that syncs of different days see one workspace
        epoch=(today - timedelta(days=45)).replace(day=1),
    )
    with serve(options) as sandbox:
        yield replace(
            settings,
            **sandbox.access,
            rate_limit_requests=allowed,
        )
