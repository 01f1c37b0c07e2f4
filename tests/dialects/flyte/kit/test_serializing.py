"""What real flytekit makes of the tests' tasks is what the contract says of it (Flyte contract, sections 2.5 and 5.1)."""

from __future__ import annotations

import tarfile
from pathlib import Path

from google.protobuf import json_format

from heliostat.domain.releases import BUILT_IN
from heliostat.engines.local.clock import SystemClock
from heliostat.engines.local.environments import Environments
from tests.environments import FOLDER

from .propeller import text
from .serializing import TASKS, Serializer

EXECUTE = ["pyflyte-execute", "--inputs", "{{.input}}", "--output-prefix", "{{.outputPrefix}}"]


def test_a_server_finds_the_environment_as_its_release(flyte_environment: Path) -> None:
    release = next(row for row in BUILT_IN if row.name == "flyte-1.3.1")
    assert Environments(FOLDER, lambda release: None, False, SystemClock()).find(release) == flyte_environment


def test_a_plain_task(serializer: Serializer) -> None:
    made = serializer.serialize("plain.py", "same", {"text": "a $b 'c'"}, env={"PYTHONPATH": str(TASKS)})
    container = made.template.container
    assert (made.template.type, made.template.task_type_version, made.template.id.name) == ("ray", 0, "plain.same")
    assert list(container.args)[:5] == EXECUTE and list(container.args)[-4:-2] == ["task-module", "plain"]
    assert container.env[-1].key == "PYTHONPATH" and text(made.inputs, "text") == "a $b 'c'"
    custom = json_format.MessageToDict(made.template.custom)
    assert custom["rayCluster"]["workerGroupSpec"] == [
        {"groupName": "workers", "replicas": 1.0, "minReplicas": 1.0, "maxReplicas": 1.0}
    ]


def test_a_fast_registration_has_an_archive_of_all_files(serializer: Serializer, tmp_path: Path) -> None:
    archive = tmp_path / "code.tar.gz"
    made = serializer.serialize("fast/fast_task.py", "total", {"n": 3}, archive=archive)
    first = ["pyflyte-fast-execute", "--additional-distribution", archive.as_uri(), "--dest-dir", ".", "--"]
    assert list(made.template.container.args)[:6] == first and list(made.template.container.args)[6:11] == EXECUTE
    with tarfile.open(archive) as tar:
        assert set(tar.getnames()) == {"fast_task.py", "fast_parts/__init__.py", "fast_parts/arithmetic.py"}


def test_a_map_task(serializer: Serializer) -> None:
    made = serializer.serialize("mapped.py", "square", {"number": [3, 4, 5]}, map=True)
    arguments = list(made.template.container.args)
    assert made.template.task_type_version == 1 and arguments[0] == "pyflyte-map-execute"
    assert arguments[arguments.index("vars") + 1] == "" and len(made.inputs.literals["number"].collection.literals) == 3


def test_a_pod_template(serializer: Serializer) -> None:
    made = serializer.serialize("pods.py", "seen", image="own/image:1")
    assert made.template.WhichOneof("target") == "k8s_pod"
    assert made.template.config["primary_container_name"] == "primary"
    (container,) = json_format.MessageToDict(made.template.k8s_pod.pod_spec)["containers"]
    assert container["image"] == "own/image:1" and container["args"][:5] == EXECUTE
    assert {"name": "OF_THE_TASK", "value": "task"} in container["env"]


def test_runtime_environments(serializer: Serializer) -> None:
    url = "file:///some/where.zip"
    made = serializer.serialize("environments.py", "shipped", environment={"TEST_WORKING_DIR": url})
    assert json_format.MessageToDict(made.template.custom)["runtimeEnvYaml"] == f"working_dir: {url}\n"
    made = serializer.serialize("environments.py", "variable")
    assert json_format.MessageToDict(made.template.custom)["runtimeEnvYaml"] == "env_vars:\n  GREETING: good day\n"


def test_every_task_of_the_tests_can_be_made(serializer: Serializer) -> None:
    asked = [
        ("failing.py", "broken", {"n": 1}),
        ("failing.py", "void_broken", {}),
        ("failing.py", "again", {}),
        ("failing.py", "killed", {"status": 137}),
        ("void.py", "noted", {"path": "/x"}),
        ("flows.py", "added", {"numbers": [1]}),
        ("flows.py", "large", {"n": 1}),
        ("sleeping.py", "asleep", {"path": "/x"}),
    ]
    made = [serializer.serialize(*one).template for one in asked]
    assert [bool(one.interface.outputs.variables) for one in made] == [True, False, True, True, False, True, True, True]
    assert made[2].metadata.retries.retries == 1 and [one.type for one in made[5:7]] == ["python-task", "ray"]


def test_workflows_with_all_that_they_consist_of(serializer: Serializer) -> None:
    made = serializer.workflow("flows.py", "three_steps", {"n": 4})
    assert [one.template.type for one in made.tasks] == ["ray", "python-task", "ray"]
    (workflow,) = made.workflows
    assert [node.id for node in workflow.template.nodes if node.HasField("task_node")] == ["n0", "n1", "n2"]
    assert made.inputs.literals["n"].scalar.primitive.integer == 4
    kinds = {
        name: {node.WhichOneof("target") for node in serializer.workflow("flows.py", name).workflows[-1].template.nodes}
        for name in ("choice", "nested", "fan_out")
    }
    assert "branch_node" in kinds["choice"] and "workflow_node" in kinds["nested"]
    assert kinds["fan_out"] & {"array_node", "task_node"}
