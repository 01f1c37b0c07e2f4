"""An HTTP server that answers as it is told, to see what a transport does with it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], None]


@dataclass
class Script:
    """What is answered, one after the other (the last for ever), and what was asked."""

    answers: list[Answer]
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    script: Script

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.script.asked.append((self.command, self.path, headers, body))
        answers = self.script.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _any

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def reply(document: Any, status: int = 200, **headers: str) -> Answer:
    """JSON (``Any``: any JSON)."""
    return lambda handler: handler.send(status, json.dumps(document).encode(), "application/json", headers)


def problem(status: int, code: str, retry: str = "never", **fields: Any) -> Answer:
    document = {"status": status, "code": code, "detail": f"it is {code}", "retry": retry, **fields}
    return reply(document, status, **{"x-request-id": "R-1"})


def raw(status: int, body: bytes, kind: str = "text/html") -> Answer:
    return lambda handler: handler.send(status, body, kind, {})


def hang_up(handler: Handler) -> None:
    """The connection breaks before a byte of the answer."""
    handler.close_connection = True


def events(*blocks: str) -> Answer:
    """A finished event stream."""
    text = "".join(f"{block}\n\n" for block in blocks)
    return lambda handler: handler.send(200, text.encode(), "text/event-stream", {})


@contextlib.contextmanager
def scripted(*answers: Answer) -> Iterator[Script]:
    script = Script(list(answers))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Scripted", (Handler,), {"script": script}))
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
