"""Tasks and workflows of files as a Flyte backend has them."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyteidl.admin import task_pb2, workflow_pb2
from flyteidl.core import literals_pb2, tasks_pb2

from .environment import flytekit_process

TASKS = Path(__file__).parents[1] / "tasks"
"""The tasks of the tests."""
IMAGE = "cr.flyte.org/flyteorg/flytekit:py3.11-1.16.31"


@dataclass(frozen=True)
class Serialized:
    """A task, ready for a backend, and inputs for it."""

    template: Any
    """``flyteidl.core.TaskTemplate``, with the variables in its arguments as they were registered."""
    inputs: Any
    """``flyteidl.core.LiteralMap``."""


@dataclass(frozen=True)
class Registered:
    """What the registration of a workflow sends, in the order of its dependencies, and inputs for it."""

    tasks: Sequence[Any]
    """``flyteidl.admin.TaskSpec``."""
    workflows: Sequence[Any]
    """``flyteidl.admin.WorkflowSpec``; the last one is what was asked for."""
    inputs: Any
    """``flyteidl.core.LiteralMap``."""


class Serializer:
    """Flytekit in a process of its own. Calls come one after another."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def serialize(
        self,
        file: str | Path,
        task: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        map: bool = False,
        archive: Path | None = None,
        image: str = IMAGE,
        env: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        project: str = "flytesnacks",
        domain: str = "development",
        version: str = "v1",
    ) -> Serialized:
        """What flytekit makes of ``task`` in ``file`` (a path, or a name below :data:`TASKS`).

        ``inputs`` are Python values that JSON can carry; with ``map`` the task is mapped over lists of them. With
        ``archive`` (a path to write, ``.tar.gz``) it is a fast registration: the archive gets all Python files of the
        file's folder, and the task fetches it from there. Without it the module must be importable where the task runs,
        which ``env={"PYTHONPATH": str(TASKS)}`` is for. ``env`` becomes the container's, ``environment`` that of the
        serializing process while it loads the module.
        """
        settings = {"image": image, "project": project, "domain": domain, "version": version, "map": map}
        answer = self._ask(file, task, inputs, archive, env, environment, settings)
        return Serialized(
            tasks_pb2.TaskTemplate.FromString(base64.b64decode(answer["template"])),
            literals_pb2.LiteralMap.FromString(base64.b64decode(answer["inputs"])),
        )

    def workflow(
        self,
        file: str | Path,
        name: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        archive: Path | None = None,
        image: str = IMAGE,
        env: Mapping[str, str] | None = None,
        project: str = "flytesnacks",
        domain: str = "development",
        version: str = "v1",
    ) -> Registered:
        """The workflow ``name`` and all that it consists of; the arguments are those of :meth:`serialize`."""
        settings = {"image": image, "project": project, "domain": domain, "version": version, "map": False}
        answer = self._ask(file, name, inputs, archive, env, None, settings)
        specs = [(kind, base64.b64decode(data)) for kind, data in answer["specs"]]
        return Registered(
            [task_pb2.TaskSpec.FromString(data) for kind, data in specs if kind == "TaskSpec"],
            [workflow_pb2.WorkflowSpec.FromString(data) for kind, data in specs if kind == "WorkflowSpec"],
            literals_pb2.LiteralMap.FromString(base64.b64decode(answer["inputs"])),
        )

    def _ask(
        self,
        file: str | Path,
        name: str,
        inputs: Mapping[str, Any] | None,
        archive: Path | None,
        env: Mapping[str, str] | None,
        environment: Mapping[str, str] | None,
        settings: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        question = {
            "file": str(TASKS / file),
            "name": name,
            "inputs": dict(inputs or {}),
            "archive": None if archive is None else str(archive),
            "env": dict(env or {}),
            "environment": dict(environment or {}),
            **settings,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "flytekit's process has ended; its error output tells why"
        answer: Mapping[str, Any] = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer


@contextmanager
def serializer(environment: Path) -> Iterator[Serializer]:
    """Fixture ``serializer`` is this, once per session: to load flytekit and Ray takes seconds."""
    with flytekit_process(environment, Path(__file__).with_name("serialize.py")) as process:
        yield Serializer(process)
        assert process.stdin is not None
        process.stdin.close()
