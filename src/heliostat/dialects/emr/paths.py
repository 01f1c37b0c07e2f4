"""From our names of fields to this dialect's: ``workers[1].min_replicas`` is ``workerSpec[1].minReplica`` here.

Fields that this dialect writes as JSON text are named as if that text were part of the body: ``metadataJson.owner``.
"""

from __future__ import annotations

import re

_WHOLE = {
    "release": "displayReleaseVersion",
    "network_service": "networkServiceName",
    "head": "headSpec",
    "workers": "workerSpec",
    "autoscaling": "headSpec.enableAutoScaling",
    "autoscaling.enabled": "headSpec.enableAutoScaling",
    "autoscaling.idle_timeout_seconds": "headSpec.idleTimeoutSeconds",
    "fault_tolerance": "headSpec.gftConfig",
    "fault_tolerance.enabled": "headSpec.gftEnabled",
    "fault_tolerance.redis_url": "headSpec.gftConfig.redisUrl",
    "fault_tolerance.redis_username": "headSpec.gftConfig.redisUsername",
    "fault_tolerance.redis_password": "headSpec.gftConfig.redisPassword",
}
_OF_JOBS = {
    "cluster": "clusterId",
    "cluster_spec": "headSpec",
    "working_dir": "workingDir",
    "requirements": "extraParam.userRequirementsFile",
    "runtime_env": "runtimeEnvJson",
    "metadata": "metadataJson",
    "resources.cpus": "entrypointNumCpus",
    "resources.gpus": "entrypointNumGpus",
    "resources.memory": "entrypointMemory",
    "resources.custom": "entrypointResources",
    "deadline": "activeDeadlineSeconds",
    "shutdown_after_finish": "shutdownAfterJobFinishes",
    "ttl": "ttlSecondsAfterFinished",
}
_JSON_TEXTS = ("runtime_env", "metadata", "resources.custom")
_OF_NODES = {
    "queue": "queueName",
    "gpu": "gpuSpec",
    "ray_start_params": "rayStartParams",
    "release": "displayReleaseVersion",
}
_OF_GROUPS = {
    **_OF_NODES,
    "name": "groupName",
    "type": "workerType",
    "replicas": "replica",
    "min_replicas": "minReplica",
    "max_replicas": "maxReplica",
}
_GROUP = re.compile(r"workers\[(\d+)\](?:\.(.+))?")
_FILES = re.compile(r"files(\[\d+\])?")
_VOLUMES = re.compile(r"volumes(\[\d+\])?")
_WORD = re.compile(r"\b(min_replicas|max_replicas|replicas|ray_start_params|redis_url)\b")
_WORDS = {**_OF_GROUPS, "redis_url": "redisUrl"}


def emr_path(path: str) -> str:
    """The path of the same field in this dialect; one that it does not have stays as it is."""
    path = path.removeprefix("cluster_spec.")
    for names in (_WHOLE, _OF_JOBS):
        if path in names:
            return names[path]
    for text in _JSON_TEXTS:
        if path.startswith(f"{text}."):
            return f"{_OF_JOBS[text]}{path.removeprefix(text)}"
    files = _FILES.fullmatch(path)
    if files is not None:
        return f"extraParam.userDefinedFiles{files[1] or ''}"
    group = _GROUP.fullmatch(path)
    if group is not None:
        field = group[2]
        return f"workerSpec[{group[1]}]" + (f".{_OF_GROUPS.get(field, field)}" if field else "")
    if path.startswith("head."):
        field = path.removeprefix("head.")
        return f"headSpec.{_OF_NODES.get(field, field)}"
    volume = _VOLUMES.fullmatch(path)
    return f"volumeIds{volume[1] or ''}" if volume else path


def emr_words(message: str) -> str:
    """A message with the field names in it put into this dialect's spelling."""
    return _WORD.sub(lambda match: _WORDS[match[1]], message)
