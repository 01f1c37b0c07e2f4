"""Where instances run. An engine makes the world match an ``InstancePlan``, reports what is there, and removes it.

:mod:`base` is the seam. :mod:`local` runs real Ray on this machine; :mod:`simulated` is for tests and scale runs. All
engines pass one conformance suite (``tests/engines``). The control loop is the only caller.
"""
