"""From a plan to what the shim of one node is told. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliostat.domain.engine import GroupPlan, InstancePlan
from heliostat_node.features import features
from heliostat_node.protocol import NodeSpec

from .layout import AUTOSCALING_FILE
from .records import NODES, TOKEN_FILE, NodeRecord

HOST = "127.0.0.1"
GCS_FOLDER = "gcs"
AGENT_PORTS = ("metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
"""By their names among Ray's own parameters."""

_PASSED = frozenset(
    """
    HOME USER LOGNAME SHELL LANG LANGUAGE TZ PATH LD_LIBRARY_PATH
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy
    """.split()  # noqa: SIM905 - a list of names reads better as words
)
_PASSED_PREFIXES = ("LC_", "PIP_", "UV_", "CUDA_", "NVIDIA_", "XDG_CACHE_")


def base_environment(server: Mapping[str, str]) -> dict[str, str]:
    """What nodes inherit of the server's environment: the user, the language, the way to package indexes, GPUs.

    Nothing else, so that no secret of the server and no setting of another Ray reaches a cluster.
    """
    base = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    return base | {
        name: value for name, value in server.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }


def volume_variable(volume: str) -> str:
    """The name of the variable that tells where a volume is: ``data-1`` -> ``HELIOSTAT_VOLUME_DATA_1``."""
    return "HELIOSTAT_VOLUME_" + re.sub(r"[^A-Z0-9]", "_", volume.upper())


def whole_cores(cores: float) -> int:
    """Ray takes whole cores only as a node's ``CPU`` resource; a part of one counts as one."""
    return math.ceil(cores)


def port_names(kind: str, ray: str, client_server: bool) -> list[str]:
    """Which ports a node needs: fields of its spec, and parameters of a Ray that cannot find ports for its agents."""
    names = ["metrics_export_port"]
    if kind == "head":
        names += ["gcs_port", "dashboard_port", "dashboard_metrics_port", "autoscaler_metrics_port"]
        names += ["client_port"] if client_server else []
    return names if features(ray).agents_bind else [*names, *AGENT_PORTS]


def metrics_addresses(plan: InstancePlan, node: NodeRecord) -> tuple[str, ...]:
    """Where a node that runs exports its figures (see :attr:`NodeObservation.metrics`)."""
    names = ["metrics_export_port"]
    if node.kind == "head":
        names += ["dashboard_metrics_port"]
        names += [] if plan.head.ray_params.get("no_monitor") else ["autoscaler_metrics_port"]
    return tuple(f"{HOST}:{node.ports[name]}" for name in names if name in node.ports) if node.metrics else ()


def group_of(plan: InstancePlan, node: NodeRecord) -> GroupPlan:
    """The group that a node belongs to."""
    if node.kind == "head":
        return plan.head
    return next(group for group in plan.workers if group.name == node.group)


def head_type(plan: InstancePlan) -> str:
    """What Ray knows the head's group by; it must not share it with any other, which a user's group may be called."""
    taken = any(group.name == plan.head.name for group in plan.workers)
    return f"{plan.head.name}.head" if taken else plan.head.name


def node_spec(
    plan: InstancePlan, node: NodeRecord, head: NodeRecord, folder: Path, temps: Path, base: Mapping[str, str]
) -> NodeSpec:
    """The spec of one node. ``folder`` is the instance's, ``temps`` holds the temp dirs, ``base`` is inherited."""
    group = group_of(plan, node)
    able = features(plan.release.ray)
    temp = temps / node.temp
    ports = dict(node.ports) if node.kind == "head" else {**node.ports, "gcs_port": head.ports["gcs_port"]}
    params: dict[str, Any] = dict(group.ray_params)  # values of Ray's options, any JSON
    params.pop("object_store_memory", None)
    resources: dict[str, float] = {}
    if group.gpu is not None:
        resources[f"accelerator_type:{group.gpu.accelerator}"] = 1.0
    resources.update(params.pop("resources", {}))
    params.update({name: ports.pop(name) for name in AGENT_PORTS if name in ports})
    volumes = {volume_variable(volume.id): volume.path for volume in plan.volumes}
    return NodeSpec(
        instance=plan.instance,
        node=node.node,
        kind=node.kind,
        group=head_type(plan) if node.kind == "head" else group.name,
        directory=str(folder / NODES / node.directory),
        temp_dir=str(temp),
        gcs_port=ports.pop("gcs_port"),
        metrics=plan.metrics,
        cpus=whole_cores(group.cpus),
        gpus=float(group.gpu.count) if group.gpu is not None else 0.0,
        memory_bytes=group.memory_bytes,
        object_store_bytes=node.object_store_bytes,
        resources=resources,
        labels=params.pop("labels", {}),
        token_path=str(folder / TOKEN_FILE) if able.token_auth and plan.ray_token is not None else None,
        gcs_storage_dir=str(folder / GCS_FOLDER) if node.kind == "head" and able.gcs_storage else None,
        autoscaling_config=str(folder / AUTOSCALING_FILE) if node.kind == "head" and plan.scaling is not None else None,
        grows=group.cpus == 0,  # no group of a user has none, only the nodes of the warm pool
        environment={**base, "TMPDIR": str(temp / "tmp"), **group.env, **volumes},
        ray_params=params,
        **ports,
    )
