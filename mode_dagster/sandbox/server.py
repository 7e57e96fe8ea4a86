"""The sandbox as an HTTP server on loopback: connections, the rate limit, the log of requests, faults.

Not here: what is answered (`routes`).
"""

import json
import math
import re
import socket
import struct
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from mode_dagster.sandbox.options import Fault, Request, SandboxOptions
from mode_dagster.sandbox.records import WORKSPACE
from mode_dagster.sandbox.routes import PASSWORD, USERNAME, Answer, Routes
from mode_dagster.sandbox.world import World

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many",
}


class RateLimit:
    """Mode's limit: so many requests in any window, for each credential; refused ones do not count."""

    def __init__(self, requests: int, seconds: float) -> None:
        """Allow `requests` in any `seconds`."""
        self.requests = requests
        self.seconds = seconds
        self._lock = threading.Lock()
        self._taken: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, credential: str) -> tuple[int, float]:
        """How many requests are left, and how long to wait for the next: 0 if this one may pass."""
        with self._lock:
            now, taken = time.monotonic(), self._taken[credential]
            while taken and taken[0] <= now - self.seconds:
                taken.popleft()
            if len(taken) >= self.requests:
                return 0, taken[0] + self.seconds - now
            taken.append(now)
            return self.requests - len(taken), 0.0


class Sandbox:
    """A running sandbox; leaving the `with` block stops it."""

    username = USERNAME
    password = PASSWORD
    workspace = WORKSPACE

    def __init__(self, options: SandboxOptions, port: int = 0) -> None:
        """Make the workspace and listen on 127.0.0.1; port 0 takes any free one."""
        self.options = options
        self.world = World(options)
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.limit = RateLimit(options.rate_limit_requests, options.rate_limit_seconds)
        self._routes = Routes(self.world)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"sandbox": self}))
        if options.tls:
            self._server.socket = options.tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if options.tls else "http"
        self.base_url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="sandbox")
        self._thread.start()

    @property
    def access(self) -> Mapping[str, Any]:
        """The settings that reach it, by name."""
        names = ("base_url", "workspace", "username", "password")
        return {name: getattr(self, name) for name in names}

    def __enter__(self) -> "Sandbox":
        """Give the sandbox that already runs."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.close()

    def close(self) -> None:
        """Stop listening and cut the connections that are still open."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        self._thread.join()

    def log(self, method: str, target: str) -> Request:
        """Note a request on arrival; who takes the sandbox for a proxy names a host, too."""
        path, _, query = re.sub(r"^http://[^/]+", "", target).partition("?")
        with self._lock:
            request = Request(method, path, query, time.monotonic())
            self.requests.append(request)
        return request

    def fault_for(self, request: Request) -> Fault | None:
        """The first fault that hits the request; its count goes down."""
        target = f"{request.method} {request.path}" + (f"?{request.query}" if request.query else "")
        with self._lock:
            for fault in self.faults:
                if fault.times != 0 and re.search(fault.path, target):
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def answer(self, request: Request, headers: "Message[str, str]", body: bytes) -> Answer:
        """Answer as Mode would."""
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        return self._routes.answer(request.method, request.path, query, headers, body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show errors of ours; clients that go away are none of our business."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    sandbox: Sandbox

    def log_message(self, *_: object) -> None:
        """Requests are in `Sandbox.requests`."""

    def do_GET(self) -> None:
        sandbox = self.sandbox
        request = sandbox.log(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if sandbox.options.latency:
            time.sleep(sandbox.options.latency)
        left, wait = sandbox.limit.take(self.headers.get("Authorization") or "")
        limits = {"X-RateLimit-Limit": str(sandbox.limit.requests), "X-RateLimit-Remaining": str(left)}
        if wait:
            text = json.dumps({"id": "rate_limited", "message": "Too many requests"})
            limits["Retry-After"] = str(math.ceil(wait))
            return self._send(request, Answer(text, 429, headers=limits))
        fault = sandbox.fault_for(request)
        if fault and fault.kind == "drop":
            self.close_connection = True
            return None
        answer = self._faulty(fault) if fault else None
        if answer is None:
            answer = sandbox.answer(request, self.headers, body)
        if fault and fault.kind == "edit":
            answer.body = json.dumps(fault.edit(json.loads(answer.body)))
        answer.headers |= limits | dict(fault.headers if fault else {})
        missing = 100 if fault and fault.kind in ("truncate", "reset") else 0
        self._send(request, answer, missing)
        if fault and fault.kind == "reset":
            # lingering for 0 seconds is how a socket is told to send RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return None

    do_POST = do_DELETE = do_PUT = do_PATCH = do_GET  # noqa: N815  # http.server wants these names

    def _faulty(self, fault: Fault) -> Answer | None:
        """The answer that the fault puts in the place of the real one, if it does."""
        if fault.kind == "delay":
            time.sleep(fault.seconds)
        if fault.kind == "html":
            return Answer(fault.body or "<!DOCTYPE html><html><body>Just a moment…</body></html>", 200, "text/html")
        if fault.kind == "body":
            return Answer(fault.body)
        if fault.kind == "status":
            body = fault.body or json.dumps({"id": "fault", "message": "The sandbox was told to fail"})
            return Answer(body, fault.status, "text/html" if body.lstrip().startswith("<") else "application/json")
        return None

    def _send(self, request: Request, answer: Answer, missing: int = 0) -> None:
        """Send everything in one write; `missing` bytes are promised and never come."""
        request.status = answer.status
        body = answer.body.encode(errors="surrogateescape")
        headers = {
            "Content-Type": answer.content_type,
            "Content-Length": str(len(body) + missing),
            **answer.headers,
        }
        lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Unspecified')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        if missing:
            self.close_connection = True


def serve(options: SandboxOptions | None = None, port: int = 0) -> Sandbox:
    """Start a sandbox on 127.0.0.1 in a daemon thread; port 0 takes any free one."""
    return Sandbox(options or SandboxOptions(), port)
