"""When a request may leave: one rate limit for all threads, and waiting where Mode asks for it.

Here: the adapter below the session, which also counts what was sent.
Not here: what is sent (`client`), retries (dlt's, above this).
"""

import threading
import time
from collections import Counter
from contextvars import ContextVar
from typing import Any

import requests
from pyrate_limiter import InMemoryBucket, Limiter, Rate
from requests.adapters import HTTPAdapter

from mode_dagster.extract.responses import seconds_to_wait

WORKERS = 20
"""Threads that ask at once: enough to use 4 requests a second when an answer takes 5 seconds."""
WINDOW_MARGIN = 1.02
"""Requests leave evenly and arrive unevenly: a window 2 % longer keeps Mode's own count below its limit."""
SLOWER = 0.8
"""What a refusal leaves of the rate, once in each window."""
LONGEST_PAUSE = 300
"""Seconds that a `Retry-After` may hold everything up."""

asking_for: ContextVar[str] = ContextVar("asking_for")
"""The endpoint that this thread's requests count for."""


class LimitedAdapter(HTTPAdapter):
    """Sends when the limiter says so, and counts what was sent, by endpoint.

    Where Mode refuses all the same (others may use the same token), all threads wait as long as it says, and go on
    at a lower rate, which grows back by one request in each window without a refusal.
    """

    def __init__(self, allowed: int, seconds: float) -> None:
        super().__init__(pool_maxsize=WORKERS)
        self.allowed = self._most = allowed
        """Requests that we allow ourselves in a window; fewer after Mode has refused one."""
        self._seconds = seconds
        self._bucket = InMemoryBucket([self._rate()])
        self._limiter = Limiter(self._bucket)
        self._changed_at = time.monotonic() - seconds
        self._resume_at = 0.0
        self._lock = threading.Lock()
        self.sent: Counter[str] = Counter()
        """Requests by endpoint, retries included."""
        self.answers = 0
        """How many requests were answered at all."""
        self.refused = 0
        """How many requests were answered 429."""
        self.limit: str | None = None
        """The last `X-RateLimit-Limit` that Mode sent, None before any."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Waits for its turn, then sends; a refusal makes all threads wait."""
        self._limiter.try_acquire("mode")
        while (pause := self._resume_at - time.monotonic()) > 0:
            time.sleep(pause)
            # a turn that was given before the pause is too old
            self._limiter.try_acquire("mode")
        with self._lock:
            self.sent[asking_for.get()] += 1
        response = super().send(request, *args, **kwargs)
        with self._lock:
            self.answers += 1
            self.limit = response.headers.get("X-RateLimit-Limit", self.limit)
            if response.status_code in (429, 503):
                pause = min(seconds_to_wait(response), LONGEST_PAUSE)
                self._resume_at = max(self._resume_at, time.monotonic() + pause)
            if response.status_code == 429:
                self.refused += 1
                self._allow(max(1, int(self.allowed * SLOWER)))
            elif self.allowed < self._most:
                self._allow(self.allowed + 1)
        return response

    def _rate(self) -> Rate:
        return Rate(self.allowed, int(self._seconds * 1000 * WINDOW_MARGIN))

    def _allow(self, allowed: int) -> None:
        """Changes the rate, once a window at the most; what was sent already still counts."""
        now = time.monotonic()
        if now - self._changed_at >= self._seconds:
            self._changed_at, self.allowed = now, allowed
            self._bucket.rates = [self._rate()]
