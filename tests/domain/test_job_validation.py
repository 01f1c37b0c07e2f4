"""What a job may be: each limit from both sides, each error with its path, none with a value that may be secret."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.domain.errors import InvalidSpec, MissingField
from heliostat.domain.job_validation import (
    MAX_DEPTH,
    MAX_ENTRYPOINT_BYTES,
    MAX_FILES,
    MAX_METADATA_BYTES,
    MAX_RUNTIME_ENV_BYTES,
    check_job,
    job_errors,
)
from heliostat.domain.jobs import PACKAGE, Code, EntrypointResources, JobSpec, Retries

from .samples import SPEC

JOB = JobSpec("one", "python main.py", SPEC)


def nested(depth: int) -> dict[str, Any]:
    """``depth`` objects within each other."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"x": value}
    return value


GOOD: dict[str, dict[str, Any]] = {
    "the least": {},
    "the longest entry point": {"entrypoint": "x" * MAX_ENTRYPOINT_BYTES},
    "several lines": {"entrypoint": "cd code\npython main.py"},
    "the longest name": {"name": "ä" * 64},
    "variables": {"runtime_env": {"env_vars": {"_A1": "", "PATH": "a\nb"}}},
    "packages": {"runtime_env": {"pip": ["requests==2.32.3"], "uv": {"packages": ["numpy"], "uv_version": "0.8"}}},
    "no packages": {"runtime_env": {"pip": None, "uv": {}}},
    "any JSON": {"runtime_env": {"config": {"x": [1, 2.5, None, True, {"y": -(2**63)}], "z": 2**64 - 1}}},
    "the deepest": {"runtime_env": nested(MAX_DEPTH)},
    "a URL": {"runtime_env": {"working_dir": "s3://bucket/code.zip"}},
    "a package": {"code": Code(PACKAGE + "0" * 64)},
    "most files": {"code": Code(files=("https://example.org/x",) * MAX_FILES)},
    "metadata": {"metadata": {"k": "v" * (MAX_METADATA_BYTES - 1)}},
    "most tags": {"tags": {f"{number}".rjust(128, "k"): "v" * 128 for number in range(20)}},
    "resources": {"resources": EntrypointResources(0, 0.5, 2**53 - 1, {"disk": 0, "net": 1.5})},
    "the shortest deadline": {"deadline": timedelta(seconds=1)},
    "the longest deadline": {"deadline": timedelta(days=365)},
    "the longest stay": {"ttl": timedelta(days=30)},
    "most retries": {"retries": Retries(100, 0, 100, None)},
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no entry point": ({"entrypoint": ""}, "entrypoint"),
    "blank entry point": ({"entrypoint": " \n\t"}, "entrypoint"),
    "long entry point": ({"entrypoint": "ä" * (MAX_ENTRYPOINT_BYTES // 2 + 1)}, "entrypoint"),
    "NUL in the entry point": ({"entrypoint": "a\0b"}, "entrypoint"),
    "half a pair in the entry point": ({"entrypoint": "echo \ud800"}, "entrypoint"),
    "no name": ({"name": ""}, "name"),
    "blank name": ({"name": "  "}, "name"),
    "long name": ({"name": "x" * 65}, "name"),
    "control character in the name": ({"name": "a\nb"}, "name"),
    "half a pair in the name": ({"name": "\udfff"}, "name"),
    "variables as a list": ({"runtime_env": {"env_vars": ["A=B"]}}, "runtime_env.env_vars"),
    "variables as null": ({"runtime_env": {"env_vars": None}}, "runtime_env.env_vars"),
    "name of a variable": ({"runtime_env": {"env_vars": {"1A": "x"}}}, "runtime_env.env_vars"),
    "no name of a variable": ({"runtime_env": {"env_vars": {"": "x"}}}, "runtime_env.env_vars"),
    "line break after a variable": ({"runtime_env": {"env_vars": {"A\n": "x"}}}, "runtime_env.env_vars"),
    "number as a variable": ({"runtime_env": {"env_vars": {"A": 1}}}, "runtime_env.env_vars.A"),
    "NUL in a variable": ({"runtime_env": {"env_vars": {"A": "x\0"}}}, "runtime_env.env_vars.A"),
    "half a pair in a variable": ({"runtime_env": {"env_vars": {"A": "\ud800"}}}, "runtime_env.env_vars.A"),
    "half a pair in a list": ({"runtime_env": {"pip": ["ok", "\ud800"]}}, "runtime_env.pip[1]"),
    "half a pair in a key": ({"runtime_env": {"config": {"\ud800": 1}}}, "runtime_env.config"),
    "a number beyond 64 bits": ({"runtime_env": {"config": {"x": 2**64}}}, "runtime_env.config.x"),
    "no number": ({"runtime_env": {"config": {"x": [math.nan]}}}, "runtime_env.config.x[0]"),
    "endless": ({"runtime_env": {"config": -math.inf}}, "runtime_env.config"),
    "no JSON": ({"runtime_env": {"config": {1, 2}}}, "runtime_env.config"),
    "too deep": ({"runtime_env": nested(MAX_DEPTH + 1)}, "runtime_env"),
    "far too deep": ({"runtime_env": nested(900)}, "runtime_env"),
    "large": ({"runtime_env": {"config": "x" * MAX_RUNTIME_ENV_BYTES}}, "runtime_env"),
    "a folder": ({"runtime_env": {"working_dir": "."}}, "runtime_env.working_dir"),
    "no folder": ({"runtime_env": {"working_dir": 1}}, "runtime_env.working_dir"),
    "a file of packages": ({"runtime_env": {"pip": "requirements.txt"}}, "runtime_env.pip"),
    "a file of packages inside": ({"runtime_env": {"pip": {"packages": "r.txt"}}}, "runtime_env.pip.packages"),
    "a file for uv": ({"runtime_env": {"uv": "requirements.txt"}}, "runtime_env.uv"),
    "a number of packages": ({"runtime_env": {"pip": 5}}, "runtime_env.pip"),
    "numbers as packages": ({"runtime_env": {"uv": {"packages": [1]}}}, "runtime_env.uv.packages"),
    "a short hash": ({"code": Code(PACKAGE + "0" * 63)}, "working_dir"),
    "a hash in capitals": ({"code": Code(PACKAGE + "A" * 64)}, "working_dir"),
    "a longer hash": ({"code": Code(PACKAGE + "0" * 64 + "/x")}, "working_dir"),
    "half a pair in a URL": ({"code": Code(files=("https://a", "https://\ud800"))}, "files[1]"),
    "half a pair in requirements": ({"code": Code(requirements="https://\ud800")}, "requirements"),
    "many files": ({"code": Code(files=("https://example.org/x",) * (MAX_FILES + 1))}, "files"),
    "files beside code that is on the cluster": (
        {"code": Code(files=("https://a/b",)), "runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}},
        "files",
    ),
    "a number in metadata": ({"metadata": {"k": 1}}, "metadata.k"),
    "much metadata": ({"metadata": {"k": "v" * MAX_METADATA_BYTES}}, "metadata"),
    "half a pair in metadata": ({"metadata": {"k": "\ud800"}}, "metadata"),
    "many tags": ({"tags": {f"k{number}": "" for number in range(21)}}, "tags"),
    "a tag without a key": ({"tags": {"": "v"}}, "tags"),
    "a long key": ({"tags": {"k" * 129: "v"}}, "tags." + "k" * 128),
    "a long value": ({"tags": {"k": "v" * 129}}, "tags.k"),
    "half a pair in a tag": ({"tags": {"\ud800": "v"}}, "tags"),
    "less than no cores": ({"resources": EntrypointResources(cpus=-0.5)}, "resources.cpus"),
    "no number of GPUs": ({"resources": EntrypointResources(gpus=math.nan)}, "resources.gpus"),
    "endless memory": ({"resources": EntrypointResources(memory=10**400)}, "resources.memory"),
    "endless cores": ({"resources": EntrypointResources(cpus=math.inf)}, "resources.cpus"),
    "a resource without a name": ({"resources": EntrypointResources(custom={"": 1})}, "resources.custom"),
    "CPU as a custom one": ({"resources": EntrypointResources(custom={"CPU": 1})}, "resources.custom.CPU"),
    "GPU as a custom one": ({"resources": EntrypointResources(custom={"GPU": 1})}, "resources.custom.GPU"),
    "memory as a custom one": ({"resources": EntrypointResources(custom={"memory": 1})}, "resources.custom.memory"),
    "less than nothing of one": ({"resources": EntrypointResources(custom={"x": -1})}, "resources.custom.x"),
    "a number with 400 digits of one": (
        {"resources": EntrypointResources(custom={"x": 10**400})},
        "resources.custom.x",
    ),
    "no time": ({"deadline": timedelta(0)}, "deadline"),
    "almost a second": ({"deadline": timedelta(seconds=1) - timedelta(microseconds=1)}, "deadline"),
    "more than a year": ({"deadline": timedelta(days=365, microseconds=1)}, "deadline"),
    "less than no stay": ({"ttl": timedelta(microseconds=-1)}, "ttl"),
    "a long stay": ({"ttl": timedelta(days=30, microseconds=1)}, "ttl"),
    "less than no retries": ({"retries": Retries(-1)}, "retries.limit"),
    "many retries": ({"retries": Retries(101)}, "retries.limit"),
    "many of a cause": ({"retries": Retries(1, infrastructure=101)}, "retries.infrastructure"),
    "less than none of a cause": ({"retries": Retries(1, out_of_memory=-1)}, "retries.out_of_memory"),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_within_the_limits_is_taken(case: str) -> None:
    assert [str(error) for error in job_errors(replace(JOB, **GOOD[case]))] == []
    check_job(replace(JOB, **GOOD[case]))


@pytest.mark.parametrize("case", BAD)
def test_what_is_beyond_is_refused_with_its_path(case: str) -> None:
    changes, path = BAD[case]
    errors = list(job_errors(replace(JOB, **changes)))
    assert [error.path for error in errors] == [path]
    with pytest.raises(InvalidSpec) as raised:
        check_job(replace(JOB, **changes))
    assert raised.value.path == path
    assert raised.value.message.isprintable()


def test_a_job_without_an_entry_point_lacks_something() -> None:
    with pytest.raises(MissingField, match=r"python main\.py"):
        check_job(replace(JOB, entrypoint=""))


def test_several_errors_are_told_in_the_order_of_the_fields() -> None:
    wrong = replace(JOB, entrypoint="", name="", tags={"": ""}, ttl=timedelta(-1), retries=Retries(-1, -1))
    assert [error.path for error in job_errors(wrong)] == [
        "entrypoint", "name", "tags", "ttl", "retries.limit", "retries.user_error",
    ]  # fmt: skip


SECRET = "secret-4711"


@pytest.mark.parametrize(
    "changes",
    [
        {"runtime_env": {"env_vars": {"A": [SECRET]}}},
        {"runtime_env": {"env_vars": {"A": SECRET + "\0"}}},
        {"runtime_env": {"env_vars": {"A": SECRET + "\ud800"}}},
        {"runtime_env": {"env_vars": SECRET}},
        {"runtime_env": {"working_dir": SECRET}},
        {"runtime_env": {"pip": SECRET}},
        {"code": Code(PACKAGE + SECRET)},
        {"code": Code(files=(SECRET + "\ud800",))},
        {"entrypoint": SECRET + "\0"},
        {"metadata": {"k": SECRET + "\ud800"}},
    ],
    ids=str,
)
def test_no_value_is_repeated_in_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec) as raised:
        check_job(replace(JOB, **changes))
    assert SECRET not in f"{raised.value} {raised.value!r}"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["env_vars", "pip", "uv", "working_dir", "x"]), anything, max_size=4))
@settings(max_examples=150, deadline=None)
def test_whatever_is_written_is_refused_or_can_be_kept(runtime_env: dict[str, Any]) -> None:
    errors = list(job_errors(replace(JOB, runtime_env=runtime_env)))
    assert all(error.path is not None and error.path.startswith("runtime_env") for error in errors)
    if not errors:
        assert orjson.loads(orjson.dumps(runtime_env)) == runtime_env
