"""Reading log files: what is there, and what is still to come. Connections that break are mended.

Derived from ``aio/logs.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

import codecs
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from .. import protocol

if TYPE_CHECKING:
    from .client import Client

SEARCH_SECONDS = 600.0
"""How long the server may search a log without finding anything."""


def text_of(
    client: Client,
    path: str,
    *,
    offset: int = 0,
    tail: int | None = None,
    grep: str | None = None,
    attempt: int | None = None,
) -> Generator[str, None, None]:
    """What is stored of a log by now, piece by piece. A broken connection is mended unless lines were chosen."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    whole = tail is None and grep is None
    place, connection = offset, protocol.Reconnection()
    while True:
        request = protocol.get(path, offset=place or None, tail=tail, grep=grep, attempt=attempt)
        try:
            with closing(client.pieces(request, silence=SEARCH_SECONDS if grep else 60.0)) as pieces:
                for piece in pieces:
                    connection.good()
                    place += len(piece)
                    text = decoder.decode(piece)
                    if text:
                        yield text
            break
        except protocol.Unavailable as error:
            if connection.ever_good and not whole:
                raise
            connection.bad(error)
        client.sleep(connection.pause)
    rest = decoder.decode(b"", final=True)
    if rest:
        yield rest


def coming_text_of(
    client: Client,
    path: str,
    *,
    offset: int = 0,
    tail: int | None = None,
    grep: str | None = None,
    attempt: int | None = None,
) -> Generator[str, None, None]:
    """The same, and what is written from then on, until nothing more will come.

    After a broken connection it goes on behind the last piece that came whole, so that nothing is lost or doubled.
    """
    place, connection = "", protocol.Reconnection()
    while True:
        begin = {"offset": offset or None, "tail": tail} if not place else {}
        headers = {"last-event-id": place} if place else {}
        request = protocol.get(path, follow=True, grep=grep, attempt=attempt, **begin).with_headers(headers)
        try:
            with closing(client.stream(request)) as rows:
                for row in rows:
                    connection.good()
                    if row.kind in ("end", "gone"):
                        return
                    if row.kind == "log":
                        place = row.id
                        yield row.data["text"]
        except protocol.NotFound:
            if connection.ever_good:
                return
            raise
        except protocol.Unavailable as error:
            connection.bad(error)
        client.sleep(connection.pause)
