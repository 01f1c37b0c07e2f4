"""Definitions between JSON and specs, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.api.definition import merged, patched, spec_of
from heliostat.api.documents import spec_document
from heliostat.api.models.bodies import Definition
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.spec import Lifetime

DEFAULT = "ray-1.3.1"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result


names = st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=20)
amounts = {
    "cpu": st.one_of(st.integers(1, 64), st.floats(0.001, 64), st.sampled_from(["1", "0.5", "500m", "2.0"])),
    "memory": st.one_of(st.integers(1, 64), st.sampled_from(["8Gi", "8GB", "8", "512Mi", "0.5G", "1.5Gi"])),
    "env": st.dictionaries(st.sampled_from(["A", "B"]), names, max_size=2),
}
groups = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"])},
    optional={**amounts, "replicas": st.integers(0, 1000), "idle_timeout_seconds": st.none() | st.integers(1, 600)},
)
lengths = st.one_of(
    st.none(), st.integers(10, 10**6), st.sampled_from(["30m", "1800", "90m", "1.5h", "never", "1d 2h"])
)
bodies = st.fixed_dictionaries(
    {"name": names},
    optional={
        "description": names,
        "release": st.sampled_from(["ray-1.0.0", "2.47.1"]),
        "head": st.fixed_dictionaries({}, optional=amounts),
        "workers": st.lists(groups, max_size=3),
        "labels": st.dictionaries(names, names, max_size=2),
        "idle_stop_after": lengths,
        "max_lifetime": lengths,
        "priority": st.integers(-1000, 1000),
        "autoscaling": st.fixed_dictionaries(
            {}, optional={"enabled": st.booleans(), "upscaling": st.sampled_from(["Default", "Conservative"])}
        ),
        "nfs_mounts": st.sampled_from([[], [{"server": "10.0.0.2", "path": "/exports", "mount_point": "data"}]]),
        "metrics": st.booleans(),
        "collect_logs": st.booleans(),
        "fault_tolerance": st.none() | st.just({"enabled": True, "redis_url": "redis://h", "redis_password": "p"}),
    },
)


@given(bodies)
@settings(max_examples=60, deadline=None)
def test_a_definition_comes_back_and_means_the_same_again(body: dict[str, Any]) -> None:
    spec = spec_of(Definition.model_validate(body), DEFAULT)
    document = spec_document(spec)
    again = spec_of(Definition.model_validate(document), DEFAULT)
    if spec.fault_tolerance is not None:
        spec = replace(spec, fault_tolerance=replace(spec.fault_tolerance, redis_password=None))
    assert again == spec
    assert spec_document(again) == document


@given(bodies)
@settings(max_examples=30, deadline=None)
def test_an_empty_patch_and_a_patch_with_the_whole_document_change_nothing(body: dict[str, Any]) -> None:
    spec = spec_of(Definition.model_validate(body), DEFAULT)
    spec = replace(spec, unhonoured={"vertex.network": "it has none"})
    spec = replace(spec, extras={"emr.extraParam": "x"}, spellings={**spec.spellings, "workers[0].queue": "odd"})
    assert patched({}, DEFAULT)(spec) == spec
    document = {key: value for key, value in spec_document(spec).items() if value is not None}
    assert patched(document, DEFAULT)(spec) == spec


def test_what_another_dialect_wrote_survives_a_patch_of_something_else() -> None:
    spec = spec_of(Definition.model_validate({"name": "x", "head": {"memory": "8GB"}}), DEFAULT)
    spec = replace(spec, extras={"emr.extraParam": "{}"})
    after = patched({"description": "new"}, DEFAULT)(spec)
    assert after.extras == {"emr.extraParam": "{}"}
    assert spec_document(after)["head"]["memory"] == "8GB"
    assert "head.memory" not in patched({"head": {"memory": "8Gi"}}, DEFAULT)(spec).spellings


def test_a_null_puts_a_field_back_to_its_default() -> None:
    spec = spec_of(Definition.model_validate({"name": "x", "head": {"cpu": 4}, "release": "ray-1.0.0"}), DEFAULT)
    after = patched({"head": None, "release": None}, DEFAULT)(spec)
    assert (after.head.cpu, after.release) == (1, DEFAULT)


def test_a_length_of_time_comes_back_as_it_was_written() -> None:
    body = {"name": "x", "idle_stop_after": "90m", "max_lifetime": 28800}
    spec = spec_of(Definition.model_validate(body), DEFAULT)
    assert (spec.lifetime.idle_stop_seconds, spec.lifetime.max_seconds) == (5400, 28800)
    assert (spec_document(spec)["idle_stop_after"], spec_document(spec)["max_lifetime"]) == ("90m", "28800")
    assert spec_document(patched({"idle_stop_after": 5400}, DEFAULT)(spec))["idle_stop_after"] == "5400"
    never = patched({"idle_stop_after": "never", "max_lifetime": None}, DEFAULT)(spec)
    assert never.lifetime == Lifetime()
    assert not {"idle_stop_after", "max_lifetime"} & never.spellings.keys()


def test_a_secret_does_not_show_in_an_error() -> None:
    with pytest.raises(InvalidRequest) as caught:
        patched({"fault_tolerance": {"redis_password": ["s3cret"]}}, DEFAULT)(
            spec_of(Definition.model_validate({"name": "x"}), DEFAULT)
        )
    assert "s3cret" not in str(caught.value)
    assert caught.value.path == "fault_tolerance.redis_password"
