"""A task template, read: the cluster that it wants, what runs there, and what of it has no effect (Flyte contract, 5.6)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any

from google.protobuf import duration_pb2

from heliostat.domain.installation import Installation
from heliostat.domain.job_validation import MAX_DEADLINE
from heliostat.domain.quantities import parse_duration
from heliostat.domain.quota import ROOT
from heliostat.domain.releases import Release
from heliostat.domain.secrets import JobSecret
from heliostat.domain.spec import Autoscaling, ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.validation import MIN_LIFETIME

from ..errors import NOT_FOUND, UNIMPLEMENTED, FlyteError, invalid
from ..settings import FlyteSettings
from .containers import Container
from .custom import PATH, Group, RayCustom, read_custom
from .fields import check_text, plain
from .images import release_of
from .notes import Notes
from .pods import Overlay, Target, merged, read_target
from .resources import GPU, Accelerator, size_of
from .runtime_env import RuntimeEnv
from .secrets import read_secrets

RAY, PYTHON = "ray", "python-task"
TYPES = (RAY, PYTHON)
CLUSTER_LABEL = "heliostat/cluster"
"""Name or id of a cluster to run on."""
REUSE_LABEL = "heliostat/reuse-idle"
"""How long a cluster that tasks share may be idle; 0 = a cluster of its own."""
QUEUE_LABEL = "heliostat/queue"
"""The queue that pays for the nodes; without it the root queue does."""
RAW_PODS = "flyte.pods"
"""Key in the cluster's extras: fields of pods that have no effect, per group, as JSON; the head's under an empty name."""
_ACCELERATOR = "template.extended_resources.gpu_accelerator"
LONGEST_RAW = 64 << 10
"""Characters of those that are kept."""
EAGER = (
    "eager tasks call a Flyte backend for each of theirs, which tasks here cannot reach: write it as a workflow, with conditions "
    "and map tasks, or run it on a Flyte backend with Heliostat as its connector"
)
LARGEST = 2 << 20
"""Bytes of a template, which takes a tenth of a second to read. Flyte keeps it in an object of Kubernetes, which is no larger."""


@dataclass(frozen=True)
class TaskWish:
    """What a template asks for, in neutral words."""

    type: str
    cluster: ClusterSpec
    """Without a name."""
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    """Of the task's container, but for what the nodes' own environment says."""
    runtime_env: Mapping[str, Any] = field(repr=False)  # JSON
    """The user's, without ``working_dir`` and ``excludes``."""
    working_dir: str | None = field(repr=False)
    """A URL whose content is laid into the run's folder."""
    secrets: tuple[JobSecret, ...]
    secret_paths: Mapping[str, str]
    """Variables that hold the path of a secret's file."""
    shutdown: bool
    ttl: timedelta
    timeout: timedelta | None
    retries: int
    void: bool
    """It declares no outputs."""
    image: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    existing: str | None
    """Name or id of the cluster to run on."""
    reuse_idle: timedelta | None
    """It shares a cluster with its like, which may be idle for so long; None = it has its own."""
    warnings: tuple[str, ...]
    fingerprint: str
    """Tasks with the same may share a cluster."""


def read_task(
    template: Any, settings: FlyteSettings, installation: Installation, choices: Mapping[str, str] = {}
) -> TaskWish:
    """A ``core.TaskTemplate``; ``choices`` are labels of whoever runs it, which win over its own where they choose something.
    Raises FlyteError: NOT_FOUND for a type that is not run here, else with a path.

    flyteidl ships no checkable types.
    """
    kind = template.type
    if not kind:
        raise invalid("template.type", "is required")
    if kind not in TYPES:
        raise FlyteError(NOT_FOUND, f"Cannot find connector for task type: {kind[:200]}.")
    if template.metadata.is_eager:
        raise FlyteError(UNIMPLEMENTED, EAGER, "template.metadata.is_eager")
    if template.ByteSize() > LARGEST:
        raise invalid("template", f"has {template.ByteSize()} bytes, and at most {LARGEST} are read")
    notes = Notes()
    target = read_target(template, notes)
    labels = {**target.labels, **_pairs(template, "labels")}
    annotations = {**target.annotations, **_pairs(template, "annotations")}
    custom = read_custom(plain(template.custom, PATH), notes) if kind == RAY else _plain_task(target)
    says = (choices, labels, annotations)
    existing = _chosen(CLUSTER_LABEL, *says) or None
    queue = _chosen(QUEUE_LABEL, *says) or ROOT
    _surroundings(template, notes)
    secrets, paths = read_secrets(template.security_context)
    reader = _Reader(template, target, custom, queue, existing is not None, settings, installation, notes)
    cluster = reader.cluster()
    return TaskWish(
        type=kind,
        cluster=cluster,
        argv=target.container.argv,
        env=reader.job_env(),
        runtime_env=custom.runtime_env.values,
        working_dir=custom.runtime_env.working_dir,
        secrets=_joined(secrets, target.container.secrets),
        secret_paths=paths,
        shutdown=True,  # no task can ask for the opposite: false is what is sent when nothing is said
        ttl=settings.ttl if custom.ttl is None else custom.ttl,
        timeout=_timeout(template.metadata.timeout),
        retries=template.metadata.retries.retries,
        void=not template.interface.outputs.variables,
        image=target.container.image,
        labels=labels,
        annotations=annotations,
        existing=existing,
        reuse_idle=_reuse(_chosen(REUSE_LABEL, *says), settings),
        warnings=notes.warnings,
        fingerprint=fingerprint(cluster),
    )


def fingerprint(cluster: ClusterSpec) -> str:
    """SHA-256 of all that makes a difference between two clusters, in hex."""
    bare = replace(cluster, name="", description="", labels={}, extras={}, unhonoured={}, spellings={})
    return hashlib.sha256(json.dumps(asdict(bare), sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class _Reader:
    """The cluster of one template."""

    template: Any  # flyteidl ships no checkable types
    target: Target
    custom: RayCustom
    queue: str
    on_existing: bool
    settings: FlyteSettings
    installation: Installation
    notes: Notes

    def cluster(self) -> ClusterSpec:
        release = self._release(self.custom.head, None)
        scales = self.custom.autoscaling.enabled
        groups = []
        for group in self.custom.groups:
            shape = self._shape(group.overlay, group.ray_start_params)
            own = self._release(group.overlay, release)
            if own != release:
                if (own.ray, own.python) != (release.ray, release.python):
                    raise invalid(
                        f"{group.overlay.container.path}.image",
                        f"all nodes of a cluster have the same Ray and Python; this is {own.display}, the head {release.display}",
                    )
                shape = replace(shape, release=own.display)
            groups.append(_worker_group(group, shape, scales))
        head = self._shape(self.custom.head, self.custom.head_params)
        if not any(shape.gpu for shape in (head, *(group.shape for group in groups))):
            self._no_gpu()
        return ClusterSpec(
            name="",
            release=release.display,
            head=head,
            workers=tuple(groups),
            autoscaling=self.custom.autoscaling,
            extras=self._raw_pods(),
            unhonoured=dict(self.notes.unhonoured),
        )

    def job_env(self) -> Mapping[str, str]:
        """Variables of the job, which all its processes have: without those that some group has its own value of."""
        if self.on_existing:
            return dict(self.target.container.env)
        return {name: value for name, value in self.target.container.env.items() if name not in self._of_nodes()}

    def _of_nodes(self) -> set[str]:
        """Names of the task's variables of which a group has its own value: a job's would win over that."""
        overlays = [self.custom.head, *(group.overlay for group in self.custom.groups)]
        return {name for overlay in overlays for name in overlay.container.env} & self.target.container.env.keys()

    def _shape(self, overlay: Overlay, params: str) -> NodeShape:
        size = size_of(
            self.target.container.resources.under(overlay.container.resources), self._accelerator(), self.settings,
            self.installation.gpus, self.notes,
        )  # fmt: skip
        base = {name: value for name, value in self.target.container.env.items() if name in self._of_nodes()}
        return NodeShape(
            self.queue, size.cpu, size.memory, size.gpu, env={**base, **overlay.container.env}, ray_start_params=params
        )

    def _release(self, overlay: Overlay, head: Release | None) -> Release:
        own = overlay.container if overlay.container.image else self.target.container
        if head is not None and own is self.target.container and not self.custom.head.container.image:
            return head
        catalogue = self.installation.catalogue
        return release_of(own.image, self.settings, catalogue, f"{own.path}.image", self.notes, head)

    def _accelerator(self) -> Accelerator | None:
        wanted = self.template.extended_resources.gpu_accelerator
        if not wanted.device:
            return None
        if wanted.partition_size:
            self.notes.unused(f"{_ACCELERATOR}.partition_size", "GPUs are not partitioned: a node has whole ones")
        return Accelerator(check_text(wanted.device, f"{_ACCELERATOR}.device"), f"{_ACCELERATOR}.device")

    def _no_gpu(self) -> None:
        if self.template.extended_resources.gpu_accelerator.device:
            self.notes.unused(
                f"{_ACCELERATOR}.device", f"no node asks for a GPU; say how many as {GPU}, or gpu= in flytekit"
            )

    def _raw_pods(self) -> Mapping[str, str]:
        """What nodes that were pods would be given, kept for those who ask what was wanted."""
        overlays = {"": self.custom.head, **{group.name: group.overlay for group in self.custom.groups}}
        pods = {name: merged(self.target.pod, overlay.pod) for name, overlay in overlays.items()}
        kept = {name: pod for name, pod in pods.items() if pod}
        text = json.dumps(kept, sort_keys=True) if kept else ""
        return {RAW_PODS: text} if 0 < len(text) <= LONGEST_RAW else {}


def _plain_task(target: Target) -> RayCustom:
    """A task without Ray: a head alone, as large as its container."""
    return RayCustom(Overlay(Container(target.container.path)), "", (), Autoscaling(), RuntimeEnv(), None)


def _worker_group(group: Group, shape: NodeShape, scales: bool) -> WorkerGroup:
    least, most = (group.least, group.most) if scales else (None, None)
    return WorkerGroup(group.name, shape, group.replicas, least, most, "GPU" if shape.gpu else "CPU")


def _pairs(template: Any, name: str) -> dict[str, str]:  # flyteidl ships no checkable types
    path = f"template.metadata.metadata.{name}"
    given = getattr(template.metadata.metadata, name)
    return {check_text(key, path): check_text(value, path) for key, value in given.items()}


def _chosen(name: str, *says: Mapping[str, str]) -> str:
    """A choice that users make with a label, or with an annotation, whose values may be any text."""
    text = next((text for row in says if (text := row.get(name, "").strip())), "")
    return check_text(text, choice_path(name))


def choice_path(name: str) -> str:
    return f"labels.{name}"


def _reuse(text: str, settings: FlyteSettings) -> timedelta | None:
    if not text:
        return settings.reuse_idle
    path = choice_path(REUSE_LABEL)
    try:
        seconds = parse_duration(text[:63])
    except (ValueError, ArithmeticError) as error:
        raise invalid(path, str(error)) from None
    if seconds and not MIN_LIFETIME <= seconds <= 365 * 86400:
        raise invalid(path, f"must be 0, or between {MIN_LIFETIME} seconds and 365 days")
    return timedelta(seconds=seconds) if seconds else None


def _surroundings(template: Any, notes: Notes) -> None:  # flyteidl ships no checkable types
    """What is around the nodes, without effect here."""
    if template.metadata.pod_template_name:
        notes.unused(
            "template.metadata.pod_template_name", "the template is an object of Kubernetes, which is not seen here"
        )
    if template.extended_resources.HasField("shared_memory"):
        notes.unused("template.extended_resources.shared_memory", "nodes share the machine's /dev/shm")
    context = template.security_context
    if context.run_as.ByteSize():
        notes.unused("template.security_context.run_as", "nodes run as the operating system's user that the server has")
    if context.tokens:
        notes.unused("template.security_context.tokens", "no tokens are asked for on behalf of a task")


def _joined(secrets: tuple[JobSecret, ...], more: tuple[JobSecret, ...]) -> tuple[JobSecret, ...]:
    found: dict[tuple[str, str, str], JobSecret] = {}
    for row in (*secrets, *more):
        place = (row.group, row.key, row.version)
        before = found.get(place, row)
        variables = tuple(dict.fromkeys((*before.variables, *row.variables)))
        found[place] = replace(row, variables=variables, file=row.file or before.file)
    return tuple(found.values())


def _timeout(given: duration_pb2.Duration) -> timedelta | None:
    """None when there is none; as long as a job may take at the most."""
    if given.seconds < 0 or (given.seconds == 0 and given.nanos <= 0):
        return None
    if given.seconds >= MAX_DEADLINE.total_seconds():
        return MAX_DEADLINE
    return max(timedelta(seconds=1), timedelta(seconds=given.seconds, microseconds=given.nanos // 1000))
