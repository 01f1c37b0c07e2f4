"""The user's runtime environment, in both encodings."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from heliostat.dialects.flyte.errors import INVALID_ARGUMENT
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.submission import environment

from .templates import refusal, template, wish
from .test_submission import PLACE


def coded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_yaml_goes_first_and_json_is_for_older_plugins() -> None:
    old = coded({"env_vars": {"A": "old"}})
    assert wish(template({"runtimeEnv": old})).runtime_env == {"env_vars": {"A": "old"}}
    both = template({"runtimeEnv": old, "runtimeEnvYaml": "env_vars:\n  A: new\n"})
    assert wish(both).runtime_env == {"env_vars": {"A": "new"}}


@pytest.mark.parametrize("text", ["", " \n", "null", "{}", "# nothing\n", "env_vars:", "{env_vars: , pip: null}"])
def test_nothing_is_nothing(text: str) -> None:
    made = wish(template({"runtimeEnvYaml": text}))
    assert made.runtime_env == {} and "A" not in environment(made, PLACE, FlyteSettings())


@pytest.mark.parametrize(
    ("working_dir", "kept"),
    [(".", None), ("./", None), ("", None), (None, None), ("s3://bucket/code.zip", "s3://bucket/code.zip")],
)
def test_a_working_dir_never_reaches_ray(working_dir: str | None, kept: str | None) -> None:
    made = wish(template({"runtimeEnv": coded({"working_dir": working_dir, "excludes": ["x"], "pip": ["a"]})}))
    assert made.working_dir == kept and made.runtime_env == {"pip": ["a"]}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("working_dir: ./src", ".working_dir", "upload it"),
        ("working_dir: 3", ".working_dir", "string"),
        ("py_modules: [./mine]", ".py_modules[0]", "upload it"),
        ("env_vars: {A: 1}", ".env_vars.A", "quotes"),
        ("env_vars: [A]", ".env_vars", "object"),
        ("a: 2020-01-01", ".a", "quotes"),
        ("a: .nan", ".a", "quotes"),
        ('a: "\\ud800"', ".a", "surrogates"),
        ('a: "\\0"', ".a", "NUL"),
        ("1: a", "", "quotes"),
        ("[a]", "", "object"),
        ("just text", "", "object"),
        ("a: [", "", "line 1"),
        ("a: !!python/object:os.system x", "", "YAML"),
        ("!!timestamp x", "", "YAML"),
        ('!!int ""', "", "YAML"),
        ("!!bool x", "", "YAML"),
        ("[" * 60_000, "", "within each other"),
        ("- " * 3000, "", "YAML"),
        ("x" * 300_000, "", "characters"),
        ("a: &a [*a]", "", "within each other"),
        ("\n".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 9 if i else '1'}]" for i in range(9)), "", "values"),
    ],
)
def test_what_cannot_be_is_told_with_its_path(text: str, path: str, words: str) -> None:
    error = refusal(template({"runtimeEnvYaml": text}))
    assert error.status == INVALID_ARGUMENT and words in str(error)
    assert (error.path or "").startswith(f"template.custom.runtimeEnvYaml{path}")


@pytest.mark.parametrize(
    "text", ["%", "aGk=", base64.b64encode(b"\xff").decode(), "[" * 100, coded(5), coded({"a": 2**70})]
)
def test_bad_json_is_told(text: Any) -> None:
    error = refusal(template({"runtimeEnv": text}))
    assert error.status == INVALID_ARGUMENT and (error.path or "").startswith("template.custom.runtimeEnv")


def test_values_of_variables_are_not_repeated() -> None:
    for text in ("env_vars: {A: hunter2", "env_vars: {A: [hunter2]}", "env_vars: hunter2", "hunter2"):
        assert "hunter2" not in str(refusal(template({"runtimeEnvYaml": text})))
