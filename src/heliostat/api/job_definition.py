"""What a submitted body asks for, in the domain's words. Pure."""

from __future__ import annotations

from datetime import timedelta

from heliostat.domain.ids import ClusterId
from heliostat.domain.jobs import Code, EntrypointResources, Retries
from heliostat.domain.quantities import parse_memory
from heliostat.domain.secrets import JobSecret
from heliostat.services import JobWish

from .definition import unnamed_spec_of
from .models.job_bodies import JobCluster, NewJob


def wish_of(body: NewJob, cluster: ClusterId | None, default_release: str) -> JobWish:
    """``cluster`` is the existing one that the body names; without it and a definition, a cluster of defaults is made."""
    definition = body.cluster_spec or (JobCluster() if cluster is None else None)
    taken = body.resources
    return JobWish(
        entrypoint=body.entrypoint,
        name=body.name,
        cluster=cluster,
        cluster_spec=None if definition is None else unnamed_spec_of(definition, default_release),
        runtime_env=body.runtime_env,
        code=Code(body.working_dir, tuple(body.files), body.requirements),
        metadata=body.metadata,
        tags=body.tags,
        resources=EntrypointResources(
            cpus=taken.cpus,
            gpus=taken.gpus,
            memory=None if taken.memory is None else parse_memory(taken.memory),
            custom=taken.custom,
        ),
        deadline=None if body.deadline_seconds is None else timedelta(seconds=body.deadline_seconds),
        retries=Retries(**body.retries.model_dump()),
        shutdown_after_finish=body.shutdown_after_finish,
        ttl=timedelta(seconds=body.ttl_seconds),
        secrets=tuple(JobSecret(row.group, row.key, row.version, tuple(row.variables)) for row in body.secrets),
    )
