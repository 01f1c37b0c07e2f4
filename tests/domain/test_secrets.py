"""How secrets are named and asked for, and what of them a job's environment is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from heliostat.domain.errors import InvalidRequest, InvalidSpec
from heliostat.domain.secrets import (
    FILES,
    MAX_ENVIRONMENT_BYTES,
    MAX_IN_JOB,
    MAX_VALUE_BYTES,
    GivenSecret,
    JobSecret,
    SecretName,
    check_name,
    check_value,
    environment,
    job_secret_errors,
    missing,
)

ONE = JobSecret("db", "password", variables=("PASSWORD",))


@pytest.mark.parametrize(
    "name",
    [
        SecretName("db", "password"),
        SecretName("arn:aws:secretsmanager:eu-west-1:1:secret:prod/db-a1", "password", "AWSCURRENT"),
        SecretName("a.b_c-d", "tls.crt", "2"),
    ],
)
def test_good_names(name: SecretName) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (SecretName("", "k"), "group"),
        (SecretName("../up", "k"), "group"),
        (SecretName("/g", "k"), "group"),
        (SecretName("g", ""), "key"),
        (SecretName("g", ".."), "key"),
        (SecretName("g", "a/b"), "key"),
        (SecretName("g", "k\n"), "key"),
        (SecretName("g", "\u00e9"), "key"),
        (SecretName("g", "k", "a@b"), "version"),
        (SecretName("g", "k" * 254), "key"),
    ],
)
def test_bad_names_are_refused_by_their_part(name: SecretName, path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_name(name)
    assert refused.value.path == path


@pytest.mark.parametrize(
    "value", ["", "hunter2\0", "hunter2\ud800", "hunter2" + "x" * MAX_VALUE_BYTES, "\u00e9" * 40_000]
)
def test_a_bad_value_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_value(value)
    assert refused.value.path == "value" and "hunter2" not in str(refused.value)


def test_good_values() -> None:
    for value in ("x", "two\nlines\n", "\u00e9", "x" * MAX_VALUE_BYTES):
        check_value(value)


def test_what_a_job_may_ask_for() -> None:
    fine = (
        ONE,
        replace(ONE, variables=("_FSEC_MY-GROUP_KEY", "B")),
        replace(ONE, variables=(), file="db/password"),
        replace(ONE, variables=("C",), file="db/user"),
    )
    assert list(job_secret_errors(fine)) == []


@pytest.mark.parametrize(
    ("secrets", "path"),
    [
        ((replace(ONE, group=""),), "secrets[0].group"),
        ((replace(ONE, key="a b"),), "secrets[0].key"),
        ((replace(ONE, version="@"),), "secrets[0].version"),
        ((replace(ONE, variables=()),), "secrets[0].variables"),
        ((replace(ONE, variables=("1A",)),), "secrets[0].variables[0]"),
        ((replace(ONE, variables=("A", "B=C")),), "secrets[0].variables[1]"),
        ((replace(ONE, variables=("A\ud800",)),), "secrets[0].variables[0]"),
        ((replace(ONE, variables=(FILES,)),), "secrets[0].variables[0]"),
        ((replace(ONE, variables=("A", "A")),), "secrets[0].variables[1]"),
        ((ONE, replace(ONE, key="other")), "secrets[1].variables[0]"),
        ((replace(ONE, variables=tuple(f"V{number}" for number in range(21))),), "secrets[0].variables"),
        ((replace(ONE, file="/etc/passwd"),), "secrets[0].file"),
        ((replace(ONE, file="a/../../b"),), "secrets[0].file"),
        ((replace(ONE, file="./a"),), "secrets[0].file"),
        ((replace(ONE, file="a//b"),), "secrets[0].file"),
        ((replace(ONE, file="a/"),), "secrets[0].file"),
        ((replace(ONE, file="a\0b"),), "secrets[0].file"),
        ((replace(ONE, file="a"), replace(ONE, variables=(), file="a")), "secrets[1].file"),
        ((replace(ONE, file="a/b"), replace(ONE, variables=(), file="a")), "secrets[1].file"),
        ((replace(ONE, file="a"), replace(ONE, variables=(), file="a/b")), "secrets[1].file"),
        (tuple(replace(ONE, variables=(f"V{number}",)) for number in range(MAX_IN_JOB + 1)), "secrets"),
    ],
)
def test_what_a_job_may_not_ask_for(secrets: tuple[JobSecret, ...], path: str) -> None:
    assert [error.path for error in job_secret_errors(secrets)] == [path]


def test_variables_and_files_of_an_environment() -> None:
    wanted = (
        replace(ONE, variables=("A", "B")),
        replace(ONE, key="cert", variables=(), file="tls/cert"),
        replace(ONE, key="key", variables=("C",), file="tls/key"),
    )
    made = environment(wanted, ["one", "two\nlines", "\u00e9"])
    files = json.loads(made.pop(FILES))
    assert made == {"A": "one", "B": "one", "C": "\u00e9"}
    assert files == {"tls/cert": "two\nlines", "tls/key": "\u00e9"}
    assert environment((), ()) == {}


def test_an_environment_has_a_bound() -> None:
    largest = "x" * MAX_VALUE_BYTES
    assert environment((ONE,), [largest]) == {"PASSWORD": largest}
    assert len(largest) < MAX_ENVIRONMENT_BYTES < 2 * len(largest)
    with pytest.raises(InvalidSpec, match="room for") as refused:
        environment((replace(ONE, file="f"),), [largest])
    assert refused.value.path == "secrets"


def test_nothing_shows_a_value() -> None:
    assert "hunter2" not in repr(GivenSecret(ONE.name, "hunter2"))
    error = missing(3, SecretName("db", "password", "2"))
    assert error.path == "secrets[3]" and "heliostat secret set db/password@2" in error.message
