"""The connector that flytepropeller calls for tasks of type ``ray`` (Flyte contract, sections 4 and 8).

* :mod:`.tasks` does what is asked, :mod:`.messages` writes the answers, :mod:`.services` has the table of all methods: those of
  Flyte 1 (``flyteidl.service``), of Flyte 2 (``flyteidl2.connector``, whose messages are the same bytes but for fields that only
  one of them has), and gRPC's health service (:mod:`.health`);
* :mod:`.door` is a listener for propellers, which send no credentials; :mod:`.metrics` counts under the names that dashboards of
  Flyte's connectors know.

A propeller takes any error of CreateTask for a failed attempt, and stops looking at a task after some errors of GetTask. So a
task is stored and answered for at once, and a known one is always told of from what is stored.
"""
