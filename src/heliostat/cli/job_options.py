"""What ``job submit`` and ``run`` take: options for the job, options for a cluster of its own, and what is sent for them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from . import completion, definitions
from .durations import Duration
from .options import chosen, parts

CAUSES = ("user-error", "out-of-memory", "infrastructure")
"""Why an attempt can fail, as ``--retry-on`` takes it."""
CLUSTER_OPTIONS = (
    "release", "cpu", "memory", "gpu", "queue", "ray_start_params", "head_cpu", "head_memory", "groups", "low", "high",
    "autoscale", "idle_timeout", "upscaling", "idle_stop_after", "max_lifetime", "priority", "volumes",
    "nfs_mounts", "metrics", "collect_logs",
)  # fmt: skip
"""Those of ``cluster create`` that a job's own cluster takes; the variables are those of the job, not of the nodes."""

FLAGS = {
    "groups": "--worker-group",
    "volumes": "--volume",
    "nfs_mounts": "--nfs-mount",
    "low": "--min",
    "high": "--max",
}
"""Where a flag is not called like its parameter."""


class Amount(click.ParamType[tuple[str, float]]):
    """``NAME=NUMBER``."""

    name = "NAME=NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, text = definitions.Pair().convert(value, param, ctx)
        try:
            return name, float(text)
        except ValueError:
            self.fail(f"{text!r} in {value!r} is not a number", param, ctx)


class SecretVariable(click.ParamType[tuple[str, str]]):
    """``NAME=GROUP/KEY[@VERSION]``."""

    name = "NAME=GROUP/KEY[@VERSION]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        from heliostat.client import secret_names
        from heliostat.client.errors import InvalidRequest

        if isinstance(value, tuple):
            return value
        variable, equals, name = str(value).partition("=")
        try:
            secret_names.parse(name)
        except InvalidRequest:
            equals = ""
        if not variable or not equals:
            self.fail("it is not of the form NAME=GROUP/KEY or NAME=GROUP/KEY@VERSION", param, ctx)
        return variable, name


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:  # click's own types
    """What a job is made of, for ``job submit`` and ``run``."""
    function = own_cluster_options(function)
    for option in reversed((
        click.option("--name", metavar="TEXT", help="A name for people (the job's id)."),
        click.option("--working-dir", metavar="DIR|ZIP|URL", help="Files for the job; the entry point starts among them."),
        click.option("--requirements", metavar="FILE", help="Packages for pip to install, one a line."),
        click.option("--env", type=definitions.Pair(), multiple=True, help="Environment variable of the job; repeatable."),
        click.option("--secret", "secrets", type=SecretVariable(), multiple=True,
                     help="Environment variable that gets the value of a secret of the workspace; repeatable."),
        click.option("--pip", metavar="PACKAGE", multiple=True, help="Package for pip to install; repeatable."),
        click.option("--runtime-env", metavar="FILE|JSON", help="Ray runtime environment: a YAML or JSON file, or JSON."),
        click.option("--metadata", type=definitions.Pair(), multiple=True, help="Metadata for Ray; repeatable."),
        click.option("--tag", "tags", type=definitions.Pair(), multiple=True, help="Tag to find it by; repeatable."),
        click.option("--entrypoint-cpus", type=click.FloatRange(min=0), metavar="N", help="Cores that the entry point takes."),
        click.option("--entrypoint-gpus", type=click.FloatRange(min=0), metavar="N", help="GPUs that it takes."),
        click.option("--entrypoint-memory", metavar="SIZE", help="Memory that it takes, e.g. 2Gi."),
        click.option("--entrypoint-resources", type=Amount(), multiple=True, help="Other resource that it takes; repeatable."),
        click.option("--deadline", type=Duration(), metavar="TIME",
                     help="Stop it so long after its submission, e.g. 2h; the start of its cluster counts."),
        click.option("--retries", type=click.IntRange(min=0), metavar="N", help="Try it again so often when it fails (0)."),
        click.option("--retry-on", type=click.Choice(CAUSES), multiple=True,
                     help="Retry after these failures only; repeatable (all)."),
        click.option("--cluster", metavar="CLUSTER", shell_complete=completion.cluster_names,
                     help="Run on this cluster, instead of one made for the job."),
    )):  # fmt: skip
        function = option(function)
    return function


def own_cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:  # click's own types
    """The shape of the cluster that is made for the job; ``--env`` and ``-f`` mean other things for jobs."""
    function = click.option(
        "--cluster-file", metavar="FILE", help="Definition of the job's own cluster in YAML or JSON; options win over it."
    )(function)  # fmt: skip
    return click.option(
        "--workers", type=click.IntRange(min=0), metavar="N", help="Workers of the job's own cluster (none: a head alone)."
    )(chosen(CLUSTER_OPTIONS)(function))  # fmt: skip


def request(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the SDK's ``jobs.submit`` but the entry point, from the values of :func:`job_options`."""
    found: dict[str, Any] = {
        "name": options["name"],
        "working_dir": options["working_dir"],
        "requirements": options["requirements"],
        "env": dict(options["env"]),
        "secrets": secrets(options["secrets"]),
        "pip": list(options["pip"]),
        "runtime_env": runtime_env(options["runtime_env"]),
        "metadata": dict(options["metadata"]),
        "tags": dict(options["tags"]),
        "resources": resources(options),
        "deadline": _seconds(options["deadline"]),
        "retries": retries(options["retries"], options["retry_on"]),
    }
    found |= place(options)
    return {key: value for key, value in found.items() if value not in (None, {}, [])}


def place(options: Mapping[str, Any]) -> dict[str, Any]:
    """What it runs on: ``cluster``, or ``cluster_spec``."""
    shape = {name: options[name] for name in (*CLUSTER_OPTIONS, "workers", "cluster_file")}
    if options["cluster"] is not None:
        extra = [name for name, value in shape.items() if value not in (None, ())]
        if extra:
            flag = FLAGS.get(extra[0], f"--{extra[0].replace('_', '-')}")
            raise click.UsageError(f"{flag} is for a cluster made for the job; with --cluster there is none")
        return {"cluster": options["cluster"]}
    file = definitions.read(options["cluster_file"]) if options["cluster_file"] else {}
    file.pop("name", None)
    whole = parts({**{name: options[name] for name in CLUSTER_OPTIONS}, "env": (), "description": None})
    fields = definitions.creation(file, workers=options["workers"], groups=options["groups"], **whole)
    return {"cluster_spec": fields}


def runtime_env(text: str | None) -> dict[str, Any] | None:
    """A runtime environment from JSON, or from a file in YAML or JSON."""
    if text is None:
        return None
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            # The text itself may hold secrets, so only where it is wrong is told.
            raise click.UsageError(f"--runtime-env is not JSON: {error}") from error
    else:
        found = definitions.document(text)
    if not isinstance(found, dict):
        raise click.UsageError("--runtime-env must be an object, as in {\"pip\": [\"emoji\"]}")  # fmt: skip
    return found


def resources(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the entry point itself takes; empty when nothing was said."""
    found = {
        "cpus": options["entrypoint_cpus"],
        "gpus": options["entrypoint_gpus"],
        "memory": options["entrypoint_memory"],
        "custom": dict(options["entrypoint_resources"]) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def retries(limit: int | None, causes: Sequence[str]) -> dict[str, int] | None:
    """How often to try again: after any failure, or with ``causes`` after those alone."""
    if causes and not limit:
        raise click.UsageError("--retry-on says when to retry; say with --retries how often")
    if not limit:
        return None
    return {"limit": limit} | ({_word(row): 0 for row in CAUSES if row not in causes} if causes else {})


def entrypoint(words: Sequence[str]) -> str:
    """One word is a shell command as it is; several are quoted, so that each arrives as it was typed."""
    return words[0] if len(words) == 1 else shlex.join(words)


def script(path: str, arguments: Sequence[str], working_dir: str | None) -> tuple[str, str | None]:
    """The entry point that runs a Python script, and the folder that goes with it (None: the script alone).

    Raises click.UsageError when there is no such script in the working directory.
    """
    if working_dir is not None and not Path(working_dir).is_dir():
        return shlex.join(["python", path, *arguments]), working_dir
    file = Path(path)
    if not file.is_file():
        raise click.UsageError(
            f"there is no script {path}; to run another command use: heliostat job submit -- COMMAND"
        )
    folder = Path(working_dir) if working_dir is not None else file.resolve().parent
    try:
        name = file.resolve().relative_to(folder.resolve())
    except ValueError:
        raise click.UsageError(f"{path} is not in --working-dir {working_dir}; only that folder is uploaded") from None
    alone = working_dir is None and folder in _never_uploaded(folder)
    return shlex.join(["python", str(name), *arguments]), None if alone else str(folder)


def _never_uploaded(folder: Path) -> tuple[Path, ...]:
    """Folders that hold far more than a program, some of it secret: nobody means them without naming them."""
    import tempfile

    return Path.home().resolve(), Path(folder.anchor), Path(tempfile.gettempdir()).resolve()


def secrets(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Variables and the names of the secrets whose values they get."""
    found = dict(given)
    if len(found) < len(given):
        raise click.UsageError("--secret names a variable twice; each gets the value of one secret")
    return found


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _word(cause: str) -> str:
    return cause.replace("-", "_")
