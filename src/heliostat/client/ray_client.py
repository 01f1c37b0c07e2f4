"""``heliostat.ray_init("cluster")``: ``ray.init`` on a cluster by name, with what goes wrong found out first and said well.

Ray Client takes every refusal for a server that is not up yet: with a wrong token, a stopped cluster or another Ray it
tries for half a minute and reports a time-out. So everything is asked for by HTTP before. Imports Ray only when called.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .credentials import Credentials
from .errors import InvalidRequest, NotReady, NotRunning, Unavailable, of_problem
from .http import httpx, without_proxy
from .sync.chosen import chosen
from .sync.client import Client
from .sync.cluster import Cluster

PROBE_SECONDS = 15.0
OFFER_SECONDS = 15.0
"""A cluster is Running when its jobs can run; its client server may come a moment later."""
TOKENS_SINCE = (2, 52)
"""The first Ray that can send a token by itself."""
_PYTHON = re.compile(r"Python ([0-9]+\.[0-9]+)")


def ray_init(cluster: str | Cluster, *, client: Client | None = None, **options: Any) -> Any:
    """``ray.init`` on the running cluster with this name or id; ``options`` are passed on to it. Returns what it returns.

    Raises InvalidRequest when this process's Ray or Python does not fit (the message says what to install), NotRunning,
    Unauthenticated, Forbidden and Unavailable with what to do. ``Any``: Ray's own options and its own context.
    """
    given = next((name for name in ("address", "_metadata", "_credentials") if name in options), None)
    if given is not None:
        raise InvalidRequest(f"ray_init() sets {given} itself", path=given)
    found = cluster.refresh() if isinstance(cluster, Cluster) else chosen(client).clusters.get(cluster)
    credentials = _credentials(cluster, client)
    if found.state != "Running":
        raise NotRunning(f"cluster {found.name} is {found.state}; start it with: heliostat cluster start {found.name}")
    token = found.submit_token
    version = _probe(found, credentials, token)
    local = _local_ray(version)
    _compare(found, version, local)
    _await_offer(found)
    more = _own_token(token, local)
    place = urlsplit(credentials.endpoint)
    if place.scheme == "https":
        grpc = importlib.import_module("grpc")
        roots = Path(credentials.ca).read_bytes() if credentials.ca else None
        more["_credentials"] = grpc.ssl_channel_credentials(root_certificates=roots)
    port = place.port or (443 if place.scheme == "https" else 80)
    host = f"[{place.hostname}]" if ":" in (place.hostname or "") else place.hostname
    return _connect(found, f"ray://{host}:{port}", {**options, **more})


def _await_offer(cluster: Cluster) -> None:
    """Raises NotRunning with the reason when ``ray://`` is not offered."""
    deadline = time.monotonic() + OFFER_SECONDS
    while cluster.endpoints is not None and cluster.endpoints.ray_url is None and time.monotonic() < deadline:
        time.sleep(0.25)
        cluster.refresh()
    _ = cluster.ray_url


def _credentials(cluster: str | Cluster, client: Client | None) -> Credentials:
    return (cluster._client if isinstance(cluster, Cluster) else chosen(client)).credentials


def _probe(cluster: Cluster, credentials: Credentials, token: str) -> str:
    """The version of the cluster's Ray, asked for with the token that will be used."""
    url = f"{credentials.endpoint}/c/{cluster.id}/api/version"
    verify: Any = True
    if credentials.ca:
        import ssl

        verify = ssl.create_default_context(cafile=credentials.ca)
    try:
        answer = httpx.get(
            url,
            headers={"authorization": f"Bearer {token}"},
            timeout=PROBE_SECONDS,
            verify=verify,
            trust_env=not without_proxy(credentials.endpoint),
        )
    except httpx.TransportError as error:
        raise Unavailable(f"cluster {cluster.name} does not answer at {url}: {error}") from error
    if answer.status_code != 200:
        try:
            body = answer.json()
        except ValueError:
            body = None
        problem = body if isinstance(body, dict) else {}
        detail = problem.get("detail") or problem.get("message") or answer.text[:500]
        raise of_problem(answer.status_code, {**problem, "detail": detail, "code": None}, None)
    return str(answer.json()["ray_version"])


def _local_ray(wanted: str) -> str:
    try:
        return importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise NotReady(f"Ray is not installed here; install what the cluster has: {_install(wanted)}") from None


def _compare(cluster: Cluster, version: str, local: str) -> None:
    """Raises InvalidRequest: Ray refuses other versions, and other Pythons cannot read what it sends."""
    if local != version:
        raise InvalidRequest(
            f"cluster {cluster.name} runs Ray {version}, this process has Ray {local}, and they must be the same. "
            f"Install the cluster's: {_install(version)}"
        )
    head = cluster.spec.get("head") or {}
    match = _PYTHON.search(str(head.get("release") or cluster.release))
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    if match is not None and match[1] != mine:
        raise InvalidRequest(
            f"cluster {cluster.name} runs Python {match[1]}, this process is Python {mine}, and what one sends the other "
            f"cannot read. Use Python {match[1]}, or a cluster with a release for Python {mine} (heliostat release list)."
        )


def _install(version: str) -> str:
    return f'pip install "ray[client]=={version}"'


def _own_token(token: str, version: str) -> dict[str, Any]:
    """How the token goes along. A Ray in token mode sends its own by itself, and two different ones are refused."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    sends = numbers is not None and (int(numbers[1]), int(numbers[2])) >= TOKENS_SINCE
    if sends and os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        if os.environ.get("RAY_AUTH_TOKEN") == token:
            return {}
        raise InvalidRequest(
            "RAY_AUTH_MODE=token makes Ray send a token of its own beside the cluster's. Unset RAY_AUTH_MODE for this "
            "process; ray_init() brings the right token."
        )
    return {"_metadata": [("authorization", f"Bearer {token}")]}


def _connect(cluster: Cluster, address: str, options: dict[str, Any]) -> Any:
    """Ray's server process for a client dies at its birth now and then, and the next one lives: hence a second try."""
    ray = importlib.import_module("ray")
    try:
        return ray.init(address, **options)
    except ConnectionError:
        ray.shutdown()
    try:
        return ray.init(address, **options)
    except ConnectionError as error:
        raise Unavailable(
            f"cluster {cluster.name} runs and the token is good, but {address} does not answer Ray Client: {error}. "
            "Something between here and there may let HTTP/1.1 through only."
        ) from error
