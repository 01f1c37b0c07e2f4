"""Variables of arguments, and the pods of propellers."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core import literals_pb2, tasks_pb2
from google.protobuf import json_format

from .rendering import Parameters, Unrenderable, render, rendered

INPUTS = json_format.ParseDict(
    {
        "literals": {
            "n": {"scalar": {"primitive": {"integer": 3}}},
            "yes": {"scalar": {"primitive": {"boolean": True}}},
            "file": {"scalar": {"blob": {"uri": "s3://b/f"}}},
            "list": {
                "collection": {
                    "literals": [
                        {"scalar": {"primitive": {"stringValue": "a"}}},
                        {"scalar": {"primitive": {"integer": 1}}},
                    ]
                }
            },
            "none": {"scalar": {"noneType": {}}},
        }
    },
    literals_pb2.LiteralMap(),
)
PARAMETERS = Parameters("s3://m/x/inputs.pb", "s3://m/x/0", "s3://r/k", "", "key", "s3://m/t.pb", "p-d", INPUTS)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("{{.input}}", "s3://m/x/inputs.pb"),
        ("{{ .Input }}", "s3://m/x/inputs.pb"),
        ("{{$INPUT}}", "s3://m/x/inputs.pb"),
        ("{{.inputPrefix}}", "s3://m/x"),
        ("{{.outputPrefix}}", "s3://m/x/0"),
        ("a{{.outputPrefix}}/b{{.namespace}}", "as3://m/x/0/bp-d"),
        ("{{.rawOutputDataPrefix}}", "s3://r/k"),
        ("{{.checkpointOutputPrefix}}", "s3://r/k/_flytecheckpoints"),
        ("{{.prevCheckpointPrefix}}", '""'),
        ("{{.perRetryUniqueKey}}", "key"),
        ("{{.taskTemplatePath}}", "s3://m/t.pb"),
        ("{{.inputs.n}}", "3"),
        ("{{ $Inputs.yes }}", "true"),
        ("{{.inputs.file}}", "s3://b/f"),
        ("{{.inputs.list}}", "[a,1]"),
        ("{{.unknown}}", "{{.unknown}}"),
        ("{{input}}", "{{input}}"),
        ("{.input}", "{.input}"),
        ("", ""),
    ],
)
def test_variables(argument: str, expected: str) -> None:
    assert render(argument, PARAMETERS) == expected


@pytest.mark.parametrize("argument", ["{{.inputs.missing}}", "{{.inputs.none}}"])
def test_inputs_that_cannot_be_arguments(argument: str) -> None:
    with pytest.raises(Unrenderable):
        render(argument, PARAMETERS)


def test_of_a_container_only_the_arguments_are_rendered() -> None:
    template = tasks_pb2.TaskTemplate()
    template.container.command.append("{{.input}}")
    template.container.args.extend(["{{.input}}", ""])
    template.container.env.add(key="A", value="{{.input}}")
    made = rendered(template, PARAMETERS, {"FLYTE_ATTEMPT_NUMBER": "0"})
    assert list(made.container.args) == ["s3://m/x/inputs.pb", ""]
    assert list(made.container.command) == ["{{.input}}"] and made.container.env == template.container.env
    assert list(template.container.args) == ["{{.input}}", ""]


def test_a_pod_is_rendered_and_dressed_as_a_whole() -> None:
    primary: dict[str, Any] = {"name": "main", "args": ["{{.input}}"], "env": [{"name": "A", "value": "B"}]}
    other = {"name": "other", "command": ["{{.namespace}}"], "resources": {"limits": {"cpu": "2"}}}
    template = tasks_pb2.TaskTemplate(config={"primary_container_name": "main"})
    json_format.ParseDict({"podSpec": {"containers": [primary, other], "hostname": "h"}}, template.k8s_pod)
    pod = json_format.MessageToDict(rendered(template, PARAMETERS, {"E": "1"}).k8s_pod.pod_spec)
    usual = {"cpu": "1", "memory": "1Gi"}
    assert pod["hostname"] == "h"
    assert pod["containers"] == [
        {
            "name": "main",
            "args": ["s3://m/x/inputs.pb"],
            "env": [{"name": "E", "value": "1"}, {"name": "A", "value": "B"}],
            "resources": {"requests": usual, "limits": usual},
        },
        {
            "name": "other",
            "command": ["p-d"],
            "env": [{"name": "E", "value": "1"}],
            "resources": {"limits": {"cpu": "2"}},
        },
    ]
