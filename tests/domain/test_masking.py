"""What is taken for a secret, and that none of it is left in a stream, wherever it is cut."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliostat.domain.masking import (
    PIECE_CHARACTERS,
    StreamMasker,
    declared_values,
    encoded,
    hidden,
    of_runtime_env,
    secret_values,
    shown_url,
)

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\nshort=\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("ANY", "s3cret-value", True),
        ("ANY", "short-1", False),
        ("ANY", "production", False),
        ("ANY", "12345678.5", False),
        ("ANY", "1e10000000", False),
        ("ANY", "/usr/lib/python3.11", False),
        ("DB_PASSWORD", "production", True),
        ("db_password", "production", True),
        ("PIN_TOKEN", "123456789", True),
        ("API_KEY", "mellon", True),
        ("API_KEY", "true", False),
        ("KEY_FILE", "/run/keys/file.pem", False),
        ("ANY", "", False),
    ],
)
def test_which_values_may_be_secret(name: str, value: str, secret: bool) -> None:
    assert secret_values({name: value}) == ({value} if secret else frozenset())


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("postgres", set()),
        ("https://me:mellon-friend@host/simple", {"mellon-friend"}),
        ("git+https://ghp_0123456789abcdef@host/x", {"ghp_0123456789abcdef"}),
        ("https://administrator@host/x", set()),
        ("https://host/x.zip?X-Amz-Signature=0123abcd&part=12345678", {"0123abcd"}),
        ("https://me:p%40ss-word@host/x", {"p%40ss-word", "p%2540ss-word", "p@ss-word"}),
        ("https://host/x", set()),
    ],
)
def test_passwords_in_the_urls_of_a_runtime_env(url: str, secrets: set[str]) -> None:
    for env in ({"working_dir": url}, {"pip": [f"package @ {url}"]}, {"pip": {"packages": ["a", url]}}):
        assert of_runtime_env(env) == secrets


def test_variables_of_a_runtime_env_wherever_they_are() -> None:
    env = {
        "env_vars": {"ONE": "first-1-value"},
        "container": {
            "image": "registry/image-2026",
            "run_options": ["--env=TWO=second-2-value", "-e", "THREE=third-3-value"],
        },
        "image_uri": "registry/image-2026",
        "config": {"eager_install": False, "setup_timeout_seconds": 600},
        "deep": [{"env_vars": {"FOUR": "fourth-4-value"}, "registry_password": "fifth"}, {"auth_token": "sixthvalue"}],
    }
    found = of_runtime_env(env)
    assert found == {"first-1-value", "second-2-value", "third-3-value", "fourth-4-value", "sixthvalue"}


def test_the_forms_in_which_programs_print_a_value() -> None:
    value = "a\"b\\c\nd'é ü"
    found = secret_values({"SECRET": value})
    for form in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]):
        assert hidden(f"<{form}>", found) == "<****>"
    assert hidden("x=a%22b%5Cc%0Ad%27%C3%A9%20%C3%BC;", found) == "x=****;"


def test_each_line_of_a_key() -> None:
    found = secret_values({"ANY": KEY})
    printed = "".join(f"(train pid=17) {line}\n" for line in KEY.splitlines())
    left = hidden(printed, found)
    assert "MIIE" not in left
    assert "AQEF" not in left
    assert left.count("****") == 2
    assert "BEGIN PRIVATE KEY" in left
    assert hidden(KEY, found) == "****\n"


def test_secrets_in_a_value_that_is_json() -> None:
    value = json.dumps({"project": "a-project-17", "private_key": KEY, "client": {"token": "opensesame"}})
    found = secret_values({"ACCOUNT": value})
    assert {"opensesame", KEY.strip()} <= found
    assert "a-project-17" not in found


def test_a_very_long_value_is_looked_for_in_pieces() -> None:
    value = "".join(f"{number:05d}-" for number in range(3 * PIECE_CHARACTERS // 6 + 100))
    found = secret_values({"ANY": value})
    assert max(map(len, found)) <= PIECE_CHARACTERS
    assert min(map(len, found)) > PIECE_CHARACTERS // 2
    assert hidden(f"<{value}>", found) == "<" + "****" * 4 + ">"


@pytest.mark.parametrize(
    "value", ["://" * 20_000, "a" * 65536 + "://", "{" * 60_000, "[" * 60_000, "://a?" * 13_000, "://x@" * 13_000]
)
def test_odd_values_take_no_time(value: str) -> None:
    begin = time.process_time()
    secret_values({"ANY": value, "KEY": value})
    assert time.process_time() - begin < 1


def test_text_without_passwords_of_urls() -> None:
    assert hidden("at https://me:mellon@host/x and ftp://you@host") == "at https://****@host/x and ftp://****@host"
    assert hidden("longer and long", ["long", "longer", ""]) == "**** and ****"
    assert shown_url("https://me:mellon@host/x.zip?token=abc#part") == "https://****@host/x.zip?****"
    assert shown_url("s3://bucket/x.zip") == "s3://bucket/x.zip"


def test_text_that_is_no_unicode() -> None:
    assert encoded(secret_values({"ANY": "lone-\ud800-surrogate"}))


LETTERS = st.sampled_from([b"a", b"b", b"ab", b"\n"])
TEXTS = st.lists(LETTERS, max_size=40).map(b"".join)
SECRETS = st.lists(st.lists(LETTERS, min_size=1, max_size=6).map(b"".join), max_size=6)


def cut(text: bytes, places: Sequence[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(marks)]


def reference(text: bytes, secrets: Sequence[bytes]) -> bytes:
    """From left to right, the longest at each place."""
    made, place = b"", 0
    while place < len(text):
        found = max((secret for secret in secrets if text.startswith(secret, place)), key=len, default=b"")
        made += b"****" if found else text[place : place + 1]
        place += len(found) or 1
    return made


@given(TEXTS, SECRETS, st.lists(st.integers(0, 100), max_size=10))
@example(b"aab", [b"aab", b"ab", b"a"], [1, 2])
@example(b"ababab", [b"abab", b"ba"], [3])
def test_a_stream_is_masked_wherever_it_is_cut(text: bytes, secrets: list[bytes], places: list[int]) -> None:
    masker = StreamMasker(secrets)
    made = b"".join([*(masker.feed(piece) for piece in cut(text, places)), masker.finish()])
    assert made == reference(text, secrets)
    if len(set(secrets)) == 1:
        assert made == text.replace(secrets[0], b"****")
    assert masker.held == 0


@given(TEXTS, SECRETS, st.lists(st.integers(0, 100), max_size=10), st.integers(0, 10))
def test_a_new_masker_goes_on_where_an_old_one_held_nothing_back(
    text: bytes, secrets: list[bytes], places: list[int], crash: int
) -> None:
    masker, made, taken, offset = StreamMasker(secrets), b"", 0, 0
    for number, piece in enumerate(cut(text, places)):
        made += masker.feed(piece)
        taken += len(piece)
        offset = taken - masker.held
        if number == crash:
            break
    again = StreamMasker(secrets)
    assert made + again.feed(text[offset:]) + again.finish() == reference(text, secrets)


@given(TEXTS, SECRETS)
def test_only_the_beginning_of_a_secret_is_held_back(text: bytes, secrets: list[bytes]) -> None:
    masker = StreamMasker(secrets)
    masker.feed(text)
    rest = text[len(text) - masker.held :]
    assert not rest or any(secret.startswith(rest) and secret != rest for secret in secrets)


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=40), st.binary(max_size=60))
def test_many_secrets_of_any_bytes(secrets: list[bytes], noise: bytes) -> None:
    text = noise.join([*secrets, noise])
    masker = StreamMasker(secrets)
    assert masker.feed(text) + masker.finish() == reference(text, secrets)


@pytest.mark.slow
@pytest.mark.alone
def test_a_long_log_is_masked_quickly() -> None:
    """30 variables, every form of them; far above what any log grows by."""
    secrets = encoded(secret_values({f"KEY_{number}": f'{number * 7919:x}-"secret"/{number}' for number in range(30)}))
    line = b"2026-01-01 10:00:00,123 INFO train.py:12 -- epoch 12 loss=0.1234 of https://host/data?part=17\n"
    data = line * ((1 << 20) // len(line))
    masker = StreamMasker(secrets)
    begin = time.process_time()
    for _ in range(64):
        masker.feed(data)
    assert 64 / (time.process_time() - begin) > 20, "MiB per second"


@pytest.mark.parametrize(
    "value", ["open", "production", "12345678", "/usr/lib/python3", "two\nlines", "a\tbc", 'say "hi"', "caf\u00e9"]
)
def test_what_was_declared_to_be_secret_is_hidden_whatever_it_looks_like(value: str) -> None:
    known = declared_values([value])
    inner = json.dumps({"file": value})
    for text in (
        value,
        repr(value),
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        inner,
        json.dumps([inner]),
    ):
        assert value not in hidden(text, known) and json.dumps(value)[1:-1] not in hidden(text, known), text


def test_of_what_was_declared_parts_that_sound_like_secrets_are_hidden_too() -> None:
    document = json.dumps({"user": "ada", "password": "hunter2-hunter2"})
    assert hidden("hunter2-hunter2 ada", declared_values([document])) == "**** ada"
    assert hidden("sesame at h", declared_values(["postgresql://ada:sesame@h/db"])) == "**** at h"
    assert declared_values([]) == declared_values(["abc", "", " x "]) == frozenset(), (
        "shorter ones are words of any log"
    )


def test_lines_of_what_was_declared_are_hidden_alone() -> None:
    shown = hidden("\n".join(f"(worker pid=7) {line}" for line in KEY.splitlines()), declared_values([KEY]))
    assert "MIIEvQIBADANBgkqhkiG9w0B" not in shown and "AQEFAASCBKcwggSjAgEAAoIB" not in shown


def test_what_everybody_is_shown_is_no_secret() -> None:
    env = {"TASK": "flows.squares-1", "TOKEN": "flows.squares-2", "BOTH": "flows.squares-1 and more"}
    found = of_runtime_env({"env_vars": env}, {"flows.squares-1"})
    assert "flows.squares-1" not in found and {"flows.squares-2", "flows.squares-1 and more"} <= found
    assert of_runtime_env({"env_vars": None}) == of_runtime_env({}) == frozenset()
