"""The task's target, and what the pods of its node groups say beyond it (Flyte contract, sections 3.1 and 5.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import invalid
from .containers import ONE_CONTAINER, Container, choose, flyte_container, left_of_pod, pod_container
from .fields import Fields, Json, check_text, plain
from .notes import Notes

HEAD, WORKER = "ray-head", "ray-worker"
"""What an overlay's containers are called; the primary container's name that comes with one means nothing."""
_PRIMARY = "primary_container_name"


@dataclass(frozen=True)
class Target:
    """What a task runs in."""

    container: Container
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod: Json = field(default_factory=dict, repr=False)
    """Fields of the pod that have no effect, as written."""


@dataclass(frozen=True)
class Overlay:
    """What the nodes of one group have beyond the task's container."""

    container: Container
    pod: Json = field(default_factory=dict, repr=False)


def read_target(template: Any, notes: Notes) -> Target:  # flyteidl ships no checkable types
    """The container of a ``core.TaskTemplate``. Raises FlyteError."""
    match template.WhichOneof("target"):
        case "container":
            container = flyte_container(template.container, "template.container", notes)
            target = Target(container)
        case "k8s_pod":
            target = _read_pod(template, notes)
        case _:
            raise invalid("template.container", "the task has neither a container nor a pod to run in")
    if not target.container.argv:
        raise invalid(f"{target.container.path}.args", "the task says nothing to run")
    return target


def _read_pod(template: Any, notes: Notes) -> Target:  # flyteidl ships no checkable types
    given, path = template.k8s_pod, "template.k8s_pod"
    pod = Fields(plain(given.pod_spec, f"{path}.pod_spec"), f"{path}.pod_spec")
    containers = pod.objects("containers")
    name = template.config.get(_PRIMARY) or given.primary_container_name
    if not name and len(containers) == 1:
        name = containers[0].text("name")
    own, others = choose(containers, name, notes, ONE_CONTAINER)
    if own is None:
        known = ", ".join(row.text("name") for row in containers) or "none"
        raise invalid(
            f"{path}.pod_spec.containers",
            f"no container has the primary container's name {name[:80]!r}; there are: {known}",
        )
    left = left_of_pod(pod, notes)
    if others:
        left["containers"] = [row.others(()) for row in others]
    labels, annotations = (
        {check_text(key, f"{path}.metadata"): check_text(value, f"{path}.metadata") for key, value in pairs.items()}
        for pairs in (given.metadata.labels, given.metadata.annotations)
    )
    return Target(pod_container(own, notes, own=True), labels, annotations, left)


def read_overlay(pod: Fields | None, name: str, path: str, notes: Notes) -> Overlay:
    """A group's ``k8sPod``; ``name`` is what its container should be called. Raises FlyteError."""
    if pod is None:
        return Overlay(Container(path))
    metadata = pod.nested("metadata")
    if metadata is not None:
        for key in ("labels", "annotations"):
            if metadata.text_map(key):
                notes.unused(metadata.at(key), "labels and annotations are the job's here; give them to the task")
    spec = pod.nested("podSpec")
    if spec is None:
        return Overlay(Container(pod.path))

    def misnamed(row: Fields) -> str:
        return f"{row.path}: is taken for the container {name}, though its name is {row.text('name')[:80]!r}"

    own, others = choose(
        spec.objects("containers"), name, notes, f"only the container {name} of a group's pod is taken", misnamed
    )
    left = left_of_pod(spec, notes)
    if others:
        left["containers"] = [row.others(()) for row in others]
    return Overlay(Container(spec.path) if own is None else pod_container(own, notes, own=False), left)


def merged(base: Json, overlay: Json) -> Json:
    """Fields of a pod with those of an overlay: lists are joined, objects merged, anything else replaced."""
    result = dict(base)
    for key, value in overlay.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            result[key] = [*before, *value]
        else:
            result[key] = value
    return result
