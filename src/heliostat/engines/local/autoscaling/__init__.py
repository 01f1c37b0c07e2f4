"""Ray's own autoscaler on the local engine: it decides how many workers there are, the engine starts and ends them.

The autoscaler runs in a head's monitor process and knows the engine as a cloud of its own: :mod:`heliostat_node.provider`
asks it what there is, asks for nodes and gives them back. What is on this side:

* :mod:`config`   the file that tells the autoscaler about an instance's groups (pure), and its writing
* :mod:`door`     the Unix socket where the providers of all instances of the engine knock
* :mod:`reports`  what the autoscaler knows of waiting work, in the domain's words (pure)
* :mod:`base`     what the door wants of an instance's supervisor
"""
