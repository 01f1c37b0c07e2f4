"""Options that several cluster commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from . import completion, definitions
from .durations import Duration, Lifetime


def waiting(function: Callable[..., Any]) -> Callable[..., Any]:  # click's own types
    """``--wait/--no-wait`` and ``--timeout``."""
    function = click.option(
        "--timeout", type=Duration(), metavar="TIME",
        help="Longest time to wait, e.g. 90s or 10m; exit code 7 after it (no limit).",
    )(function)  # fmt: skip
    return click.option("--wait/--no-wait", default=True, help="Wait until it is done, showing progress (wait).")(
        function
    )


UPSCALING = ("Default", "Conservative", "Aggressive")
SHAPE = {
    "release": click.option("--release", metavar="NAME", shell_complete=completion.release_names,
                            help="Ray and Python version, e.g. ray-1.3.1 or 2.60.0."),
    "cpu": click.option("--cpu", metavar="CORES", help="Cores of each node, e.g. 2 or 500m."),
    "memory": click.option("--memory", metavar="SIZE", help="Memory of each node, e.g. 4Gi."),
    "gpu": click.option("--gpu", metavar="TYPE", help="GPU type of each node, from the server's catalogue."),
    "queue": click.option("--queue", metavar="NAME", help="Queue that pays for the nodes."),
    "env": click.option("--env", type=definitions.Pair(), multiple=True,
                        help="Environment variable of each node; repeatable."),
    "ray_start_params": click.option("--ray-start-params", metavar="TEXT",
                                     help="Options of 'ray start' for each node, e.g. --num-gpus=0."),
    "head_cpu": click.option("--head-cpu", metavar="CORES", help="Cores of the head, if other."),
    "head_memory": click.option("--head-memory", metavar="SIZE", help="Memory of the head, if other."),
    "groups": click.option("--worker-group", "groups", type=definitions.GroupText(), multiple=True,
                           help="A group of workers; repeatable. Keys: name, replicas, min, max, idle, cpu, memory, gpu, "
                                "queue, type, release, params, env.KEY."),
    "low": click.option("--min", "low", type=definitions.Scale(), multiple=True,
                        help="Autoscaling: least number of workers (of a group); repeatable."),
    "high": click.option("--max", "high", type=definitions.Scale(), multiple=True,
                         help="Autoscaling: greatest number of workers (of a group); repeatable."),
    "autoscale": click.option("--autoscale/--no-autoscale", default=None,
                              help="Add and remove workers between min and max."),
    "idle_timeout": click.option("--idle-timeout", type=Duration(), metavar="TIME",
                                 help="Autoscaling: how long a worker must be idle."),
    "upscaling": click.option("--upscaling", type=click.Choice(UPSCALING, case_sensitive=False),
                              help="Autoscaling: how eagerly workers are added."),
    "idle_stop_after": click.option("--idle-stop-after", type=Lifetime(), metavar="TIME",
                                    help="Stop the cluster when nothing has gone on on it for so long, e.g. 30m; or never."),
    "max_lifetime": click.option("--max-lifetime", type=Lifetime(), metavar="TIME",
                                 help="Stop the cluster so long after its start, e.g. 8h; or never."),
    "priority": click.option("--priority", type=click.IntRange(-1000, 1000), metavar="N",
                             help="Of the starts that wait for a queue, those with more go first (0)."),
    "volumes": click.option("--volume", "volumes", metavar="ID", multiple=True, help="Volume to attach; repeatable."),
    "nfs_mounts": click.option("--nfs-mount", "nfs_mounts", type=definitions.Mount(), multiple=True,
                               help="Network file system that nodes shall see below /mnt/nfs; repeatable."),
    "metrics": click.option("--metrics/--no-metrics", default=None, help="Export figures for Prometheus (metrics)."),
    "collect_logs": click.option("--collect-logs/--no-collect-logs", default=None,
                                 help="Keep logs of nodes and jobs, to be read when it is gone (collect)."),
    "description": click.option("--description", metavar="TEXT", help="For people."),
    "file": click.option("-f", "--file", metavar="FILE",
                         help="Definition in YAML or JSON ('-': stdin); options win over it."),
}  # fmt: skip
"""What a definition is made of, by the names of the parameters."""


def shape_options(function: Callable[..., Any]) -> Callable[..., Any]:  # click's own types
    """What a definition is made of, for create and update."""
    return chosen(SHAPE)(function)


def chosen(names: Iterable[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # click's own types
    """Those of :data:`SHAPE` with these names, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(list(names)):
            function = SHAPE[name](function)
        return function

    return decorate


def parts(options: dict[str, Any]) -> dict[str, Any]:
    """The values of :func:`shape_options` as the parts that :mod:`heliostat.cli.definitions` takes."""
    scaling: dict[str, Any] = {}
    if any(options[name] is not None for name in ("autoscale", "idle_timeout", "upscaling")):
        scaling["enabled"] = options["autoscale"] is not False
    if options["upscaling"] is not None:
        scaling["upscaling"] = options["upscaling"]
    if options["idle_timeout"] is not None:
        scaling["idle_timeout_seconds"] = round(options["idle_timeout"].total_seconds())
    shape = {key: options[key] for key in ("cpu", "memory", "gpu", "queue", "ray_start_params")}
    return {
        "shape": shape | {"env": dict(options["env"])},
        "head": {"cpu": options["head_cpu"], "memory": options["head_memory"]},
        "plain": {
            "release": options["release"],
            "description": options["description"],
            "volumes": list(options["volumes"]),
            "nfs_mounts": list(options["nfs_mounts"]),
            "metrics": options["metrics"],
            "collect_logs": options["collect_logs"],
            "autoscaling": scaling,
            "idle_stop_after": options["idle_stop_after"],
            "max_lifetime": options["max_lifetime"],
            "priority": options["priority"],
        },
        "bounds": {"min_replicas": options["low"], "max_replicas": options["high"]},
    }
