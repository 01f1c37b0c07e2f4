"""Jobs of tasks, and the key by which a repeated request is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.submission import RunPlace, run_key, submission
from heliostat.domain.job_validation import job_errors
from heliostat.domain.jobs import JobSpec, Retries
from heliostat.services import JobWish

from .templates import IMAGE, cluster, group, pod, real, template, wish

PLACE = RunPlace(
    "p", "d", "exec", "n0", 1, ("p", "d", "m.task", "v1"), "s3://b/o", workflow="wf",
    environment={"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": "2"},
    labels={"team": "a"}, annotations={"note": "b"}, service_account="sa",
)  # fmt: skip
NOWHERE = RunPlace("", "", "", "", 0, ("", "", "", ""), "")


def problems(job: JobWish) -> list[str]:
    """What the use case would say of it."""
    spec = JobSpec(
        job.name or "rj-1", job.entrypoint, wish(template()).cluster, runtime_env=job.runtime_env, code=job.code,
        metadata=job.metadata, tags=job.tags, deadline=job.deadline, ttl=job.ttl, secrets=job.secrets,
    )  # fmt: skip
    return [str(error) for error in job_errors(spec)]


def test_a_job_says_where_it_belongs() -> None:
    job = submission(wish(real("full")), PLACE, FlyteSettings(), "rj-1", deadline=timedelta(minutes=5))
    assert (job.name, job.cluster, job.cluster_spec, job.retries) == ("exec-n0-2", None, None, Retries())
    assert (job.shutdown_after_finish, job.ttl, job.deadline) == (True, timedelta(minutes=2), timedelta(minutes=5))
    assert job.tags == {
        "flyte.project": "p", "flyte.domain": "d", "flyte.execution": "exec", "flyte.node": "n0", "flyte.attempt": "1",
        "flyte.index": "2", "flyte.task": "m.task", "flyte.version": "v1", "flyte.workflow": "wf", "team": "a",
        "heliostat/cluster": "mine",
    }  # fmt: skip
    assert job.metadata["flyte.output_prefix"] == "s3://b/o" and job.metadata["note"] == "b"
    assert (job.metadata["flyte.service_account"], job.metadata["flyte.image"]) == ("sa", IMAGE)
    assert "working_dir" not in job.runtime_env and job.runtime_env["pip"] == ["numpy"]
    assert len(job.secrets) == 3 and "python -I -c" in job.entrypoint and "KEY_FILE=" in job.entrypoint
    assert problems(job) == []


def test_the_environment_of_an_attempt() -> None:
    job = submission(wish(real("full")), PLACE, FlyteSettings(), "rj-1")
    assert job.runtime_env["env_vars"] == {
        "FOO": "bar", "A": "from settings", "X": "1",
        "FLYTE_INTERNAL_EXECUTION_ID": "exec", "FLYTE_INTERNAL_EXECUTION_PROJECT": "p", "FLYTE_INTERNAL_EXECUTION_DOMAIN": "d",
        "FLYTE_INTERNAL_EXECUTION_WORKFLOW": "wf", "FLYTE_ATTEMPT_NUMBER": "1", "FLYTE_INTERNAL_TASK_PROJECT": "p",
        "FLYTE_INTERNAL_TASK_DOMAIN": "d", "FLYTE_INTERNAL_TASK_NAME": "m.task", "FLYTE_INTERNAL_TASK_VERSION": "v1",
        "FLYTE_FAIL_ON_ERROR": "true", "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1", "FLYTE_SECRETS_ENV_PREFIX": "_FSEC_",
        "FLYTE_SECRETS_FILE_PREFIX": "", **PLACE.environment,
    }  # fmt: skip


def test_who_wins_when_variables_are_set_twice() -> None:
    names = [f"{level}{index}" for level in range(5) for index in range(5)]
    custom = {"runtimeEnvYaml": "env_vars: {" + ", ".join(f"L{name}: user" for name in names if name[1] >= "1") + "}"}
    env = [{"key": f"L{name}", "value": "container"} for name in names if name[1] >= "2"]
    env.append({"key": "FLYTE_ATTEMPT_NUMBER", "value": "container"})
    task = wish(template(custom, container={"image": IMAGE, "args": ["x"], "env": env}))
    place = replace(PLACE, environment={"L04": "execution", "FLYTE_FAIL_ON_ERROR": "false"})
    made = submission(task, place, FlyteSettings(env={f"L{name}": "operator" for name in names}), "rj-1")
    found = made.runtime_env["env_vars"]
    assert [found[f"L0{index}"] for index in range(5)] == ["operator", "user", "container", "container", "execution"]
    assert (found["FLYTE_ATTEMPT_NUMBER"], found["FLYTE_FAIL_ON_ERROR"]) == ("1", "false")


def test_a_group_s_own_value_is_not_hidden_by_the_jobs() -> None:
    container = {"image": IMAGE, "args": ["x"], "env": [{"key": "A", "value": "task"}, {"key": "B", "value": "task"}]}
    custom = cluster(group(k8sPod=pod(env=[{"name": "A", "value": "group"}])))
    task = wish(template(custom, container=container))
    assert task.env == {"B": "task"}
    assert (task.cluster.head.env, task.cluster.workers[0].shape.env) == ({"A": "task"}, {"A": "group"})
    elsewhere = wish(
        template(custom, container=container, metadata={"metadata": {"labels": {"heliostat/cluster": "c"}}})
    )
    assert elsewhere.env == {"A": "task", "B": "task"}, "nodes of another's cluster have none of it"


def test_a_working_dir_is_code_of_the_job() -> None:
    job = submission(wish(template({"runtimeEnvYaml": "working_dir: https://h/c.zip"})), PLACE, FlyteSettings(), "rj-1")
    assert job.code.working_dir == "https://h/c.zip" and "cp -RP" in job.entrypoint and problems(job) == []


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text()), st.integers(0, 2**31))
@example("a", "b", {"\0": ""}, 0)
def test_any_place_makes_a_job_that_can_be_stored(name: str, other: str, labels: dict[str, str], attempt: int) -> None:
    place = RunPlace(
        name, other, name * 9, other, attempt, (name, other, name, other * 40), other, other,
        labels=labels, annotations=labels, service_account=name,
    )  # fmt: skip
    found = [
        row for row in problems(submission(wish(template()), place, FlyteSettings(), name)) if "Unicode" not in row
    ]
    assert [row for row in found if not row.startswith("runtime_env")] == []


def test_without_any_place_there_is_a_job_too() -> None:
    job = submission(wish(template()), NOWHERE, FlyteSettings(), "rj-1")
    assert job.name is None and job.tags == {"flyte.attempt": "0"} and problems(job) == []
    assert set(job.runtime_env["env_vars"]) == {
        "FLYTE_ATTEMPT_NUMBER",
        "FLYTE_FAIL_ON_ERROR",
        "RAY_OVERRIDE_JOB_RUNTIME_ENV",
    }


@pytest.mark.parametrize(
    "other",
    [
        {"project": "x"}, {"domain": "x"}, {"execution": "x"}, {"node": "x"}, {"attempt": 2}, {"output_prefix": "x"},
        {"environment": {**PLACE.environment, "FLYTE_K8S_ARRAY_INDEX": "3"}}, {"project": "pd", "domain": ""},
    ],
)  # fmt: skip
def test_another_attempt_has_another_key(other: dict[str, object]) -> None:
    assert run_key(replace(PLACE, **other)) != run_key(PLACE)  # type: ignore[arg-type]


def test_the_same_attempt_has_the_same_key() -> None:
    assert run_key(replace(PLACE, labels={}, task=("", "", "", ""), environment=dict(PLACE.environment))) == run_key(
        PLACE
    )
    assert len(run_key(PLACE)) == 64
