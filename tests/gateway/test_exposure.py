"""Every route of the Rays that we know meets a rule on purpose; ``routes/`` lists them, from Ray's own sources.

To add a Ray version, list the ``@routes.<method>("<path>")`` decorators and static routes of ``ray/dashboard/**/*.py`` in
that form: method, path, and ``head`` or ``agent`` (whose port it is on; an agent's is never reached, but the paths are
looked at here all the same).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heliostat.domain.records import Role
from heliostat.gateway.exposure import ANYTHING_ELSE, RULES, Need, classify

LISTS = sorted((Path(__file__).parent / "routes").glob("ray-*.txt"))
ROUTES = sorted({tuple(line.split()[:2]) for file in LISTS for line in file.read_text().splitlines()})

RUNS_CODE = {
    ("POST", "/api/jobs/"),
    ("POST", "/api/jobs/{job_or_submission_id}/stop"),
    ("DELETE", "/api/jobs/{job_or_submission_id}"),
    ("PUT", "/api/packages/{protocol}/{package_name}"),
    ("PUT", "/api/serve/applications/"),
    ("DELETE", "/api/serve/applications/"),
    ("POST", "/api/v1/applications/{application_name}/deployments/{deployment_name}/scale"),
    ("GET", "/api/actors/kill"),
    ("GET", "/memory_profile"),
    ("GET", "/task/cpu_profile"),
    ("GET", "/task/traceback"),
    ("GET", "/worker/cpu_profile"),
    ("GET", "/worker/gpu_profile"),
    ("GET", "/worker/jax_profile"),
    ("GET", "/worker/traceback"),
}
SECRETS = {
    ("GET", "/api/packages/{protocol}/{package_name}"),
    ("GET", "/api/jobs/{job_or_submission_id}"),
    ("GET", "/api/jobs/{job_or_submission_id}/logs"),
    ("GET", "/api/jobs/{job_or_submission_id}/logs/tail"),
    ("GET", "/api/v0/logs"),
    ("GET", "/api/v0/logs/{media_type}"),
    ("GET", "/api/v0/runtime_envs"),
    ("GET", "/logs/{file}"),
}
MASKED = {("GET", "/api/jobs/"), ("GET", "/api/v0/jobs"), ("GET", "/api/serve/applications/")}
NEVER = {
    ("POST", "/report_events"),
    ("POST", "/api/task_events"),
    ("POST", "/api/task_events/query"),
    ("GET", "/api/v0/delay/{delay_s}"),
    ("GET", "/test/dump"),
    *(route for route in ROUTES if route[1].startswith("/api/job_agent/")),
}


def example(path: str) -> str:
    return re.sub(r"\{[a-z_]+\}", "x-1.y", path)


def test_both_lists_are_there() -> None:
    assert [file.stem for file in LISTS] == ["ray-2.47.1", "ray-2.60.0"]
    assert len(ROUTES) > 70


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=" ".join)
def test_each_route_of_ray_is_classified_on_purpose(method: str, path: str) -> None:
    route = (method, path)
    expected = (
        Need.NEVER
        if route in NEVER
        else Need.OURS
        if path == "/api/authenticate"
        else Need.RUN
        if route in RUNS_CODE
        else Need.READ
        if route in SECRETS
        else Need.MASKED
        if route in MASKED
        else Need.VIEW
    )
    rule = classify(method, example(path))
    assert rule is not ANYTHING_ELSE
    assert rule.need is expected, rule.name
    if method == "GET":
        assert classify("HEAD", example(path)) is rule


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=" ".join)
@pytest.mark.parametrize("other", ["POST", "PUT", "DELETE"])
def test_no_method_is_open_to_viewers_but_reading(method: str, path: str, other: str) -> None:
    assert classify(other, example(path)).need.role is Role.EDITOR


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/anything"),
        ("GET", "/nodes/1/2"),
        ("GET", "/API/version"),
        ("GET", "/staticx"),
        ("POST", "/"),
        ("GET", "/metrics"),
    ],
)
def test_what_is_not_listed_takes_an_editor_and_is_recorded(method: str, path: str) -> None:
    assert classify(method, path) is ANYTHING_ELSE
    assert (ANYTHING_ELSE.need, ANYTHING_ELSE.need.role) == (Need.RUN, Role.EDITOR)


@pytest.mark.parametrize(
    "path", ["/report_events/", "/api/job_agent", "/api/job_agent/a/b/c", "/test/dump/", "/api/v0/delay"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
def test_what_nobody_gets_stays_closed_in_every_spelling(method: str, path: str) -> None:
    assert classify(method, path).need is Need.NEVER
    assert classify(method, path, websocket=True).need is Need.NEVER


def test_only_log_tailing_is_a_websocket_for_itself() -> None:
    assert classify("GET", "/api/jobs/j/logs/tail", websocket=True).name == "follow a job's log"
    assert classify("GET", "/nodes", websocket=True) is ANYTHING_ELSE
    assert [rule.name for rule in RULES if rule.websocket] == ["follow a job's log"]
