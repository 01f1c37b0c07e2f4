"""Bodies of CreateRayCluster: one with every field, good ones of all kinds, and ones that mean nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from heliostat.domain.releases import Catalogue

RELEASES = [row.display for row in Catalogue().releases]
HEAD = {"queueName": "root_queue", "cpu": "2", "memory": "8Gi"}
FULL: dict[str, Any] = {
    "name": "demo",
    "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
    "description": "a cluster",
    "networkServiceName": "loopback",
    "extraParam": '{"a": 1,  "b": "x"}',
    "volumeIds": ["vol-1", "vol-2"],
    "headSpec": {
        "queueName": "root_queue",
        "cpu": "2.0",
        "memory": "8GB",
        "gpuSpec": "ecs.gn6i-c4g1.xlarge",
        "enableAutoScaling": True,
        "idleTimeoutSeconds": 90,
        "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
        "env": "A=1,B=2",
        "rayStartParams": "--num-cpus=0",
        "gftEnabled": True,
        "gftConfig": {"redisUrl": "10.4.5.6:6379", "redisUsername": "default", "redisPassword": "secret"},
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
            "displayReleaseVersion": "ray-1.0.1 (Ray 2.47.1, Python 3.11)",
            "env": '{"A": "x,y"}',
            "rayStartParams": '{"num-cpus": "1"}',
            "extraParam": '{"note":1}',
        }
    ],
}


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64).filter(
    lambda text: text.strip()
)
CPU = st.sampled_from(["1", "2", "0.5", "2.0", "007", "1.250"])
MEMORY = st.sampled_from(["8Gi", "8", "8G", "8GB", "8GiB", "0.5Gi", "512Mi", "1.50Gi"])
ENV = st.sampled_from(["A=1", "A=1,B=2", "A=1\nB=2", '{"A":"1"}', "A=x,y", "A= 1", '{ "A" : "\\n" }'])
PARAMS = st.sampled_from(["--num-cpus=0", "--num-cpus 2 --resources='{\"a\":1}'", '{"num-cpus": "1"}'])
OBJECT_TEXT = st.sampled_from(["{}", '{"a":1}', '{ "b" : [] }'])


def optional(required: dict[str, Any], **fields: Any) -> Any:
    return st.fixed_dictionaries(required, optional=fields)


NODE = {"gpuSpec": st.just("ecs.gn6i-c4g1.xlarge"), "env": ENV, "rayStartParams": PARAMS}
HEADS = optional(
    {"queueName": st.just("root_queue"), "cpu": CPU, "memory": MEMORY},
    enableAutoScaling=st.booleans(),
    idleTimeoutSeconds=st.integers(1, 1000),
    gftEnabled=st.booleans(),
    gftConfig=optional({"redisUrl": st.just("10.0.0.1:6379")}, redisUsername=st.just("u")),
    **NODE,
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
    displayReleaseVersion=st.sampled_from(RELEASES),
    extraParam=OBJECT_TEXT,
    **NODE,
)
BODIES = optional(
    {"name": NAMES, "headSpec": HEADS},
    displayReleaseVersion=st.sampled_from(RELEASES),
    description=NAMES,
    networkServiceName=st.just("loopback"),
    extraParam=OBJECT_TEXT,
    volumeIds=st.lists(st.sampled_from(["vol-1", "vol-2"]), min_size=1),
    workerSpec=st.lists(GROUPS, max_size=3),
)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([
        *FULL, *FULL["headSpec"], *FULL["workerSpec"][0], "redisUrl", "redisPassword",
    ]), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


SCRAMBLED = BODIES.flatmap(lambda body: st.dictionaries(st.sampled_from([*FULL]), JSON, max_size=3).map(body.__or__))
"""Good bodies with some fields replaced by anything."""
