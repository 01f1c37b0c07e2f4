"""Pure translation both ways: requests of this dialect to specs, what the use cases return to its JSON.

No I/O and no clock, so every rule here is a table test. ``spec`` reads create and update bodies, ``clusters`` writes
clusters, ``discovery`` writes everything that a Ray user looks up before making one.
"""
