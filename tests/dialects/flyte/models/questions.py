"""Questions of Hypothesis: objects that fit, objects that do not, and messages as others may write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Question = dict[str, Any]
Strategy = st.SearchStrategy[Any]

WORDS = st.one_of(
    st.sampled_from(
        ["", "a", "wg", "ray-head", "num-cpus", "pip:\n- numpy\n", "<b>&amp;'\"", "é→\u2028x", " \t ", "0"]
    ),
    st.text(max_size=12),
    st.text("ab \n", min_size=70, max_size=120),
)
NUMBERS = st.integers(-3, 12) | st.sampled_from([2**31 - 1, -(2**31)])
JUNK = st.one_of(
    st.sampled_from([None, True, False, 2.0, 2.5, "2", "", 2**31, -(2**31) - 1, 2**80, [], {}, [1], {"a": 1}]),
    st.just({"$pairs": [[1, "a"]]}),
    st.just({"$pairs": [[None, None]]}),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-4, 4) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=1),
    max_leaves=4,
)


def _object(name: str, required: Mapping[str, Strategy], optional: Mapping[str, Strategy], junk: bool) -> Strategy:
    def loose(strategies: Mapping[str, Strategy]) -> dict[str, Strategy]:
        return {key: strategy | JUNK for key, strategy in strategies.items()} if junk else dict(strategies)

    given = st.fixed_dictionaries(loose(required), optional=loose(optional))
    return given.map(lambda values: {"$class": name, "with": values})


def _texts(most: int) -> Strategy:
    return st.dictionaries(WORDS, WORDS, max_size=most)


def objects(most: int = 1, junk: bool = False) -> dict[str, Strategy]:
    """Per class. Maps have up to ``most`` entries: with two their order, and so the text, is any. ``junk``: may not fit."""
    texts = _texts(most)
    metadata = _object("K8sObjectMetadata", {}, {"labels": texts, "annotations": texts}, junk)
    entry = _object("Resources.ResourceEntry", {"name": st.integers(0, 5), "value": WORDS}, {}, junk)
    entries = st.lists(entry, max_size=2)
    resources = _object("Resources", {"requests": entries, "limits": entries}, {}, junk)
    modes = {"download_mode": st.integers(0, 2), "upload_mode": st.integers(0, 2)}
    strategy = _object("IOStrategy", {}, modes, junk=False)
    data = _object(
        "DataLoadingConfig",
        {"input_path": WORDS, "output_path": WORDS},
        {"enabled": st.booleans(), "format": st.integers(0, 2), "io_strategy": strategy},
        junk=False,
    )
    spec = st.dictionaries(WORDS, JSON, max_size=most)
    pod = _object(
        "K8sPod",
        {},
        {"metadata": metadata, "pod_spec": spec, "data_config": data, "primary_container_name": WORDS},
        junk,
    )
    node: dict[str, Strategy] = {"ray_start_params": texts | st.none(), "k8s_pod": pod | st.none()}
    head = _object("HeadGroupSpec", {}, node, junk)
    bound = NUMBERS | st.none()
    bounds: dict[str, Strategy] = {"min_replicas": bound, "max_replicas": bound}
    group = _object("WorkerGroupSpec", {"group_name": WORDS | st.none(), "replicas": NUMBERS}, bounds | node, junk)
    options = _object(
        "AutoscalerOptions",
        {},
        {
            "upscaling_mode": st.sampled_from([None, 0, 1, 2, 3, 99, "UPSCALING_MODE_AGGRESSIVE", "Aggressive"]),
            "idle_timeout_seconds": bound,
            "image": WORDS | st.none(),
            "env": _texts(2) | st.none(),
            "resources": resources | st.none(),
        },
        junk,
    )
    cluster = _object(
        "RayCluster",
        {"worker_group_spec": st.lists(group, max_size=3)},
        {
            "head_group_spec": head | st.none(),
            "enable_autoscaling": st.booleans(),
            "autoscaler_options": options | st.none(),
        },
        junk,
    )
    text = WORDS | st.none()
    job = _object(
        "RayJob",
        {"ray_cluster": cluster},
        {
            "runtime_env": text,
            "runtime_env_yaml": text,
            "ttl_seconds_after_finished": bound,
            "shutdown_after_job_finishes": st.booleans(),
        },
        junk,
    )
    return {
        "AutoscalerOptions": options,
        "HeadGroupSpec": head,
        "K8sObjectMetadata": metadata,
        "K8sPod": pod,
        "RayCluster": cluster,
        "RayJob": job,
        "Resources": resources,
        "WorkerGroupSpec": group,
    }


def any_object(most: int = 1, junk: bool = False) -> Strategy:
    return st.one_of(*objects(most, junk).values())


def _message(**fields: Strategy) -> Strategy:
    return st.fixed_dictionaries({}, optional=fields)


def messages(most: int = 1) -> dict[str, Strategy]:
    """Per class: its message as JSON has it, with any of the fields, as other writers may send it."""
    texts = _texts(most)
    entries = st.lists(_message(name=st.integers(0, 5), value=WORDS), max_size=2)
    resources = _message(requests=entries, limits=entries)
    data = _message(
        inputPath=WORDS,
        format=st.integers(0, 2),
        enabled=st.booleans(),
        ioStrategy=_message(downloadMode=st.integers(0, 2), uploadMode=st.integers(0, 2)),
    )
    pod = _message(
        metadata=_message(labels=texts, annotations=texts),
        podSpec=st.dictionaries(WORDS, JSON, min_size=1, max_size=most),
        dataConfig=data,
        primaryContainerName=WORDS,
    )
    group = _message(
        groupName=WORDS,
        replicas=NUMBERS,
        minReplicas=NUMBERS,
        maxReplicas=NUMBERS,
        rayStartParams=texts,
        k8sPod=pod,
    )
    head = _message(rayStartParams=texts, k8sPod=pod)
    env = st.lists(_message(key=WORDS, value=WORDS), max_size=3, unique_by=lambda pair: pair.get("key", ""))
    options = _message(
        upscalingMode=st.integers(0, 5), idleTimeoutSeconds=NUMBERS, env=env, image=WORDS, resources=resources
    )
    cluster = _message(
        headGroupSpec=head,
        workerGroupSpec=st.lists(group, max_size=3),
        enableAutoscaling=st.booleans(),
        autoscalerOptions=options,
    )
    job = _message(
        rayCluster=cluster,
        runtimeEnv=WORDS,
        runtimeEnvYaml=WORDS,
        ttlSecondsAfterFinished=NUMBERS,
        shutdownAfterJobFinishes=st.booleans(),
    )
    return {
        "AutoscalerOptions": options,
        "HeadGroupSpec": head,
        "K8sPod": pod,
        "RayCluster": cluster,
        "RayJob": job,
        "Resources": resources,
        "WorkerGroupSpec": group,
    }


def any_message(most: int = 1) -> Strategy:
    """(class, its message as JSON has it)."""
    return st.one_of(*(st.tuples(st.just(name), strategy) for name, strategy in messages(most).items()))
