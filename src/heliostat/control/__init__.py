"""The loop that makes the world match what is wanted.

A wake or a tick names a cluster; :mod:`reconciler` loads the wish, lets the engine look, decides purely
(:func:`heliostat.domain.lifecycle.decide`), performs the steps and records the status. :mod:`queue` sees to it that a
cluster is never worked on twice at once, :mod:`leases` that this holds for several servers too. The loop never knows a
dialect, and forgets everything at a crash without harm.
"""
