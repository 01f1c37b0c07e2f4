"""The container of a task, in both forms that a template has: Flyte's own message, and a container of a pod's specification.

Kubernetes' other fields are kept and said to have no effect, since nodes here are no pods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from flyteidl.core import tasks_pb2

from heliostat.domain.secrets import JobSecret

from ..errors import invalid
from .fields import Fields, Json, check_text
from .notes import Notes
from .resources import ALSO_GPU, CPU, DISK, GPU, MEMORY, Amount, Amounts, Resources
from .secrets import secret_name

NOT_A_POD = "nodes here are processes, not pods of Kubernetes"
ONE_CONTAINER = "only the task's own container is run"
_SCHEDULING = "there is no scheduler of pods here; queues say where nodes run"
_MOUNTS = "nothing is mounted: nodes see the files of their machine, and the operator's volumes"
_IDENTITY = "nodes run as the operating system's user that the server has"
_REASONS = {
    **dict.fromkeys(
        ("affinity", "nodeSelector", "nodeName", "tolerations", "topologySpreadConstraints", "schedulerName", "priority",
         "priorityClassName", "runtimeClassName", "preemptionPolicy"), _SCHEDULING
    ),
    **dict.fromkeys(("volumes", "volumeMounts", "volumeDevices"), _MOUNTS),
    **dict.fromkeys(
        ("serviceAccountName", "serviceAccount", "securityContext", "imagePullSecrets", "automountServiceAccountToken"),
        _IDENTITY,
    ),
    "initContainers": ONE_CONTAINER,
    "workingDir": "each run begins in a fresh folder of its own",
    "command": "Ray's processes are started by the platform",
    "args": "Ray's processes are started by the platform",
    "envFrom": "there are no objects of Kubernetes to read variables from; name them one by one",
}  # fmt: skip
_WITHOUT_MEANING = frozenset(
    """
    imagePullPolicy terminationMessagePath terminationMessagePolicy terminationGracePeriodSeconds
    stdin stdinOnce tty ports restartPolicy dnsPolicy enableServiceLinks
    """.split()  # noqa: SIM905 - a list of names reads better as words
)
"""Of a pod or container: what changes nothing for a process of its own, so that nobody need be told."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CORE_NAMES = {
    tasks_pb2.Resources.CPU: CPU,
    tasks_pb2.Resources.GPU: GPU,
    tasks_pb2.Resources.MEMORY: MEMORY,
    tasks_pb2.Resources.EPHEMERAL_STORAGE: DISK,
}


@dataclass(frozen=True)
class Container:
    """What is honoured of one."""

    path: str
    image: str = ""
    argv: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict, repr=False)
    resources: Resources = Resources()
    secrets: tuple[JobSecret, ...] = ()
    """Variables that are to come from a secret of Kubernetes are taken from ours of the same name."""


def flyte_container(container: Any, path: str, notes: Notes) -> Container:  # flyteidl ships no checkable types
    """From ``core.Container``. Raises FlyteError."""
    if container.HasField("data_config") and container.data_config.enabled:
        notes.unused(f"{path}.data_config", "inputs are read by the task itself, no second container brings them")
    if container.architecture:
        notes.unused(f"{path}.architecture", "nodes have the processors of their machine")
    env = {}
    for index, pair in enumerate(container.env):
        env[_variable(pair.key, f"{path}.env[{index}].key")] = check_text(pair.value, f"{path}.env[{index}].value")
    return Container(
        path,
        check_text(container.image, f"{path}.image"),
        tuple(
            check_text(word, f"{path}.{name}[{index}]")
            for name in ("command", "args")
            for index, word in enumerate(getattr(container, name))
        ),
        env,
        flyte_resources(container.resources, f"{path}.resources"),
    )


def flyte_resources(resources: Any, path: str) -> Resources:  # flyteidl ships no checkable types
    """From ``core.Resources``, without what has no name here."""

    def amounts(name: str) -> Amounts:
        rows = enumerate(getattr(resources, name))
        return {
            _CORE_NAMES[row.name]: Amount(row.value, f"{path}.{name}[{index}].value")
            for index, row in rows
            if row.name in _CORE_NAMES and row.value
        }

    return Resources(amounts("requests"), amounts("limits"))


def pod_container(fields: Fields, notes: Notes, own: bool) -> Container:
    """From a container of a pod's specification. ``own``: it is the task's, whose command is what runs. Raises FlyteError."""
    argv = tuple(word for name in ("command", "args") for word in fields.texts(name)) if own else ()
    env, secrets = _pod_env(fields, notes, own)
    known = {"name", "image", "env", "resources"} | ({"command", "args"} if own else set())
    for name in fields.others(known):
        if name not in _WITHOUT_MEANING:
            notes.unused(fields.at(name), reason(name))
    return Container(fields.path, fields.text("image"), argv, env, _pod_resources(fields), secrets)


def left_of_pod(pod: Fields, notes: Notes) -> Json:
    """The fields of a pod's specification that have no effect, each said to have none."""
    left = pod.others({"containers", *_WITHOUT_MEANING})
    for name in left:
        notes.unused(pod.at(name), reason(name))
    return left


def reason(name: str) -> str:
    """Why a field of a pod or container has no effect."""
    return _REASONS.get(name, NOT_A_POD)


def choose(
    containers: Collection[Fields], name: str, notes: Notes, why: str, otherwise: Callable[[Fields], str] | None = None
) -> tuple[Fields | None, list[Fields]]:
    """The container of a name and the others. ``otherwise``: a single one under another name is taken, with that warning."""
    found = next((row for row in containers if row.text("name") == name), None)
    if found is None and len(containers) == 1 and otherwise is not None:
        found = next(iter(containers))
        notes.warn(otherwise(found))
    others = [row for row in containers if row is not found]
    for row in others:
        notes.unused(row.path, why)
    return found, others


def _pod_env(fields: Fields, notes: Notes, own: bool) -> tuple[dict[str, str], tuple[JobSecret, ...]]:
    env: dict[str, str] = {}
    secrets: dict[str, JobSecret] = {}
    for row in fields.objects("env"):
        name = _variable(row.text("name"), row.at("name"))
        source = row.nested("valueFrom")
        if source is None:
            env[name] = row.text("value")
            secrets.pop(name, None)
            continue
        secret = source.nested("secretKeyRef")
        if secret is None or not own:
            notes.unused(row.at("valueFrom"), "there is no object of Kubernetes to take a value from")
        elif secret.flag("optional"):
            notes.unused(row.at("valueFrom"), "only secrets that must be there are taken from those of the workspace")
        else:
            wanted = secret_name(secret.text("name"), secret.text("key"), "", secret.path, {"group": "name"})
            secrets[name] = JobSecret(wanted.group, wanted.key, variables=(name,))
            env.pop(name, None)
    return env, tuple(secrets.values())


def _pod_resources(fields: Fields) -> Resources:
    given = fields.nested("resources")
    if given is None:
        return Resources()

    def amounts(name: str) -> Amounts:
        rows = given.values(name).items()
        return {
            GPU if key == ALSO_GPU else key: Amount(value, f"{given.at(name)}.{key}")
            for key, value in rows
            if value is not None
        }

    return Resources(amounts("requests"), amounts("limits"))


def _variable(name: str, path: str) -> str:
    """The name of an environment variable. A shell passes on no other, and the task is run by one."""
    if not _VARIABLE.fullmatch(name):
        raise invalid(path, f"{name[:80]!r} is not a name of an environment variable: letters, digits and '_'")
    return name
