"""Ours and the real package's classes, asked the same."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core import tasks_pb2
from flyteidl.plugins import ray_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings

from heliostat.dialects.flyte import models
from heliostat.dialects.flyte.models import WorkerGroupSpec, upstream_quirks

from .answers import answer
from .conftest import Ask
from .questions import any_message, any_object

MANY = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
SOME = settings(MANY, max_examples=80)


@MANY
@given(seen=any_object(), other=any_object())
def test_what_fits_is_seen_the_same(upstream: Ask, seen: Any, other: Any) -> None:
    question = {"object": seen, "other": other}
    assert answer(models, question) == upstream(question)


@SOME
@given(seen=any_object(most=4))
def test_with_several_entries_in_its_maps_it_has_the_same_bytes(upstream: Ask, seen: Any) -> None:
    ours, theirs = answer(models, {"object": seen}), upstream({"object": seen})
    for part in ("bytes", "repr", "is_empty", "error", "attributes"):
        assert ours.get(part) == theirs.get(part)


@settings(MANY, max_examples=400)
@given(seen=any_object(junk=True))
def test_what_does_not_fit_fails_the_same_way(upstream: Ask, seen: Any) -> None:
    assert answer(models, {"object": seen}) == upstream({"object": seen})


@SOME
@given(seen=any_object())
def test_equality_is_that_of_class_and_message(upstream: Ask, seen: Any) -> None:
    question = {"object": seen, "other": seen}
    assert answer(models, question) == upstream(question)


@MANY
@given(any_message())
def test_with_upstreams_quirks_messages_are_read_the_same(upstream: Ask, sent: tuple[str, Any]) -> None:
    question = {"decode": [sent[0], _message(*sent).SerializeToString().hex()]}
    with upstream_quirks():
        ours = answer(models, question)
    assert ours == upstream(question)


@MANY
@given(any_message(most=3))
def test_without_them_a_message_is_written_as_it_was_read(sent: tuple[str, Any]) -> None:
    name, message = sent[0], _message(*sent)
    read = getattr(models, name).from_flyte_idl(message)
    written = read.to_flyte_idl()
    assert written == _put_right(message)
    again = type(read).from_flyte_idl(written)
    assert again == read and hash(again) == hash(read) and again.is_empty == (not written.SerializeToString())


@SOME
@given(any_message())
def test_where_upstream_loses_nothing_the_default_reads_the_same(upstream: Ask, sent: tuple[str, Any]) -> None:
    message = _message(*sent)
    question = {"decode": [sent[0], message.SerializeToString().hex()]}
    theirs = upstream(question)
    if theirs["bytes"] == _put_right(message).SerializeToString(deterministic=True).hex():
        ours = answer(models, question)
        for one in (ours, theirs):
            del one["attributes"]  # a name that is empty is read as missing there
        assert ours == theirs


@pytest.mark.parametrize("name", ["RayJob", "RayCluster", "HeadGroupSpec", "WorkerGroupSpec", "AutoscalerOptions"])
def test_flyteks_own_objects_are_taken_as_parts(name: str, upstream: Ask) -> None:
    """Any object with ``to_flyte_idl`` is a part like ours."""

    class Foreign:
        def __init__(self, message: Message) -> None:
            self.message = message

        def to_flyte_idl(self) -> Message:
            return self.message

    parts: dict[str, Any] = {
        "k8s_pod": Foreign(tasks_pb2.K8sPod(primary_container_name="p")),
        "ray_cluster": Foreign(ray_pb2.RayCluster(enable_autoscaling=True)),
        "worker_group_spec": [Foreign(ray_pb2.WorkerGroupSpec(replicas=2)), WorkerGroupSpec("w", 1)],
        "resources": Foreign(tasks_pb2.Resources()),
    }
    needed = {
        "RayJob": ["ray_cluster"],
        "RayCluster": ["worker_group_spec"],
        "HeadGroupSpec": ["k8s_pod"],
        "WorkerGroupSpec": ["k8s_pod"],
        "AutoscalerOptions": ["resources"],
    }[name]
    more = {"group_name": "g", "replicas": 1} if name == "WorkerGroupSpec" else {}
    made = getattr(models, name)(**{part: parts[part] for part in needed}, **more)
    message = made.to_flyte_idl()
    for part in needed:
        whole = parts[part] if isinstance(parts[part], list) else [parts[part]]
        written = getattr(message, part) if isinstance(parts[part], list) else [getattr(message, part)]
        assert [one.to_flyte_idl() for one in whole] == list(written)


def _message(name: str, fields: Any) -> Any:
    made = getattr(ray_pb2 if hasattr(ray_pb2, name) else tasks_pb2, name)()
    return json_format.ParseDict(fields, made)


def _put_right(message: Any) -> Any:
    """As it is after reading: the bounds of every group enclose its replicas."""
    right = type(message)()
    right.CopyFrom(message)
    groups = {
        "WorkerGroupSpec": lambda: [right],
        "RayCluster": lambda: right.worker_group_spec,
        "RayJob": lambda: right.ray_cluster.worker_group_spec,
    }
    if message.DESCRIPTOR.name in groups:
        for group in groups[message.DESCRIPTOR.name]():
            group.min_replicas = min(group.min_replicas, group.replicas)
            group.max_replicas = max(group.max_replicas, group.replicas)
    return right
