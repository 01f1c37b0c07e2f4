"""One question to a set of model classes, ours or the real package's, and everything that can be seen of the answer.

A question is JSON. ``{"$class": "RayJob", "with": {...}}`` is an object, ``{"$pairs": [[1, 2]]}`` a dict whose keys are no
strings, all else is itself. As a program, in flytekit's environment: a line of JSON in, a line of JSON out, until the end.
It imports nothing of ours, because it runs there too.
"""

import json
import sys
import types

CLASSES = {
    "AutoscalerOptions",
    "DataLoadingConfig",
    "HeadGroupSpec",
    "IOStrategy",
    "K8sObjectMetadata",
    "K8sPod",
    "RayCluster",
    "RayJob",
    "Resources",
    "WorkerGroupSpec",
}


def build(classes, value):
    """The value that a question means."""
    if isinstance(value, list):
        return [build(classes, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$pairs" in value:
        return {build(classes, key): build(classes, item) for key, item in value["$pairs"]}
    if "$class" not in value:
        return {key: build(classes, item) for key, item in value.items()}
    given = {key: build(classes, item) for key, item in value["with"].items()}
    return _named(classes, value["$class"])(**given)


def answer(classes, question):
    """What can be seen of ``object``, or of what ``decode`` describes (a class and the bytes of its message)."""
    try:
        if "decode" in question:
            name, data = question["decode"]
            made = _named(classes, name)
            seen = made.from_flyte_idl(_message(name).FromString(bytes.fromhex(data)))
        else:
            seen = build(classes, question["object"])
        other = build(classes, question["other"]) if "other" in question else None
        return {
            "bytes": seen.to_flyte_idl().SerializeToString(deterministic=True).hex(),
            "kind": type(seen.serialize_to_string()).__name__,
            "length": len(seen.serialize_to_string()),
            "short_string": seen.short_string(),
            "str": str(seen),
            "repr": repr(seen),
            "html": seen._repr_html_(),
            "is_empty": seen.is_empty,
            "equal": [seen == other, seen != other, seen == seen.to_flyte_idl(), seen is None],
            "hash": hash(seen) == hash(seen.to_flyte_idl().SerializeToString(deterministic=True)),
            "attributes": {name: _plain(getattr(seen, name)) for name in _properties(seen)},
            "assigned": [_assigned(seen, name) for name in _properties(seen)],
        }
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return {"error": [type(error).__name__, str(error)]}


def _named(classes, name):
    found = classes
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _message(name):
    from flyteidl.core import tasks_pb2
    from flyteidl.plugins import ray_pb2

    return _named(ray_pb2 if hasattr(ray_pb2, name) else tasks_pb2, name)


def _properties(seen):
    # Not data_config's, which upstream keeps to itself, and not flytekit's own, which ours need not have.
    names = [name for name, member in vars(type(seen)).items() if isinstance(member, property)]
    return [] if type(seen).__name__ in ("DataLoadingConfig", "IOStrategy") else sorted(names)


def _plain(value):
    if hasattr(value, "to_flyte_idl"):
        return [type(value).__name__, {name: _plain(getattr(value, name)) for name in _properties(value)}]
    if hasattr(value, "items"):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _assigned(seen, name):
    try:
        setattr(seen, name, None)
    except AttributeError as error:
        return str(error)
    return "assigned"


def real():
    """The real package's classes. Its ``__init__`` imports Ray, which takes long and has no part in the models."""
    import importlib.util

    places = importlib.util.find_spec("flytekitplugins").submodule_search_locations
    plugin = types.ModuleType("flytekitplugins.ray")
    plugin.__path__ = [f"{place}/ray" for place in places]
    sys.modules[plugin.__name__] = plugin
    from flytekit.models import task
    from flytekitplugins.ray import models

    return types.SimpleNamespace(**{name: getattr(models, name, None) or getattr(task, name) for name in CLASSES})


if __name__ == "__main__":
    classes = real()
    for line in sys.stdin:
        print(json.dumps(answer(classes, json.loads(line))), flush=True)
