"""A way to a server that breaks: after so many bytes of answers each connection is cut, wherever it is then."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def cutting(port: int, allowance: Callable[[], int | None]) -> Iterator[str]:
    """An address that leads to ``port`` of this machine. ``allowance``: bytes for the next connection, None = no end."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    closing = threading.Event()

    def forward(source: socket.socket, target: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                part = data if left is None else data[:left]
                target.sendall(part)
                if left is not None:
                    left -= len(part)
                    if not left:
                        break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            there = threading.Thread(target=forward, args=(client, server, None), daemon=True)
            there.start()
            forward(server, client, allowance())
            there.join()

    def accept() -> None:
        while not closing.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(client,), daemon=True)
            thread.start()
            threads.append(thread)

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()
