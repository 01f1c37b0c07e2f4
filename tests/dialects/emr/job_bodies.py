"""Bodies of SubmitRayJob: one with every field, good ones of all kinds, and ones that mean nothing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from .bodies import CPU, JSON, MEMORY, NAMES, OBJECT_TEXT, RELEASES, optional

NODE = {"queueName": "root_queue", "cpu": "1", "memory": "2Gi"}
FULL: dict[str, Any] = {
    "entrypoint": "python main.py --what 'ever'",
    "name": "nightly",
    "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
    "headSpec": {
        "queueName": "root_queue",
        "cpu": "2.0",
        "memory": "8GB",
        "gpuSpec": "ecs.gn6i-c4g1.xlarge",
        "enableAutoScaling": True,
        "idleTimeoutSeconds": 90,
        "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
    },
    "workerSpec": [
        {
            "groupName": "g1",
            "workerType": "CPU",
            "replica": 2,
            "minReplica": 1,
            "maxReplica": 10,
            "queueName": "root_queue",
            "cpu": "0.5",
            "memory": "4",
            "gpuSpec": "ecs.gn7i-c8g1.2xlarge",
            "displayReleaseVersion": "ray-1.0.1 (Ray 2.47.1, Python 3.11)",
        }
    ],
    "runtimeEnvJson": '{ "pip": ["requests==2.26.0"],  "env_vars": {"KEY": "VALUE"} }',
    "workingDir": "https://code.example/job.zip?key=k",
    "metadataJson": '{"owner":  "alice"}',
    "entrypointNumCpus": "1.50",
    "entrypointNumGpus": "0",
    "entrypointMemory": "4GB",
    "entrypointResources": '{"fpu":  1}',
    "submissionMode": "K8sJobMode",
    "activeDeadlineSeconds": 3600,
    "shutdownAfterJobFinishes": False,
    "ttlSecondsAfterFinished": 60,
    "networkServiceName": "loopback",
    "volumeIds": ["vol-1"],
    "tags": [{"key": "z", "value": "1"}, {"key": "a", "value": ""}],
    "extraParam": '{"userDefinedFiles": "https://b/a.json, https://b/c.json", "userRequirementsFile": "https://b/r.txt"}',
}

HEADS = optional(
    {"queueName": st.just("root_queue"), "cpu": CPU, "memory": MEMORY},
    gpuSpec=st.just("ecs.gn6i-c4g1.xlarge"),
    enableAutoScaling=st.just(False),
    idleTimeoutSeconds=st.integers(1, 1000),
)
GROUPS = optional(
    {},
    workerType=st.sampled_from(["CPU", "GPU"]),
    replica=st.integers(1, 5),
    minReplica=st.integers(1, 5),
    maxReplica=st.integers(5, 9),
    queueName=st.just("root_queue"),
    cpu=CPU,
    memory=MEMORY,
    gpuSpec=st.just("ecs.gn6i-c4g1.xlarge"),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NUMBERS = st.integers(0, 10**6) | st.floats(0, 10**6, allow_subnormal=False)


def written(values: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[str]:
    """JSON text of objects, in one of several spellings."""
    spellings = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])
    return st.builds(lambda value, how: json.dumps(value, **how), values, spellings)


RUNTIME_ENVS = optional(
    {},
    env_vars=st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True), TEXTS, max_size=3),
    pip=st.lists(st.just("requests"), max_size=2),
    config=st.dictionaries(TEXTS, JSON, max_size=2),
)
FILES = optional(
    {},
    userDefinedFiles=st.sampled_from(["", "https://b/a", "oss://b/a,oss://b/c"]),
    userRequirementsFile=st.just("s3://b/r.txt"),
    other=JSON,
)
TAGS = st.lists(
    st.fixed_dictionaries({"key": TEXTS.filter(bool), "value": TEXTS}), unique_by=lambda tag: tag["key"], max_size=4
)
JOBS = optional(
    {"entrypoint": TEXTS.filter(str.strip), "headSpec": HEADS},
    name=NAMES,
    displayReleaseVersion=st.sampled_from(RELEASES),
    workerSpec=st.lists(GROUPS, max_size=3),
    runtimeEnvJson=written(RUNTIME_ENVS),
    workingDir=st.sampled_from(["https://x/y.zip", "oss://mybucket/rayjob.zip", "file:///srv/code.zip"]),
    metadataJson=written(st.dictionaries(TEXTS, TEXTS, max_size=3)),
    entrypointNumCpus=CPU,
    entrypointNumGpus=st.sampled_from(["0", "1", "0.25", "1.0"]),
    entrypointMemory=st.sampled_from(["4Gi", "512Mi", "1073741824", "0", "1.5GB"]),
    entrypointResources=written(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), NUMBERS, max_size=3)),
    submissionMode=st.sampled_from(["HTTPMode", "K8sJobMode", "SidecarMode", "InteractiveMode"]),
    activeDeadlineSeconds=st.integers(1, 365 * 86400),
    shutdownAfterJobFinishes=st.booleans(),
    ttlSecondsAfterFinished=st.integers(0, 30 * 86400),
    networkServiceName=st.just("loopback"),
    volumeIds=st.lists(st.just("vol-1"), min_size=1, max_size=2),
    tags=TAGS,
    extraParam=written(FILES) | OBJECT_TEXT,
)
SCRAMBLED = JOBS.flatmap(lambda body: st.dictionaries(st.sampled_from([*FULL]), JSON, max_size=3).map(body.__or__))
"""Good bodies with some fields replaced by anything."""
