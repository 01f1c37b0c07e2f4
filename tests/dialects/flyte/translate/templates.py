"""Templates to translate: real ones of flytekit 1.16.31 with its Ray plugin (``templates/``), and small ones made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flyteidl.core import tasks_pb2
from google.protobuf import json_format

from heliostat.dialects.flyte.errors import FlyteError
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.task import TaskWish, read_task
from heliostat.domain.installation import Installation
from heliostat.domain.releases import Catalogue, Release

FOLDER = Path(__file__).parent / "templates"
INSTALLATION = Installation(
    catalogue=Catalogue.of(
        [
            Release("flyte-1.3.1", "2.60.0", "3.11"), Release("flyte-1.3.0", "2.60.0", "3.12"),
            Release("flyte-2.0.0", "2.60.0", "3.11", packages=("torch",)), Release("ray-1.0.1", "2.47.1", "3.11"),
        ]
    )
)  # fmt: skip
IMAGE = "cr.flyte.org/flyteorg/flytekit:py3.11-1.16.31"


def real(name: str) -> Any:
    """A template as flytekit made it."""
    return json_format.Parse((FOLDER / f"{name}.json").read_text(), tasks_pb2.TaskTemplate())


def template(custom: dict[str, Any] | None = None, **more: Any) -> Any:
    """A Ray task; ``more`` are fields of the template as JSON."""
    fields: dict[str, Any] = {
        "type": "ray",
        "container": {"image": IMAGE, "args": ["pyflyte-execute", "a b"]},
        "custom": custom or {},
    }
    if "k8sPod" in more:
        del fields["container"]
    return json_format.ParseDict({**fields, **more}, tasks_pb2.TaskTemplate())


def group(name: str = "w", **fields: Any) -> dict[str, Any]:
    return {"groupName": name, "replicas": 1.0, **fields}


def pod(name: str = "ray-worker", spec: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    return {"podSpec": {"containers": [{"name": name, **container}], **(spec or {})}}


def cluster(*groups: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"rayCluster": {"workerGroupSpec": list(groups), **fields}}


def wish(given: Any, settings: FlyteSettings = FlyteSettings(), installation: Installation = INSTALLATION) -> TaskWish:
    return read_task(given, settings, installation)


def refusal(given: Any, settings: FlyteSettings = FlyteSettings()) -> FlyteError:
    """The error of a template that must not be taken."""
    try:
        made = read_task(given, settings, INSTALLATION)
    except FlyteError as error:
        return error
    raise AssertionError(f"was taken: {made}")
