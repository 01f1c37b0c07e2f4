"""Runs: one attempt of one task of Flyte = one of our jobs + one document. What the connector and the executions share.

* :mod:`.runs` makes, reads and ends them; :mod:`.clusters` chooses what they run on, :mod:`.staging` brings data to where
  tasks can reach it when they cannot reach Flyte's bucket;
* :mod:`.attendant` looks after them in the background: when the job has ended it reads what the task wrote, decides the
  outcome (:mod:`.outcome`, pure) and stores it;
* :mod:`.view` tells readers how far they are, from what is stored alone (pure).

flyteidl is imported by what needs it at its first use, so that a server which nobody uses this way does not load it.
"""

from .phases import Link, Origin, Phase, RunView
from .record import EXECUTION_KIND, KIND, RunRecord

__all__ = ["EXECUTION_KIND", "KIND", "Link", "Origin", "Phase", "RunRecord", "RunView"]
