"""The first process of a room: prepares it, says so, and holds it open until its standard input ends.

It runs as process 1 of a process namespace, so when it ends the kernel kills everything in the room.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import tempfile

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP, MS_BIND = 0x8913, 0x8914, 1, 4096


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def ask_names_of_nobody() -> None:
    """A resolver on loopback would fail without the kernel noticing; one without a route is noticed."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("nameserver 192.0.2.1\noptions timeout:1 attempts:1\n")
        file.flush()
        library = ctypes.CDLL(None, use_errno=True)
        if library.mount(file.name.encode(), b"/etc/resolv.conf", None, MS_BIND, None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "/etc/resolv.conf")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever has lost its parent is reaped by the kernel
    raise_loopback()
    ask_names_of_nobody()
    print("ready", flush=True)
    sys.stdin.read()


main()
