"""Dagster's UI in a real browser: a webserver on loopback, and Chromium driven by its DevTools protocol.

Here: starting both, and looking at a page until it shows what is expected.
Not here: what to look for (`test_browser`, docs/images/take.py).
"""

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""Where the browser is; None where there is none."""
FLAGS = (
    "--headless",
    "--no-sandbox",  # needed by root, as in CI's containers; only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)

Found = TypeVar("Found")


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def open(self, address: str, *expected: str, seconds: float = 30) -> str:
        """Goes to an address and gives the text that is to be read there, once all that is expected is in it.

        Raises:
            TimeoutError: Something expected did not appear; the message has the text that did.
        """
        self._call("Page.navigate", url=address)
        return self.read(*expected, seconds=seconds)

    def read(self, *expected: str, seconds: float = 30) -> str:
        """The text on the page, once all that is expected is in it."""
        text = ""

        def shown() -> str | None:
            nonlocal text
            text = str(self.run("document.body.innerText"))
            return text if all(words in text for words in expected) else None

        try:
            return until(shown, seconds)
        except TimeoutError:
            missing = [words for words in expected if words not in text]
            raise TimeoutError(f"{missing} did not appear on the page:\n{text}") from None

    def run(self, script: str) -> Any:
        """The value of some JavaScript."""
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """How large the window is."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def _call(self, method: str, **params: Any) -> Mapping[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(timeout=30))
            if answer.get("id") == number:
                return answer["result"]


def until(look: Callable[[], Found | None], seconds: float) -> Found:
    """What `look` finds, once it finds something.

    Raises:
        TimeoutError: It found nothing for so long.
    """
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {seconds} s")
        time.sleep(0.1)
    return found


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A Chromium with an empty profile in `folder`."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with running(command, folder / "chromium.log"):
        port = until(lambda: devtools_port(folder), 30)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            tab = next(target for target in json.load(answer) if target["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
            yield Page(connection)


def devtools_port(profile: Path) -> str | None:
    """Where a Chromium listens, once it has said so: its file is there, and empty, a moment before."""
    file = profile / "DevToolsActivePort"
    said = file.read_text().split() if file.exists() else []
    return said[0] if said else None


@contextmanager
def webserver(folder: Path, *command: str) -> Iterator[str]:
    """Dagster's webserver on a free loopback port, in the environment as it is; gives its address.

    Args:
        folder: Where it runs and writes its log.
        command: `webserver` alone, or `dev` with the daemon.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    module = ["dagster_webserver"] if command == ("webserver",) else ["dagster", *command]
    arguments = [*module, "-m", "mode_dagster.definitions", "-h", "127.0.0.1", "-p", str(port)]
    address = f"http://127.0.0.1:{port}"
    with running([sys.executable, "-m", *arguments], folder / "webserver.log"):
        until(lambda: _answers(f"{address}/server_info"), 60)
        yield address


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """A program that ends, children and all, when the block does."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
        finally:
            for kind in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, kind)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)


def _answers(address: str) -> bool | None:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return None


def plain(text: str) -> str:
    """Text with every run of white space as one blank: how it reads, whatever the layout."""
    return re.sub(r"\s+", " ", text)
