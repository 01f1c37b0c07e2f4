"""Server-sent events, however the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import orjson
from hypothesis import given
from hypothesis import strategies as st

from heliostat.client.protocol import EventLines, ServerEvent

TEXTS = st.lists(st.text(max_size=20), max_size=5)


@given(TEXTS, st.lists(st.integers(0, 500), max_size=20), st.sampled_from([b"\n", b"\r\n"]))
def test_every_cut_gives_the_same_events(texts: list[str], cuts: list[int], end: bytes) -> None:
    texts = [text.encode(errors="replace").decode() for text in (*texts, "\u2028 \u0085 \x0b \x1c")]
    stream = b"".join(
        b": sign of life" + end + b"event: log" + end + b"id: %d" % number + end
        + b"data: " + orjson.dumps({"text": text}) + end + end
        for number, text in enumerate(texts)
    )  # fmt: skip
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    lines = EventLines()
    seen = [event for start, stop in pairwise(places) for event in lines.take(stream[start:stop])]
    assert [event for event in seen if event.kind] == [
        ServerEvent("log", {"text": text}, str(number)) for number, text in enumerate(texts)
    ]
    assert sum(not event.kind for event in seen) == len(texts)
