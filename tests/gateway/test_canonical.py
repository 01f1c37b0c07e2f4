"""Paths have one spelling, and odd spellings of forbidden things are refused (also the table for any other engine)."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.gateway.canonical import MAX_PATH, BadPath, canonical_path

SAME = [
    b"/",
    b"/api/version",
    b"/api/jobs/",
    b"/api/jobs/raysubmit_Xe7cvjyGJCyuCvm2/logs/tail",
    b"/static/js/main.84605326.js",
    b"/api/packages/gcs/_ray_pkg_0123456789abcdef.zip",
    b"/a%20b/c",
    b"/a;b=c,d/(e)!$&'*+:@~",
    b"/%C3%A9",
    b"/...",
    b"/.hidden/a..b",
    b"/%2525",
]
DECODED = {
    b"/%61pi/packages/gcs/x": "/api/packages/gcs/x",
    b"/api/%6a%6F%62s/": "/api/jobs/",
    b"/%c3%a9": "/%C3%A9",
    b"/a%2Db%5fc%7Ed%2ee": "/a-b_c~d.e",
    b"/%2561pi/packages": "/%2561pi/packages",
}
REFUSED = [
    b"",
    b"api",
    b"*",
    b"http://head/api/version",
    b"//",
    b"//api/version",
    b"/api//version",
    b"/api/version//",
    b"/./api",
    b"/api/..",
    b"/api/../test/dump",
    b"/api/%2e%2e/test/dump",
    b"/api/.%2E/test",
    b"/api/%2e/test",
    b"/api%2fversion",
    b"/api%2Fversion",
    b"/api%5cversion",
    b"/api\\version",
    b"/a%00b",
    b"/a%0d%0ab",
    b"/a%7f",
    b"/a\x00b",
    b"/a\nb",
    b"/a b",
    b"/\xc3\xa9",
    b"/a%",
    b"/a%2",
    b"/a%zz",
    b"/a%u002f",
    b"/a?b",
    b"/a#b",
    b"/" + b"a" * MAX_PATH,
]


@pytest.mark.parametrize("raw", SAME)
def test_harmless_paths_stay_as_they_are(raw: bytes) -> None:
    assert canonical_path(raw) == raw.decode()


@pytest.mark.parametrize(("raw", "path"), DECODED.items())
def test_needless_escapes_are_decoded_once(raw: bytes, path: str) -> None:
    assert canonical_path(raw) == path


@pytest.mark.parametrize("raw", REFUSED)
def test_paths_without_a_harmless_reading_are_refused(raw: bytes) -> None:
    with pytest.raises(BadPath):
        canonical_path(raw)


pieces = st.one_of(
    st.sampled_from(
        [b"/", b".", b"..", b"%2e", b"%2F", b"%5C", b"\\", b"%61", b"%25", b"api", b"jobs", b"%", b"%00", b"%C3%A9"]
    ),
    st.binary(min_size=1, max_size=3),
)


@given(st.lists(pieces, max_size=12))
def test_what_comes_out_is_canonical_and_means_the_same(parts: list[bytes]) -> None:
    raw = b"/" + b"".join(parts)
    try:
        path = canonical_path(raw)
    except BadPath:
        return
    assert canonical_path(path.encode()) == path
    assert unquote_to_bytes(path) == unquote_to_bytes(raw)
    assert re.fullmatch(r"/(?:[A-Za-z0-9._~/!$&'()*+,;=:@-]|%[0-9A-F]{2})*", path)
    assert not re.search(r"%(?:2F|5C|7F|0.|1.)|//|/\.{1,2}(?:/|$)", path)


@given(st.text(alphabet="abz09-._~/", max_size=20))
def test_escaping_every_unreserved_character_changes_nothing(text: str) -> None:
    raw = ("/" + text).encode()
    escaped = b"".join(bytes([byte]) if byte == 0x2F else b"%%%02x" % byte for byte in raw)
    try:
        plain: str | None = canonical_path(raw)
    except BadPath:
        plain = None
    try:
        spelled: str | None = canonical_path(escaped)
    except BadPath:
        spelled = None
    assert plain == spelled
