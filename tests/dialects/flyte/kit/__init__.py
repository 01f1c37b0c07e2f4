"""What the tests of Flyte play on: flytekit's real environment, real tasks, and a propeller of our own.

* :mod:`environment`: one Python environment that is both flytekit's (where tasks are written and serialized) and the
  release ``flyte-1.3.1`` (where they run on Ray). Fixture ``flyte_environment``.
* :mod:`serializing`: tasks and workflows of files as a Flyte backend has them; it runs :mod:`serialize` there. Fixture
  ``serializer``.
* :mod:`rendering`, :mod:`phases`, :mod:`routing`, :mod:`propeller`: what flytepropeller does with them (Flyte contract,
  sections 4.3, 4.4, 5.1 and 5.2), in this process, against any address; :mod:`fake_connector` is for its own tests.
* ``tests/dialects/flyte/tasks``: the tasks. They are files of flytekit's, so nothing here imports them.
"""
