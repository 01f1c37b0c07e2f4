"""SubmitRayJob bodies (EMR contract, section 5.2), read into a :class:`JobWish`.

Types and forms are checked here, limits and references by the use case. Empty text in an optional field means "no value".
What could have been spelled in several ways - JSON in text, amounts - is kept as written in the wish's extras, which are
encrypted, and comes back so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import orjson

from heliostat.dialects.bodies import kind_of
from heliostat.domain.ids import ClusterId
from heliostat.domain.installation import Installation
from heliostat.domain.job_validation import MAX_DEADLINE, MAX_TAG, MAX_TAGS, MAX_TTL
from heliostat.domain.jobs import Code, EntrypointResources
from heliostat.domain.quantities import MAX_MEMORY, parse_cores, parse_memory
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.validation import MAX_GROUPS
from heliostat.services import JobWish

from ..errors import invalid, missing
from .fields import Fields, parse_object
from .spec import Wish, read_group, read_head, read_release

SUBMISSION_MODES = ("HTTPMode", "K8sJobMode", "SidecarMode", "InteractiveMode")
"""Accepted; the first is the default, and what is done for all of them. (EMR contract, section 11, point 14)"""
EXTRA = "emr."
"""Before the name of a field in the extras."""
ECHOED = (
    "runtimeEnvJson",
    "metadataJson",
    "entrypointNumCpus",
    "entrypointNumGpus",
    "entrypointMemory",
    "entrypointResources",
    "extraParam",
    "submissionMode",
)
"""Texts that are kept as written."""
NETWORK, VOLUMES = f"{EXTRA}networkServiceName", f"{EXTRA}volumeIds"
"""Kept for jobs on an existing cluster, whose definition has its own."""
_FILES, _REQUIREMENTS = "userDefinedFiles", "userRequirementsFile"
_OF_NODES = ("queueName", "cpu", "memory", "gpuSpec", "displayReleaseVersion")
_OF_HEAD = {*_OF_NODES, "enableAutoScaling", "idleTimeoutSeconds"}
_OF_GROUPS = {*_OF_NODES, "groupName", "workerType", "replica", "minReplica", "maxReplica"}
"""The nodes of a temporary cluster have fewer fields than those of a cluster."""


def read_job(body: bytes, installation: Installation) -> JobWish:
    """A body, types and forms checked. Raises EmrError and nothing else, whatever the bytes are."""
    fields = Fields.body(body)
    entrypoint = fields.text("entrypoint")
    if not entrypoint:
        raise missing("entrypoint", "is required: the shell command to run, as in 'python main.py'")
    mode = fields.text("submissionMode")
    if mode and mode not in SUBMISSION_MODES:
        raise fields.error("submissionMode", f"{mode!r} is not one of {', '.join(SUBMISSION_MODES)}")
    cluster = fields.text("clusterId")
    deadline = fields.integer("activeDeadlineSeconds", 1, int(MAX_DEADLINE.total_seconds()))
    ttl = fields.integer("ttlSecondsAfterFinished", 0, int(MAX_TTL.total_seconds()))
    shutdown = fields.flag("shutdownAfterJobFinishes")
    extras = {f"{EXTRA}{key}": text for key in ECHOED if (text := _written(fields, key))}
    if cluster:
        extras |= _beside_cluster(fields, installation)
    return JobWish(
        entrypoint=entrypoint,
        name=fields.text("name"),
        cluster=ClusterId(cluster) if cluster else None,
        cluster_spec=None if cluster else _cluster(fields, installation),
        runtime_env=_object(fields, "runtimeEnvJson"),
        code=_code(fields),
        metadata=_metadata(fields),
        tags=_tags(fields),
        resources=_resources(fields),
        deadline=None if deadline is None else timedelta(seconds=deadline),
        shutdown_after_finish=True if shutdown is None else shutdown,
        ttl=timedelta(seconds=ttl or 0),
        extras=extras,
    )


def parse_count(text: str) -> Decimal:
    """``"1"``, ``"0.5"``. Raises ValueError with a sentence."""
    try:
        return parse_cores(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number; write for example 1 or 0.5") from None


def parse_bytes(text: str) -> int:
    """``"4Gi"``; digits alone are bytes, unlike the memory of nodes. Raises ValueError with a sentence."""
    plain = text.strip()
    if not (plain.isascii() and plain.isdigit()):
        return parse_memory(text)
    if len(plain) > 20 or int(plain) > MAX_MEMORY:
        raise ValueError("is more memory than there is; write for example 4Gi, or bytes")
    return int(plain)


def _cluster(fields: Fields, installation: Installation) -> ClusterSpec:
    """The definition of the temporary cluster, named by the use case."""
    head = fields.nested("headSpec")
    if head is None:
        raise missing("headSpec", "is required, unless clusterId names a cluster to run on")
    catalogue = installation.catalogue
    groups = fields.objects("workerSpec", MAX_GROUPS) or []
    return Wish(
        name="",
        release=read_release(fields, catalogue),
        description=None,
        network_service=fields.text("networkServiceName"),
        extra_param=None,
        volumes=tuple(fields.texts("volumeIds") or ()),
        head=read_head(head.only(_OF_HEAD), catalogue),
        workers=tuple(read_group(group.only(_OF_GROUPS), catalogue) for group in groups),
    ).create(catalogue)


def _beside_cluster(fields: Fields, installation: Installation) -> dict[str, str]:
    """What a body may say of the cluster that it names: nothing but what has no effect, for which extras are returned."""
    given = {
        "headSpec": fields.nested("headSpec") is not None,
        "workerSpec": bool(fields.objects("workerSpec", MAX_GROUPS)),
        "displayReleaseVersion": bool(fields.text("displayReleaseVersion")),
    }
    for key, there in given.items():
        if there:
            raise fields.error(key, "cannot be given together with clusterId, whose cluster is there already")
    extras = {}
    network = fields.text("networkServiceName")
    if network:
        known = [row.name for row in installation.network_services]
        if network not in known:
            message = f"no network service is named {network!r}; there are: {', '.join(known)}"
            raise fields.error("networkServiceName", message)
        extras[NETWORK] = network
    volumes = fields.texts("volumeIds") or []
    for index, volume in enumerate(volumes):
        if volume not in installation.volumes:
            raise fields.error(
                f"volumeIds[{index}]", f"no volume has the id {volume!r}; volumes are configured by the operator"
            )
    if volumes:
        extras[VOLUMES] = orjson.dumps(volumes).decode()
    return extras


def _written(fields: Fields, key: str) -> str | None:
    """The text of a field, or of the number that it was given as."""
    found = fields.amount(key, str)
    return found[0] if found else None


def _object(fields: Fields, key: str) -> dict[str, object]:
    text = fields.text(key)
    return parse_object(text, fields.at(key)) if text else {}


def _code(fields: Fields) -> Code:
    extra = Fields(_object(fields, "extraParam"), "extraParam")
    urls = (url.strip() for url in (extra.text(_FILES) or "").split(","))
    return Code(
        working_dir=fields.text("workingDir") or None,
        files=tuple(url for url in urls if url),
        requirements=(extra.text(_REQUIREMENTS) or "").strip() or None,
    )


def _metadata(fields: Fields) -> Mapping[str, str]:
    metadata: dict[str, str] = {}
    for key, value in _object(fields, "metadataJson").items():
        if not isinstance(value, str):
            raise invalid(f"metadataJson.{key}", f"must be a string, not {kind_of(value)}")
        if "\0" in key or "\0" in value:
            raise invalid("metadataJson", "must not hold NUL characters")
        metadata[key] = value
    return metadata


def _tags(fields: Fields) -> Mapping[str, str]:
    tags: dict[str, str] = {}
    for row in fields.objects("tags", MAX_TAGS) or []:
        key, value = row.text("key"), row.text("value") or ""
        if not key:
            raise missing(row.at("key")) if key is None else row.error("key", "must not be empty")
        if key in tags:
            raise row.error("key", f"a second tag with the key {key!r}; keys must be unique")
        for name, text in (("key", key), ("value", value)):
            if len(text) > MAX_TAG:
                raise row.error(name, f"must have at most {MAX_TAG} characters")
        tags[key] = value
    return tags


def _resources(fields: Fields) -> EntrypointResources:
    cpus, gpus, memory = (
        _amount(fields, "entrypointNumCpus"),
        _amount(fields, "entrypointNumGpus"),
        fields.amount("entrypointMemory", parse_bytes) if _written(fields, "entrypointMemory") else None,
    )
    custom: dict[str, float] = {}
    for key, value in _object(fields, "entrypointResources").items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(f"entrypointResources.{key}", f"must be a number, not {kind_of(value)}")
        if "\0" in key:
            raise invalid("entrypointResources", "must not hold NUL characters")
        custom[key] = float(value)
    return EntrypointResources(cpus=cpus, gpus=gpus, memory=memory[1] if memory else None, custom=custom)


def _amount(fields: Fields, key: str) -> float | None:
    found = fields.amount(key, parse_count) if _written(fields, key) else None
    return float(found[1]) if found else None
