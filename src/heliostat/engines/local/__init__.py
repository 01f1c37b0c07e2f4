"""The embedded engine: real Ray on this machine, unprivileged, several clusters at once.

The story of one instance, top down:

* :mod:`engine` is the door (the ``Engine`` protocol): it holds one supervisor per instance and nothing else of weight.
* :mod:`supervisor` is the life of one instance: look, note (:mod:`facts`), decide (:mod:`decisions`, pure), perform.
* what it needs: :mod:`environments` (release environments by uv), :mod:`zygotes` (quick starts), :mod:`ports`,
  :mod:`processes` (exit notices, killing), :mod:`health`, :mod:`limits` and :mod:`node_specs` (pure).
* what it leaves on disk, so that a server that was killed finds everything again: :mod:`layout`, :mod:`records`.

Nodes are daemons of their own (``heliostat_node``): they outlive the server, which adopts them again. Limits: one
machine, and clusters of one OS user are not protected from each other's code.
"""

from .engine import LocalEngine
from .settings import LocalSettings

__all__ = ["LocalEngine", "LocalSettings"]
