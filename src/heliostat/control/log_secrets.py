"""What must not stand in a log or a message that we keep: the secrets of jobs, and of the run of the cluster that they ran
on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from heliostat.domain.jobs import Job
from heliostat.domain.masking import StreamMasker, declared_values, encoded, of_runtime_env, of_settings, secret_values
from heliostat.domain.records import Instance
from heliostat.domain.secrets import GivenSecret

CUT = "..."
"""How a sentence ends that was too long."""


def of_job(job: Job) -> frozenset[str]:
    """All that Ray is told of a job by its spec, and where its code came from.

    A variable whose value every reader of the job is shown, as a tag or in its metadata, hides nothing.
    """
    code = job.spec.code
    requirements = job.prepared.requirements if job.prepared is not None else ()
    urls = {"urls": [code.working_dir, *code.files, code.requirements], "pip": list(requirements)}
    return of_runtime_env(job.spec.runtime_env, job.spec.public) | of_settings(urls)


def of_given(secrets: Iterable[GivenSecret]) -> frozenset[str]:
    """The values of the workspace's secrets that a job was given, whatever has become of the secrets since."""
    return declared_values(secret.value for secret in secrets)


def of_instance(instance: Instance) -> frozenset[str]:
    """Its tokens, the variables of its nodes, the password of its Redis."""
    spec, tolerance = instance.spec, instance.spec.fault_tolerance
    shapes = (spec.head, *(group.shape for group in spec.workers))
    found = frozenset({instance.ray_token.reveal(), instance.submit_token.reveal()})
    for shape in shapes:
        found |= secret_values(shape.env)
    if tolerance is not None:
        password = tolerance.redis_password.reveal() if tolerance.redis_password is not None else ""
        found |= of_settings({"url": tolerance.redis_url, "password": password})
    return found


def without_secrets(message: str, secrets: Collection[str]) -> str:
    """What Ray says of a job, without these secrets, and without the beginning of one at which it was cut."""
    masker = StreamMasker(encoded(secrets))
    shown = masker.feed(message.removesuffix(CUT).encode(errors="surrogatepass"))
    shown += CUT.encode() if message.endswith(CUT) else masker.finish()
    return shown.decode(errors="surrogatepass")
