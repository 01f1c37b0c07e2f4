"""The environment variables that belong to the engine, in one table with the reason of each. Standard library only.

A node's environment is ``NodeSpec.environment`` (a clean base and what the user gave) with this table applied to it, and
nothing is inherited from the server or the zygote. A *fixed* variable wins over the user's; a *default* gives way to it.
The control plane may read the table to refuse or report a user's variable that would be overruled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from heliostat_node.features import Features
from heliostat_node.protocol import NodeSpec

NODE_MARKER = "HELIOSTAT_NODE"
"""Carried by every process of a node and by what users' code starts; see :mod:`heliostat_node.processes`."""

Value = Callable[[NodeSpec, Features], str | None]


@dataclass(frozen=True)
class Variable:
    """One variable of the engine. A value of None removes the variable."""

    name: str
    value: Value
    reason: str
    fixed: bool = True
    """False: only a default, a value in ``NodeSpec.environment`` wins."""
    at_import: bool = False
    """Ray reads it when it is imported, so the zygote must have it too; such a value cannot depend on the node."""


def _always(value: str | None) -> Value:
    return lambda spec, features: value


def _head(value: Callable[[NodeSpec], str | None]) -> Value:
    return lambda spec, features: value(spec) if spec.kind == "head" else None


def _storage(value: Callable[[str], str]) -> Value:
    return lambda spec, features: (
        value(spec.gcs_storage_dir) if spec.kind == "head" and spec.gcs_storage_dir and features.gcs_storage else None
    )


def _listened(spec: NodeSpec, port: int) -> str:
    """A port to serve figures at. Ray has no other way to be told that there shall be none: it notes in its log that this
    one cannot be had, and goes on."""
    return str(port if spec.metrics else NO_PORT)


NO_PORT = -1

VARIABLES: tuple[Variable, ...] = (
    Variable(
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
        _always("0"),
        "Ray then resolves 'localhost' to 127.0.0.1, in drivers too; else it takes the routable address of the host",
        at_import=True,
    ),
    Variable(
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S",
        _always("0"),
        "Ray's own 30 s drain on SIGTERM would delay every stop; the engine drains before it stops",
        at_import=True,
    ),
    Variable("RAY_AUTH_MODE",
             lambda spec, features: ("token" if spec.token_path else "disabled") if features.token_auth else None,
             "always explicit: a token file in the home folder, or a newer release, would switch it on by itself"),
    Variable("RAY_AUTH_TOKEN_PATH", lambda spec, features: spec.token_path if features.token_auth else None,
             "the instance's own token, in a file that only its owner can read"),
    Variable("RAY_AUTH_TOKEN", _always(None), "a token by value would win over the file"),
    Variable("RAY_ADDRESS", _always(None), "would make the node's own processes look for another cluster"),
    Variable("RAY_REDIS_ADDRESS", _always(None), "the node's GCS is the engine's, never an outside Redis"),
    Variable("RAY_CLOUD_INSTANCE_ID", lambda spec, features: spec.node, "joins the Ray node to the engine's node"),
    Variable("RAY_NODE_TYPE_NAME", lambda spec, features: spec.group, "joins the Ray node to its node group"),
    Variable(NODE_MARKER, lambda spec, features: spec.node, "names the owner of a stray process of a user's job"),
    Variable("HELIOSTAT_NODE_DIR", lambda spec, features: spec.temp_dir,
             "tells a driver of an older release which node it runs on (heliostat_node.driver_patch)"),
    Variable("RAY_USAGE_STATS_ENABLED", _always("0"), "nothing is reported to anybody"),
    Variable("RAY_USAGE_STATS_PROMPT_ENABLED", _always("0"), "no notice about a report that is not made"),
    Variable("SERVE_SOCKET_REUSE_PORT_ENABLED", _always("0"),
             "two clusters with Serve on one port would share its traffic; now the second one fails, visibly"),
    Variable("RAY_gcs_storage", _storage(lambda directory: "rocksdb"),
             "the head's state on disk, so that a restarted head keeps its cluster (lower case matters)"),
    Variable("RAY_gcs_storage_path", _storage(lambda directory: directory), "where that state is"),
    Variable("DASHBOARD_METRIC_PORT", _head(lambda spec: _listened(spec, spec.dashboard_metrics_port)),
             "its default is the same on every cluster of the machine"),
    Variable("AUTOSCALER_METRIC_PORT", _head(lambda spec: _listened(spec, spec.autoscaler_metrics_port)),
             "its default is the same on every cluster of the machine"),
    Variable("RAY_enable_metrics_collection", lambda spec, features: None if spec.metrics else "false",
             "the cluster's own setting 'metrics' says whether figures are collected"),
    Variable("RAY_enable_autoscaler_v2", _head(lambda spec: "1" if spec.autoscaling_config else None),
             "the autoscaler that tells nodes apart by their ids; the older one does so by address, and here all have one"),
    Variable("RAY_gcs_rpc_server_reconnect_timeout_s", _always("300"),
             "how long nodes wait for a head that is being restarted (Ray's 60 s are short on a busy machine)", fixed=False),
    Variable("RAY_health_check_initial_delay_ms", _always("5000"), "lenient while the node starts", fixed=False),
    Variable("RAY_health_check_period_ms", _always("1000"), "a hung node is noticed in seconds, not in a minute", fixed=False),
    Variable("RAY_health_check_timeout_ms", _always("3000"), "as above, with room for a busy machine", fixed=False),
    Variable("RAY_health_check_failure_threshold", _always("5"),
             "a node that is declared dead kills its work, so a busy machine must not cause it", fixed=False),
    Variable("RAY_ROTATION_MAX_BYTES", _always(str(32 << 20)),
             "Ray's 512 MiB per log file would fill a shared disk", fixed=False),
    Variable("RAY_ROTATION_BACKUP_COUNT", _always("3"), "as above", fixed=False),
    Variable("PYTHONDONTWRITEBYTECODE", _always(None), "without bytecode every process starts twice as slowly"),
    Variable("PYTHONHOME", _always(None), "would put another Python's library under this one"),
    Variable("VIRTUAL_ENV", lambda spec, features: sys.prefix, "entrypoints see the environment of their release"),
)  # fmt: skip
"""Every variable that the engine owns."""

LOOPBACK = ("127.0.0.1", "localhost")


def import_environment() -> dict[str, str]:
    """What must be set before Ray is imported, in a zygote or in a shim of its own."""
    blank = NodeSpec("", "", "worker", "", "", "", 0)
    none = Features(token_auth=False, gcs_storage=False, node_api=True, drivers_go_astray=False)
    values = {variable.name: variable.value(blank, none) for variable in VARIABLES if variable.at_import}
    return {name: value for name, value in values.items() if value is not None}


def node_environment(spec: NodeSpec, features: Features) -> dict[str, str]:
    """The whole environment of a node's processes: the spec's, with the engine's variables applied."""
    result = dict(spec.environment)
    for variable in VARIABLES:
        if not variable.fixed and variable.name in result:
            continue
        value = variable.value(spec, features)
        if value is None:
            result.pop(variable.name, None)
        else:
            result[variable.name] = value
    result["PATH"] = _with_first(str(Path(sys.executable).parent), result.get("PATH", "/usr/bin:/bin"), ":")
    for name in ("NO_PROXY", "no_proxy"):
        for host in LOOPBACK:
            result[name] = _with_first(host, result.get(name, ""), ",")
    return result


IMPORT_PREFIXES = (
    "RAY_",
    "PYTHON",
    "LD_",
    "GRPC_",
    "OTEL_",
    "DASHBOARD_",
    "AUTOSCALER_",
    "SERVE_",
    "MALLOC_",
    "GLIBC_",
)


def changes_imports(environment: Mapping[str, str]) -> bool:
    """Whether a user's variables may be read when a process or a module is loaded, so that a fork would miss them."""
    ours = {variable.name for variable in VARIABLES}
    return any(name.startswith(IMPORT_PREFIXES) and name not in ours for name in environment)


def overruled(environment: Mapping[str, str]) -> dict[str, str]:
    """A user's variables that the engine will replace, each with the reason, for findings and error messages."""
    return {variable.name: variable.reason for variable in VARIABLES if variable.fixed and variable.name in environment}


def _with_first(item: str, items: str, separator: str) -> str:
    rest = [other for other in items.split(separator) if other and other != item]
    return separator.join([item, *rest])
