"""What came back: a body, or an error that says what was asked, what came, and what to do.

Here: reading one HTTP answer.
Not here: sending (`client`), where the rows are in a body (`rows`).
"""

import json as lenient_json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from dlt.common.json import json

from mode_dagster.extract.errors import (
    ModeAuthError,
    ModeError,
    ModeRequestError,
    ModeResponseError,
    ModeUnavailable,
)

RETRY_STATUSES = (408, 429, *range(500, 600))
RETRY_EXCEPTIONS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


def is_not_json(response: requests.Response | None, _error: BaseException | None) -> bool:
    """Whether a good status comes with a body that is cut short or from a proxy, and is worth another try."""
    if response is None or not _is_good(response):
        return False
    try:
        _content(response)
    except ValueError:
        return True
    return False


def _is_good(response: requests.Response) -> bool:
    return 200 <= response.status_code < 300


def _content(response: requests.Response) -> Any:
    """What a good answer says; with status 204, nothing."""
    return {} if response.status_code == 204 else _parse(response.content)


def _parse(content: bytes) -> Any:
    """JSON as it was meant: what no strict reader takes (half a surrogate pair, bytes that are not UTF-8) is replaced.

    Raises:
        ValueError: It is no JSON, or nested deeper than anything could store.
    """
    try:
        value = json.loadb(content)
    except ValueError:
        value = _parse_leniently(content)
    try:
        json.dumpb(value)
    except TypeError:
        raise ValueError("nested too deeply") from None
    return value


def _parse_leniently(content: bytes) -> Any:
    try:
        value = lenient_json.loads(content.decode(errors="replace"), parse_constant=lambda _: None)
        return json.loadb(lenient_json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def seconds_to_wait(response: requests.Response) -> float:
    """What `Retry-After` asks for, as a number of seconds or as a date; 0 where it asks for nothing sensible.

    A date is compared with the answer's own, so that our clock does not matter.
    """
    retry_after = response.headers.get("Retry-After", "").strip()
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    then, now = _date(retry_after), _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds()) if then else 0.0


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)


@contextmanager
def network_errors(intent: str, path: str) -> Iterator[None]:
    """Turns what requests raises after the last retry into our errors.

    Of a CA file that is not there, and of a proxy's address that is none, it raises no `RequestException`.
    """
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise ModeUnavailable(
            f"Could not {intent}: no trusted TLS connection for {path} ({_reason(error)}). Check base_url; where a "
            "proxy with a certificate of its own is in between, name its CA file in REQUESTS_CA_BUNDLE."
        ) from None
    except (OSError, ValueError) as error:
        raise ModeUnavailable(
            f"Could not {intent}: no answer to GET {path} ({_reason(error)}). Check base_url and the network "
            "(HTTPS_PROXY names a proxy, REQUESTS_CA_BUNDLE a CA file); if they are right, run it again later."
        ) from None


def _reason(error: Exception) -> str:
    """The innermost cause in a few words; requests' own text repeats URL and pool."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    if isinstance(cause, ValueError):
        # of an address, and may repeat what it took for its host: half a login, where a proxy's password has a # in it
        return type(cause).__name__
    return f"{type(cause).__name__}: {str(cause)[:120]}"


def read_body(response: requests.Response, intent: str, shown: str = "") -> dict[str, Any]:
    """The JSON object of an answer.

    Args:
        intent: What it was asked for, as it reads after "Could not".
        shown: What errors call the path; empty where it may be shown as it is.

    Raises:
        ModeError: By kind: what the status means, or ModeResponseError where there is no JSON object.
    """
    where = f"{response.request.method} {shown or urlsplit(response.url).path}"
    if not _is_good(response):
        raise _http_error(response, intent, where)
    try:
        body = _content(response)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        kind = response.headers.get("Content-Type", "no content type")
        raise ModeResponseError(
            f"Could not {intent}: {where} answered HTTP {response.status_code} with {kind}, "
            "not a JSON object. Is base_url Mode's API, and nothing in between that answers for it?",
            status=response.status_code,
        )
    return body


def _http_error(response: requests.Response, intent: str, where: str) -> ModeError:
    status = response.status_code
    said = _said(response)
    text = f"Could not {intent}: HTTP {status} from {where}{f' ({said})' if said else ''}."
    if status == 401:
        return ModeAuthError(f"{text} Check username (API token) and password (API secret).", status=status)
    if status == 429:
        return ModeUnavailable(
            f"{text} The rate limit is used up, by us or by others with the same token: lower rate_limit_requests.",
            status=status,
        )
    if status in RETRY_STATUSES:
        return ModeUnavailable(f"{text} Retries did not help; run it again later.", status=status)
    if 300 <= status < 400:
        return ModeRequestError(
            f"{text} It sends us to {_target(response)}, and credentials are not sent on: if Mode is there, "
            "set base_url to it.",
            status=status,
        )
    if status == 407:
        return ModeRequestError(
            f"{text} The proxy wants a login: put it into HTTPS_PROXY (http://user:password@host:port).", status=status
        )
    if status == 403:
        return ModeRequestError(f"{text} This API token may not read it; an admin's may.", status=status)
    if status == 404:
        return ModeRequestError(f"{text} It is not there, or this API token may not see it.", status=status)
    return ModeRequestError(f"{text} Mode did not accept the request.", status=status)


def _target(response: requests.Response) -> str:
    """Where a redirection leads, without its query, which may hold secrets."""
    try:
        target = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        return "nowhere"
    return f"{target.scheme}://{target.hostname}{target.path}"[:200] if target.hostname else (target.path or "nowhere")


def _said(response: requests.Response) -> str:
    """Mode's own message, where the body is the documented {id, message}."""
    try:
        body = _parse(response.content)
    except ValueError:
        return ""
    message = body.get("message") if isinstance(body, dict) else None
    return _without_secrets(str(message), response)[:200] if message else ""


def _without_secrets(text: str, response: requests.Response) -> str:
    """The text without our credentials, which a server may repeat to say that they are wrong."""
    _, _, sent = response.request.headers.get("Authorization", "").partition(" ")
    parts = b64decode(sent).decode().split(":")
    for secret in filter(None, (sent, ":".join(parts), *parts)):
        text = text.replace(secret, "…")
    return text
