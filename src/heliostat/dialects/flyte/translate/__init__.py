"""From Flyte's task templates to neutral words: a cluster, an entry point, what they need. Pure; nothing here does I/O.

:mod:`.task` reads a template into a :class:`~.task.TaskWish`; :mod:`.submission` makes a job of one, for one attempt. Whatever
comes in, nothing but :class:`~heliostat.dialects.flyte.errors.FlyteError` is raised, with the path in Flyte's own names.
"""
