"""A PersistentResource to a spec, and a cluster of any dialect to a PersistentResource (Vertex contract, 1.4, 1.5 and 9.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from heliostat.domain.engine import NodeState
from heliostat.domain.headcount import group_counts
from heliostat.domain.operations import Operation
from heliostat.domain.quota import ROOT
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.releases import Release
from heliostat.domain.spec import Autoscaling, ClusterSpec, NfsMount, NodeShape
from heliostat.domain.states import State
from heliostat.services import ClusterView

from ..names import InvalidName, check_new_resource_id, is_resource_id, parse_resource
from ..wire.times import write_instant
from .context import Context
from .fields import Fields, Json, invalid, only
from .images import image_of, release_of
from .kept import Kept
from .labels import QUEUE_LABEL, read_labels, write_labels
from .places import access_uris
from .pools import Pool, Shown, read_pools, shown_pools
from .states import shown_error, shown_state

__all__ = ["Context", "instant", "read_resource", "resource_id", "write_resource"]

MAX_DISPLAY_NAME = 128
RUNTIME = "resourceRuntimeSpec"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def resource_id(cluster: Cluster) -> str:
    """What a cluster is called here: its name if it can be a resource's, else its id."""
    return cluster.spec.name if is_resource_id(cluster.spec.name) else str(cluster.id)


# --- reading --------------------------------------------------------------------------------------------------------


def read_resource(name: str, body: Json, context: Context) -> ClusterSpec:
    """The spec of the cluster that a create asks for. Output-only fields are not looked at. Raises InvalidRequest."""
    try:
        check_new_resource_id(name)
    except InvalidName as error:
        raise invalid(error.path, error.message) from None
    fields = Fields(body)
    description, labels = read_display_name(fields), read_labels(fields)
    resource = _read_surroundings(fields)
    pools = read_pools(fields, context)
    runtime = fields.nested(RUNTIME) or Fields({}, RUNTIME)
    given = runtime.nested("raySpec")
    ray = given or Fields({}, f"{RUNTIME}.raySpec")
    resource |= only(serviceAccountSpec=_read_service_account(runtime.nested("serviceAccountSpec")))
    head = _head_pool(ray, pools)
    if given is None:
        # The vendor's own class for persistent resources never sends one. Here they are Ray clusters all the same.
        images: Json = {}
        releases: Mapping[str, Release] = {pool.id: context.installation.catalogue.default_release for pool in pools}
    else:
        images, releases = _read_images(given, pools, context)
    queue = labels.get(QUEUE_LABEL, ROOT)
    scales = any(pool.bounds is not None for pool in pools)
    release = releases[head.id]
    groups = []
    for pool in sorted(pools, key=lambda row: row is not head):
        own = releases[pool.id]
        shape = NodeShape(queue, pool.size.cpu, pool.size.memory, pool.size.gpu)
        if own != release:
            shape = replace(shape, release=own.display)
        group = pool.group(shape, pool is head, scales)
        if group is not None:
            groups.append(group)
    metrics, logs = ray.nested("rayMetricSpec"), ray.nested("rayLogsSpec")
    spec = ClusterSpec(
        name=name,
        release=release.display,
        head=NodeShape(queue, head.size.cpu, head.size.memory, head.size.gpu),
        workers=tuple(groups),
        description=description,
        autoscaling=Autoscaling(scales),
        nfs_mounts=_read_mounts(ray),
        metrics=metrics is None or not metrics.flag("disabled"),
        collect_logs=logs is None or not logs.flag("disabled"),
        labels=labels,
    )
    kept_ray = only(**images, headNodeResourcePoolId=ray.text("headNodeResourcePoolId"))
    return Kept(head.id, {pool.id: pool.kept() for pool in pools}, kept_ray, resource).within(spec)


def read_display_name(fields: Fields) -> str:
    return fields.text("displayName", MAX_DISPLAY_NAME)


def _read_surroundings(fields: Fields) -> Json:
    """What is around the machines: networks and keys, without effect here."""
    connections, encryption = fields.nested("pscInterfaceConfig"), fields.nested("encryptionSpec")
    private = None
    if connections is not None:
        peers = [
            only(**{key: row.text(key) for key in ("domain", "targetProject", "targetNetwork")})
            for row in connections.objects("dnsPeeringConfigs")
        ]
        private = only(networkAttachment=connections.text("networkAttachment"), dnsPeeringConfigs=peers)
    found = only(
        network=fields.text("network"),
        reservedIpRanges=fields.texts("reservedIpRanges"),
        pscInterfaceConfig=private,
        encryptionSpec=None if encryption is None else only(kmsKeyName=encryption.text("kmsKeyName")),
    )
    if found.get("network") and private:
        raise fields.error("pscInterfaceConfig", "cannot be given together with network")
    return found


def _read_service_account(fields: Fields | None) -> Json | None:
    if fields is None:
        return None
    enabled, account = fields.flag("enableCustomServiceAccount"), fields.text("serviceAccount")
    if account and not enabled:
        raise fields.error("serviceAccount", "needs enableCustomServiceAccount")
    if enabled and not account:
        raise fields.error("serviceAccount", "is required with enableCustomServiceAccount")
    return only(enableCustomServiceAccount=enabled, serviceAccount=account)


def _head_pool(ray: Fields, pools: Sequence[Pool]) -> Pool:
    name = ray.text("headNodeResourcePoolId")
    if not name:
        return pools[0]
    found = next((pool for pool in pools if pool.id == name), None)
    if found is None:
        known = ", ".join(pool.id for pool in pools)
        raise ray.error("headNodeResourcePoolId", f"no pool has the id {name[:80]!r}; there are: {known}")
    return found


def _read_images(ray: Fields, pools: Sequence[Pool], context: Context) -> tuple[Json, Mapping[str, Release]]:
    """The images as written, and the release of every pool by its id. All agree on Ray and Python."""
    common, own = ray.text("imageUri"), ray.text_map("resourcePoolImages")
    known = {pool.id for pool in pools}
    for name in own:
        if name not in known:
            raise ray.error(f"resourcePoolImages.{name[:80]}", f"no pool has this id; there are: {', '.join(known)}")
    releases: dict[str, Release] = {}
    for pool in pools:
        image = own.get(pool.id) or common
        key = f"resourcePoolImages.{pool.id}" if own.get(pool.id) or not common else "imageUri"
        if not image:
            raise ray.error(key if own else "resourcePoolImages", f"an image is required for the pool {pool.id}")
        release = _release(ray, key, image, context)
        first = next(iter(releases.values()), release)
        if (release.ray, release.python) != (first.ray, first.python):
            raise ray.error(
                key,
                "all pools must have the same Ray and the same Python; "
                f"this is Ray {release.ray} with Python {release.python}, another is Ray {first.ray} with Python {first.python}",
            )
        releases[pool.id] = release
    if common:
        _release(ray, "imageUri", common, context)
    return only(imageUri=common, resourcePoolImages=own or None), releases


def _release(ray: Fields, key: str, image: str, context: Context) -> Release:
    try:
        return release_of(image, context.settings.images, context.installation.catalogue)
    except ValueError as error:
        raise ray.error(key, str(error)) from None


def _read_mounts(ray: Fields) -> tuple[NfsMount, ...]:
    found: list[NfsMount] = []
    for row in ray.objects("nfsMounts"):
        mount = NfsMount(row.text("server"), row.text("path"), row.text("mountPoint"))
        for key, value in (("server", mount.server), ("path", mount.path), ("mountPoint", mount.mount_point)):
            if not value:
                raise row.error(key, "is required")
            if any(ord(character) < 32 for character in value):
                raise row.error(key, "must not hold control characters")
        if not mount.path.startswith("/"):
            raise row.error("path", "must be an absolute path on the server")
        parts = mount.mount_point.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise row.error("mountPoint", "must be a relative path below /mnt/nfs, without '.' and '..'")
        if any(_nested(mount.mount_point, other.mount_point) for other in found):
            raise row.error("mountPoint", "is the place of another mount, or within it, or around it")
        found.append(mount)
    return tuple(found)


def _nested(one: str, other: str) -> bool:
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


# --- writing --------------------------------------------------------------------------------------------------------


def write_resource(view: ClusterView, name: str, operation: Operation | None, context: Context) -> Json:
    """A cluster of any dialect. ``name`` is the full resource name; ``operation`` what is under way on the cluster."""
    cluster, instance = view.cluster, view.instance
    spec = cluster.spec
    kept = Kept.of(spec)
    pools = shown_pools(spec, kept)
    times = [cluster.created_at, cluster.modified_at, cluster.started_at or cluster.created_at]
    error = shown_error(cluster)
    kind = operation.kind if operation is not None and operation.open else None
    shown = {
        "name": name,
        **only(displayName=spec.description[:MAX_DISPLAY_NAME]),
        "resourcePools": [_write_pool(pool, cluster, instance, context) for pool in pools],
        "state": shown_state(cluster.state, cluster.wanted, kind).value,
        **only(error=error),
        "createTime": instant(cluster.created_at),
    }
    if instance is not None and instance.running_at is not None:
        shown["startTime"] = instant(instance.running_at)
    shown["updateTime"] = instant(max(times))
    shown |= only(labels=write_labels(spec) or None)
    shown |= {key: value for key, value in kept.resource.items() if key != "serviceAccountSpec"}
    account = kept.resource.get("serviceAccountSpec")
    location = parse_resource(name).location
    shown[RUNTIME] = {"raySpec": _write_ray(spec, kept, pools, location, context), **only(serviceAccountSpec=account)}
    shown["resourceRuntime"] = only(accessUris=access_uris(cluster, instance, context.installation) or None)
    return shown


def instant(time: datetime) -> str:
    """A time as JSON has it."""
    seconds, rest = divmod(time - _EPOCH, timedelta(seconds=1))
    return write_instant(seconds, rest // timedelta(microseconds=1) * 1000)


def _write_pool(pool: Shown, cluster: Cluster, instance: Instance | None, context: Context) -> Json:
    shown: Json = {
        "id": pool.id,
        "machineSpec": pool.machine_spec(context),
        "replicaCount": str(_replicas(pool, cluster, instance)),
        "diskSpec": pool.disk_spec(),
    }
    alive = _alive(pool, instance)
    if alive:
        shown["usedReplicaCount"] = str(alive)
    if pool.bounds is not None:
        shown["autoscalingSpec"] = pool.bounds.written()
    return shown


def _replicas(pool: Shown, cluster: Cluster, instance: Instance | None) -> int:
    """Nodes wanted now: the spec's number, or what Ray's autoscaler asks for, within the bounds."""
    live = instance is not None and cluster.state in (State.STARTING, State.RUNNING)
    if instance is None or not live or pool.bounds is None or pool.group is None:
        return pool.replicas
    if not instance.spec.autoscaling.enabled:
        return pool.replicas
    wanted = {row.name: row.wanted for row in group_counts(instance)}.get(pool.group.name, pool.group.replicas)
    least = max(pool.bounds.least, int(pool.is_head))
    return max(least, min(wanted + pool.is_head, pool.bounds.most))


def _alive(pool: Shown, instance: Instance | None) -> int:
    if instance is None:
        return 0
    group = None if pool.group is None else pool.group.name
    return sum(
        node.state is NodeState.ALIVE
        and (pool.is_head if node.kind == "head" else group is not None and node.group == group)
        for node in instance.nodes
    )


def _write_ray(spec: ClusterSpec, kept: Kept, pools: Sequence[Shown], location: str, context: Context) -> Json:
    common = kept.ray.get("imageUri", "")
    if common and not _means(common, spec.release, context):
        common = ""
    own = kept.ray.get("resourcePoolImages", {})
    shown: Json = only(imageUri=common)
    shown["resourcePoolImages"] = {
        pool.id: _image(pool, own.get(pool.id) or kept.ray.get("imageUri", ""), spec, location, context)
        for pool in pools
    }
    if "headNodeResourcePoolId" in kept.ray:
        shown["headNodeResourcePoolId"] = pools[0].id
    shown["rayMetricSpec"] = only(disabled=not spec.metrics)
    shown["rayLogsSpec"] = only(disabled=not spec.collect_logs)
    mounts = [{"server": row.server, "path": row.path, "mountPoint": row.mount_point} for row in spec.nfs_mounts]
    return shown | only(nfsMounts=mounts)


def _image(pool: Shown, written: str, spec: ClusterSpec, location: str, context: Context) -> str:
    """As written, if it still stands for what the nodes run; else the vendor's name for that."""
    release = pool.shape.release or spec.release
    if written and _means(written, release, context):
        return written
    found = context.installation.catalogue.find(release)
    if found is None:
        try:
            found = Release.parse(release)
        except ValueError:
            return release  # no image's name; clients then show no version
    return image_of(found, pool.shape.gpu is not None, location)


def _means(image: str, release: str, context: Context) -> bool:
    catalogue = context.installation.catalogue
    try:
        return release_of(image, context.settings.images, catalogue) == catalogue.find(release)
    except ValueError:
        return False
