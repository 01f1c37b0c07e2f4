"""Options that several cluster commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from . import completion, definitions
from .durations import Duration


def waiting(function: Callable[..., Any]) -> Callable[..., Any]:  # click's own types
    """``--wait/--no-wait`` and ``--timeout``."""
    function = click.option(
        "--timeout", type=Duration(), metavar="TIME",
        help="Longest time to wait, e.g. 90s or 10m; exit code 7 after it (no limit).",
    )(function)  # fmt: skip
    return click.option("--wait/--no-wait", default=True, help="Wait until it is done, showing progress (wait).")(
        function
    )


def shape_options(function: Callable[..., Any]) -> Callable[..., Any]:  # click's own types
    """What a definition is made of, for create and update."""
    for option in reversed((
        click.option("--release", metavar="NAME", shell_complete=completion.release_names,
                     help="Ray and Python version, e.g. ray-1.3.1 or 2.60.0."),
        click.option("--cpu", metavar="CORES", help="Cores of each node, e.g. 2 or 500m."),
        click.option("--memory", metavar="SIZE", help="Memory of each node, e.g. 4Gi."),
        click.option("--gpu", metavar="TYPE", help="GPU type of each node, from the server's catalogue."),
        click.option("--queue", metavar="NAME", help="Queue that pays for the nodes."),
        click.option("--env", type=definitions.Pair(), multiple=True, help="Environment variable of each node; repeatable."),
        click.option("--ray-start-params", metavar="TEXT", help="Options of 'ray start' for each node, e.g. --num-gpus=0."),
        click.option("--head-cpu", metavar="CORES", help="Cores of the head, if other."),
        click.option("--head-memory", metavar="SIZE", help="Memory of the head, if other."),
        click.option("--worker-group", "groups", type=definitions.GroupText(), multiple=True,
                     help="A group of workers; repeatable. Keys: name, replicas, min, max, cpu, memory, gpu, queue, "
                          "type, release, params, env.KEY."),
        click.option("--autoscale/--no-autoscale", default=None, help="Add and remove workers between min and max."),
        click.option("--idle-timeout", type=Duration(), metavar="TIME", help="Autoscaling: how long a worker must be idle."),
        click.option("--volume", "volumes", metavar="ID", multiple=True, help="Volume to attach; repeatable."),
        click.option("--description", metavar="TEXT", help="For people."),
        click.option("-f", "--file", metavar="FILE", help="Definition in YAML or JSON ('-': stdin); options win over it."),
    )):  # fmt: skip
        function = option(function)
    return function


def parts(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The values of :func:`shape_options` as the parts that :mod:`heliostat.cli.definitions` takes."""
    scaling: dict[str, Any] = {}
    if options["autoscale"] is not None or options["idle_timeout"] is not None:
        scaling["enabled"] = options["autoscale"] is not False
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
            "autoscaling": scaling,
        },
    }
