"""Persistent resources to clusters and back, pure: what a body means, what a cluster looks like, what may be changed.

Bodies and answers are canonical JSON (:mod:`..wire.canonical`). A cluster of another dialect is shown as well as it can be.
What only this dialect knows is kept beside the spec (:mod:`.kept`) and shown for as long as it still means what the
spec says, so that a change through another dialect shows here, and nothing stale does.
"""
