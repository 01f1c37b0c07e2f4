"""What an operator may set about the local engine, each with unit, default and reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import heliostat_node
from heliostat.domain.releases import Catalogue, Release

from .limits import free_memory


def _half_the_cores() -> int:
    return max(1, (os.cpu_count() or 2) // 2)


def _twice_the_cores() -> int:
    return max(4, 2 * (os.cpu_count() or 2))


@dataclass(frozen=True)
class LocalSettings:
    """Settings of one :class:`~heliostat.engines.local.LocalEngine`."""

    state: Path
    """The engine's own folder, made 0700 when it is absent. One server at a time may use it."""
    catalogue: Catalogue = field(default_factory=Catalogue)
    """To tell what a release's display text in a spec means."""
    concurrent_starts: int = field(default_factory=_half_the_cores)
    """Instances that start at once; half the cores, since a start is bound by CPU (about 8 CPU-seconds for 3 nodes). The
    free memory bounds them too (see :mod:`heliostat.engines.local.turns`)."""
    concurrent_workers: int = field(default_factory=_twice_the_cores)
    """Workers that come up at once, of all instances (of instances whose head is not up yet, of each): the others wait, so
    that a large cluster or a large step of its autoscaler does not bring down what runs. Twice the cores, since a part
    of a worker's start is waiting."""
    free_memory: Callable[[], int] = free_memory
    """Bytes that nodes to be started may take now."""
    start_deadline: timedelta = timedelta(minutes=5)
    """From the start of the nodes to all of them alive. Long: a busy machine is slow, not broken."""
    start_tries: int = 3
    """How often a node may die before the instance was up once, until the start counts as failed. A group of several
    nodes may lose one more for each further node, since one cause can strike them all at once."""
    head_tries: int = 5
    """Head restarts without a calm period of :attr:`calm` between them, until the instance counts as lost."""
    head_return: timedelta = timedelta(seconds=240)
    """A head must be back within this, while the workers wait for it (they give up after 300 s)."""
    calm: timedelta = timedelta(minutes=5)
    """A node that lived this long had a good start: back-offs begin anew."""
    back_off: timedelta = timedelta(seconds=1)
    """Pause before the second replacement in a row, doubled for each further one. The first has none."""
    back_off_limit: timedelta = timedelta(minutes=1)
    grace: timedelta = timedelta(seconds=5)
    """What a node that is scaled away gets between SIGTERM and SIGKILL."""
    drain_deadline: timedelta = timedelta(minutes=10)
    """How long a worker that is not wanted any more may go on with what it runs. Long: tasks that are ended start anew."""
    health_interval: timedelta = timedelta(seconds=5)
    """Between two looks at the dashboard of a running instance; process deaths are noticed at once without it."""
    health_misses: int = 3
    """Unanswered looks in a row until it is called trouble."""
    zygote_idle: timedelta = timedelta(minutes=10)
    """A zygote (about 80 MB) that started nothing for this long is ended."""
    python_downloads: bool = False
    """Whether uv may download a Python interpreter that this machine lacks."""
    warm: Mapping[str, int] = field(default_factory=dict)
    """Release -> how many clusters of it are kept ready (:mod:`.pool`), each about 0.6 GB and 0.2 GB for each worker."""
    warm_scaled: Mapping[str, int] = field(default_factory=dict)
    """The same of clusters whose head runs Ray's autoscaler, for those with autoscaling."""
    warm_workers: int = 2
    """Workers of each of them."""
    warm_group: str = "workers"
    """The group that those workers are for; the CLI calls a cluster's only group so."""
    warm_memory_bytes: int = 2 << 30
    """Of the nodes that they are for, at most: the object store, a share of it, cannot grow. The API's own default."""
    client_server: bool = True
    """Whether heads run the Ray Client server (46 MB each when it is executed); without it ``ray://`` is not offered."""
    keep_dead_nodes: int = 3
    """Folders of nodes that died or were scaled away that are kept per instance for their logs, the last ones."""
    short_folder: Path | None = None
    """Where the short names of Ray's temp folders live when ``state`` is too long for socket paths;
    None means ``/tmp/hs-<uid>-<hash of state>``."""
    node_runtime: Path = field(default_factory=lambda: Path(heliostat_node.__file__).parent)
    """The package that runs inside Ray environments; copied into ``state`` by content."""
    ready_environment: Callable[[Release], Path | None] = lambda release: None
    """An environment made by somebody else for a release (a folder with ``bin/python``), or None to build one."""
