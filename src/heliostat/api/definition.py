"""Definitions between JSON and the domain: a create body or a merge patch becomes a :class:`ClusterSpec`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from heliostat.domain.engine import Upscaling
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.quantities import (
    format_cores,
    format_duration,
    format_memory,
    parse_cores,
    parse_duration,
    parse_memory,
)
from heliostat.domain.secret import Secret
from heliostat.domain.spec import Autoscaling, ClusterSpec, FaultTolerance, Lifetime, NfsMount, NodeShape, WorkerGroup

from .documents import spec_document
from .models.bodies import Definition, PlanRequest, Shape, Unnamed
from .problems import of_validation

OWN_SPELLINGS = (".cpu", ".memory", "idle_stop_after", "max_lifetime")
"""Ends of the paths whose spelling a definition says itself."""


def spec_of(body: Definition, default_release: str) -> ClusterSpec:
    """The spec that a body describes. Amounts keep their spelling."""
    return unnamed_spec_of(body, default_release, body.name)


def unnamed_spec_of(body: Unnamed, default_release: str, name: str = "") -> ClusterSpec:
    """The same of a body without a name."""
    spellings = _spellings(body.head, "head")
    for index, group in enumerate(body.workers):
        spellings |= _spellings(group, f"workers[{index}]")
    for path, text in _lifetimes(body).items():
        if text is not None and text != format_duration(parse_duration(text)):
            spellings[path] = text
    return ClusterSpec(
        name=name,
        description=body.description,
        release=body.release or default_release,
        head=_shape(body.head),
        workers=tuple(
            WorkerGroup(
                name=group.name,
                shape=_shape(group),
                replicas=group.replicas,
                min_replicas=group.min_replicas,
                max_replicas=group.max_replicas,
                type=group.type,
                idle_timeout_seconds=group.idle_timeout_seconds,
            )
            for group in body.workers
        ),
        autoscaling=Autoscaling(
            body.autoscaling.enabled, body.autoscaling.idle_timeout_seconds, Upscaling(body.autoscaling.upscaling)
        ),
        lifetime=Lifetime(*(None if text is None else parse_duration(text) for text in _lifetimes(body).values())),
        priority=body.priority,
        fault_tolerance=_fault_tolerance(body),
        network_service=body.network_service,
        volumes=tuple(body.volumes),
        nfs_mounts=tuple(NfsMount(row.server, row.path, row.mount_point) for row in body.nfs_mounts),
        metrics=body.metrics,
        collect_logs=body.collect_logs,
        labels=body.labels,
        spellings=spellings,
    )


def patched(patch: Any, default_release: str) -> Callable[[ClusterSpec], ClusterSpec]:
    """The change that a merge patch (RFC 7396) over the definition means.

    Absent fields stay, null puts a field back to its default, objects are merged, lists (``workers``, ``volumes``,
    ``nfs_mounts``) are replaced. The change raises InvalidRequest with the path of what is wrong.
    """
    if not isinstance(patch, dict):
        raise InvalidRequest("a merge patch is a JSON object")

    def change(before: ClusterSpec) -> ClusterSpec:
        try:
            body = Definition.model_validate(merged(spec_document(before), patch))
        except ValidationError as error:
            raise of_validation(error.errors(include_url=False, include_context=False)) from None
        after = spec_of(body, default_release)
        kept = {path: text for path, text in before.spellings.items() if not path.endswith(OWN_SPELLINGS)}
        return replace(
            after,
            extras=before.extras,
            unhonoured=before.unhonoured,
            spellings=kept | dict(after.spellings),
            fault_tolerance=_with_password(before.fault_tolerance, after.fault_tolerance, patch),
        )

    return change


def replaced(body: Definition, default_release: str) -> Callable[[ClusterSpec | None], ClusterSpec]:
    """The change to exactly what a body says; what it leaves out has its default.

    The release stays when it is left out, and so do what is write-only and what only another dialect knows.
    """

    def change(before: ClusterSpec | None) -> ClusterSpec:
        if before is None:
            return spec_of(body, default_release)
        after = spec_of(body, before.release)
        kept = {path: text for path, text in before.spellings.items() if not path.endswith(OWN_SPELLINGS)}
        given = body.fault_tolerance.model_dump(exclude_unset=True) if body.fault_tolerance else {}
        return replace(
            after,
            extras=before.extras,
            unhonoured=before.unhonoured,
            spellings=kept | dict(after.spellings),
            fault_tolerance=_with_password(before.fault_tolerance, after.fault_tolerance, {"fault_tolerance": given}),
        )

    return change


def planned(request: PlanRequest, default_release: str) -> Callable[[ClusterSpec | None], ClusterSpec]:
    """The change that a request for a plan means. Raises InvalidRequest."""
    if request.definition is not None and request.patch is None:
        return replaced(request.definition, default_release)
    if request.definition is not None or request.patch is None:
        raise InvalidRequest("give either a definition or a patch")
    change = patched(request.patch, default_release)

    def of_stored(before: ClusterSpec | None) -> ClusterSpec:
        if before is None:
            raise InvalidRequest("a patch is for a cluster that exists", path="patch")
        return change(before)

    return of_stored


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396's MergePatch (``Any``: both are JSON)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _lifetimes(body: Unnamed) -> dict[str, str | None]:
    """In the order of :class:`Lifetime`."""
    return {"idle_stop_after": body.idle_stop_after, "max_lifetime": body.max_lifetime}


def _fault_tolerance(body: Unnamed) -> FaultTolerance | None:
    given = body.fault_tolerance
    if given is None:
        return None
    password = None if given.redis_password is None else Secret(given.redis_password.get_secret_value())
    return FaultTolerance(given.enabled, given.redis_url, given.redis_username, password)


def _with_password(
    before: FaultTolerance | None, after: FaultTolerance | None, patch: Mapping[str, Any]
) -> FaultTolerance | None:
    """The password is not in the document that is patched: it stays unless the patch names it."""
    if before is None or after is None or "redis_password" in (patch.get("fault_tolerance") or {}):
        return after
    return replace(after, redis_password=before.redis_password)


def _shape(body: Shape) -> NodeShape:
    return NodeShape(
        queue=body.queue,
        cpu=parse_cores(body.cpu),
        memory=parse_memory(body.memory),
        gpu=body.gpu,
        env=body.env,
        ray_start_params=body.ray_start_params,
        release=body.release,
    )


def _spellings(body: Shape, path: str) -> dict[str, str]:
    """The amounts that are not written the plain way."""
    found = {}
    if body.cpu != format_cores(parse_cores(body.cpu)):
        found[f"{path}.cpu"] = body.cpu
    if body.memory != format_memory(parse_memory(body.memory)):
        found[f"{path}.memory"] = body.memory
    return found
