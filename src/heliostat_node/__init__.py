"""What runs inside a Ray environment: the zygote that forks nodes, and the shim that owns one node.

Standard library and Ray only: this package is put beside an arbitrary Ray release, in a Python of that release's own,
and must never pull a dependency of the control plane into it. It knows nothing of clusters, users or stores. The control
plane speaks to it in three ways, all defined in :mod:`heliostat_node.protocol`: a ``NodeSpec`` file that it is given, a
``NodeStatus`` file that it keeps, and one line of JSON per request to the zygote.

::

    bootstrap -> zygote (one per environment, Ray imported)
                   | fork
                   +-> shim (one per node: session leader, child subreaper)
                         |- gcs_server (head), raylet -> trampolines of the two agents, workers
                         |- dashboard, monitor, log monitor, client server; restarted when they end
                         +- nursery (a clean copy of the shim) -> the processes behind the trampolines

The monitor of a head that scales (:mod:`heliostat_node.monitor`) runs Ray's autoscaler with our
:mod:`heliostat_node.provider`, which speaks to the control plane in a fourth way: HTTP on a Unix socket of the engine.

``environment``, ``features``, ``options``, ``processes`` and ``protocol`` import no Ray and serve the control plane too.
"""
