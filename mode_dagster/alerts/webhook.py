"""A message for people, as Slack and what understands its JSON take it.

Here: escaping, cutting to Slack's lengths, posting with a few tries.
Not here: what is told, and when (`sensors`).

The webhook's address is a secret: it is in no message, and requests' own error texts, which hold it, are not passed on.
That is why it tries again by itself: urllib3's retries write the address into the log.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests

from mode_dagster.settings import is_address

BLOCK_LENGTH = 3_000
"""Slack refuses a message that has more characters in the text of a section."""
BLOCKS = 50
"""Slack refuses a message that has more blocks."""
TIMEOUT = 5.0
TRIES = 3
PAUSE = 1.0
"""Seconds before the second try, twice as many before the third."""


class NotTold(Exception):  # noqa: N818 - says a state, not a fault of the caller
    """The webhook did not take the message; the text says what came back, never the address."""


@dataclass(frozen=True)
class Message:
    """What people read, each part in Slack's own markup (see `escaped`)."""

    title: str
    sections: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """The body of the request."""
        texts = [cut(text) for text in (f"*{self.title}*", *self.sections)[:BLOCKS]]
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts]
        return {"text": cut(self.title), "blocks": blocks}

    def __str__(self) -> str:
        """For a log."""
        return "\n".join([self.title, *self.sections])


def escaped(text: str) -> str:
    """Text of others that can't become a link, a mention or markup of Slack's."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, length: int = BLOCK_LENGTH) -> str:
    """At most so many characters; half an escape or half a link at the end goes too."""
    if len(text) <= length:
        return text
    shortened = re.sub(r"&[a-z]{0,3}$", "", text[: length - 1])
    return re.sub(r"<[^>]*$", "", shortened) + "…"


def link(address: str, text: str) -> str:
    """A link if the address is one, else the text; on one line."""
    text = " ".join(text.split())
    if not is_address(address):
        return escaped(text)
    return f"<{escaped(address).replace('|', '%7C')}|{escaped(text).replace('|', '¦')}>"


def post(address: str, message: Message, timeout: float = TIMEOUT) -> None:
    """Sends a message; tries again where that may help.

    Args:
        timeout: Seconds to wait for an answer, each time.

    Raises:
        NotTold: It was not taken.
    """
    came_back = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        came_back, may_help = _post_once(address, message, timeout)
        if not came_back:
            return
        if not may_help:
            break
    raise NotTold(f"Could not post to the webhook: {came_back}. Check the setting webhook_url.")


def _post_once(address: str, message: Message, timeout: float) -> tuple[str, bool]:
    """What went wrong, empty if nothing did, and whether another try may help."""
    try:
        # no redirects: a webhook doesn't move, a login page does
        answer = requests.post(address, json=message.as_json(), timeout=timeout, allow_redirects=False)
    except requests.RequestException as error:
        return type(error).__name__, True
    if answer.ok and not answer.is_redirect:
        return "", False
    return f"HTTP {answer.status_code}", answer.status_code == 429 or answer.status_code >= 500
