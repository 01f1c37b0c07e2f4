"""What of Ray's dashboard port is exposed, and to whom: a table of rules, the first that matches counts.

Viewers get what is listed for them and nothing else, since new versions of Ray add endpoints. Whoever may run code on a
cluster (editors and owners) gets everything but what nobody gets. The list was made from the routes of Ray 2.47.1 and
2.60.0; a test holds both lists and demands that each route meets a rule on purpose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from heliostat.domain.records import Role


class Need(Enum):
    """What it takes to be let through."""

    VIEW = "view"
    """Viewers."""
    MASKED = "masked"
    """Viewers, where Ray masks the values of environment variables for browsers (2.60 does); else editors."""
    READ = "read"
    """Editors, since it shows code, logs or environment variables, which hold secrets."""
    RUN = "run"
    """Editors, since it runs, changes or attaches to code. Each such request is recorded."""
    NEVER = "never"
    """Nobody: internal to Ray, or made for its debugging."""
    OURS = "ours"
    """Answered by the gateway itself."""

    @property
    def role(self) -> Role:
        return Role.VIEWER if self in (Need.VIEW, Need.MASKED) else Role.EDITOR


@dataclass(frozen=True)
class Rule:
    """Requests of one kind."""

    name: str
    """The path class, for the audit record; reads as "may not <name>"."""
    need: Need
    methods: str
    """Separated by blanks; ``*`` = all. GET includes HEAD."""
    paths: tuple[str, ...]
    """``{}`` stands for one segment, a final ``/**`` for anything below (and the path itself)."""
    websocket: bool = False
    """Whether it may be opened as a websocket by those who may have it."""
    viewers_without: str | None = None
    """A query parameter that takes an editor, because it adds runtime environments to the answer."""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(_regex(path) for path in self.paths))

    def matches(self, method: str, path: str) -> bool:
        known = self.methods == "*" or ("GET" if method == "HEAD" else method) in self.methods.split()
        return known and self._pattern.fullmatch(path) is not None


def _regex(path: str) -> str:
    below = path.endswith("/**")
    text = re.escape(path.removesuffix("/**").rstrip("/")).replace(r"\{\}", "[^/]+")
    return text + ("(?:/.*)?" if below else "/?")


RULES = (
    Rule("write Ray's events", Need.NEVER, "*", ("/report_events/**",)),
    Rule("exchange task events", Need.NEVER, "*", ("/api/task_events/**",)),
    Rule("use a node's job agent", Need.NEVER, "*", ("/api/job_agent/**",)),
    Rule("dump the dashboard's memory", Need.NEVER, "*", ("/test/**",)),
    Rule("delay answers", Need.NEVER, "*", ("/api/v0/delay/**",)),
    Rule("log in", Need.OURS, "*", ("/api/authenticate",)),
    Rule("open the dashboard", Need.VIEW, "GET", ("/", "/favicon.ico", "/static/**", "/timezone")),
    Rule("ask for versions", Need.VIEW, "GET", ("/api/version", "/api/ray/version", "/api/authentication_mode")),
    Rule(
        "ask for health",
        Need.VIEW,
        "GET",
        (
            "/api/gcs_healthz",
            "/api/healthz",
            "/api/local_raylet_healthz",
            "/api/grafana_health",
            "/api/prometheus_health",
            "/api/prometheus/sd",
        ),
    ),
    Rule(
        "see the cluster",
        Need.VIEW,
        "GET",
        (
            "/nodes",
            "/nodes/{}",
            "/events",
            "/cluster_id",
            "/usage_stats_enabled",
            "/api/cluster_status",
            "/api/component_activities",
            "/api/profiling_enabled",
            "/api/v0/cluster_metadata",
            "/api/v0/cluster_events",
            "/api/v0/platform_events",
            "/api/v0/nodes",
            "/api/v0/runtime_env_redaction",
        ),
    ),
    Rule(
        "see actors or tasks",
        Need.VIEW,
        "GET",
        (
            "/logical/actors",
            "/logical/actors/{}",
            "/api/v0/actors",
            "/api/v0/actors/summarize",
            "/api/v0/tasks",
            "/api/v0/tasks/summarize",
            "/api/v0/tasks/timeline",
        ),
        viewers_without="detail",
    ),
    Rule(
        "see objects, workers or data sets",
        Need.VIEW,
        "GET",
        (
            "/api/v0/objects",
            "/api/v0/objects/summarize",
            "/api/v0/placement_groups",
            "/api/v0/workers",
            "/api/data/datasets/{}",
            "/api/train/v2/runs",
            "/api/train/v2/runs/v1",
        ),
    ),
    Rule("list jobs", Need.MASKED, "GET", ("/api/jobs/", "/api/v0/jobs")),
    Rule("see Serve applications", Need.MASKED, "GET", ("/api/serve/applications/",)),
    Rule("follow a job's log", Need.READ, "GET", ("/api/jobs/{}/logs/tail",), websocket=True),
    Rule("read a job's log", Need.READ, "GET", ("/api/jobs/{}/logs",)),
    Rule("see a job's environment", Need.READ, "GET", ("/api/jobs/{}", "/api/v0/runtime_envs")),
    Rule("read logs", Need.READ, "GET", ("/api/v0/logs/**", "/logs/**")),
    Rule("read uploaded code", Need.READ, "GET", ("/api/packages/{}/{}",)),
    Rule("upload code", Need.RUN, "PUT", ("/api/packages/{}/{}",)),
    Rule("submit a job", Need.RUN, "POST", ("/api/jobs/",)),
    Rule("stop a job", Need.RUN, "POST", ("/api/jobs/{}/stop",)),
    Rule("delete a job", Need.RUN, "DELETE", ("/api/jobs/{}",)),
    Rule("deploy Serve applications", Need.RUN, "PUT DELETE", ("/api/serve/applications/",)),
    Rule("scale a Serve deployment", Need.RUN, "POST", ("/api/v1/applications/{}/deployments/{}/scale",)),
    Rule("kill an actor", Need.RUN, "*", ("/api/actors/kill",)),
    Rule("profile a process", Need.RUN, "*", ("/worker/**", "/task/**", "/memory_profile")),
)

ANYTHING_ELSE = Rule("use an endpoint that is not listed", Need.RUN, "*", ("/**",), websocket=True)


def classify(method: str, path: str, *, websocket: bool = False) -> Rule:
    """The rule for a request with this canonical path (at the head). Total: what is not listed is ANYTHING_ELSE."""
    rule = next((rule for rule in RULES if rule.matches(method, path)), ANYTHING_ELSE)
    open_as_websocket = rule.websocket or rule.need in (Need.NEVER, Need.OURS)
    return ANYTHING_ELSE if websocket and not open_as_websocket else rule
