"""In flytekit's environment: tasks and workflows become what a Flyte backend has of them (Flyte contract, appendix A, step 3).

A line of JSON in, a line of JSON out, until the end; :mod:`serializing` describes both. Nothing of ours is imported, because
this runs there.
"""

import base64
import importlib
import json
import os
import pathlib
import sys
import tarfile
import tempfile
import traceback
from collections import OrderedDict

from flytekit import LaunchPlan, map_task
from flytekit.configuration import FastSerializationSettings, Image, ImageConfig, SerializationSettings
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.core.workflow import WorkflowBase
from flytekit.models.admin.workflow import WorkflowSpec
from flytekit.models.task import TaskSpec
from flytekit.tools.translator import get_serializable


def serialized(asked):
    """Bytes in base64: of the task and its inputs, or of everything that the registration of a workflow sends."""
    file = pathlib.Path(asked["file"])
    os.environ.update(asked["environment"])
    entity = getattr(_module(file), asked["name"])
    if asked["map"]:
        entity = map_task(entity)
    name, _, tag = asked["image"].rpartition(":")
    image = Image(name="default", fqn=name, tag=tag)
    settings = SerializationSettings(
        project=asked["project"],
        domain=asked["domain"],
        version=asked["version"],
        env=asked["env"],
        image_config=ImageConfig(default_image=image, images=[image]),
        fast_serialization_settings=_fast(file.parent, asked["archive"]),
    )
    types = entity.python_interface.inputs
    inputs = TypeEngine.dict_to_literal_map(
        FlyteContextManager.current_context(), asked["inputs"], types
    ).to_flyte_idl()
    made = OrderedDict()
    if isinstance(entity, WorkflowBase):
        get_serializable(
            made, settings, LaunchPlan.get_default_launch_plan(FlyteContextManager.current_context(), entity)
        )
        specs = [spec.to_flyte_idl() for spec in made.values() if isinstance(spec, (TaskSpec, WorkflowSpec))]
        return {"specs": [[type(spec).__name__, _text(spec)] for spec in specs], "inputs": _text(inputs)}
    return {
        "template": _text(get_serializable(made, settings, entity).template.to_flyte_idl()),
        "inputs": _text(inputs),
    }


def _module(file):
    """Afresh: the variables of a question may count while the module is loaded."""
    for name in [name for name, module in list(sys.modules.items()) if _below(module, file.parent)]:
        del sys.modules[name]
    sys.path.insert(0, str(file.parent))
    try:
        return importlib.import_module(file.stem)
    finally:
        sys.path.remove(str(file.parent))


def _below(module, folder):
    return pathlib.Path(getattr(module, "__file__", None) or "/").is_relative_to(folder)


def _fast(folder, archive):
    if archive is None:
        return None
    handle, temporary = tempfile.mkstemp(dir=pathlib.Path(archive).parent)
    os.close(handle)
    with tarfile.open(temporary, "w:gz") as tar:
        for part in sorted(folder.rglob("*.py")):
            tar.add(part, part.relative_to(folder))
    pathlib.Path(temporary).replace(archive)
    return FastSerializationSettings(
        enabled=True, destination_dir=".", distribution_location=pathlib.Path(archive).as_uri()
    )


def _text(message):
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever modules print is no answer
    for line in sys.stdin:
        try:
            answer = serialized(json.loads(line))
        except Exception:  # noqa: BLE001 - the test that asked is to see it
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)
