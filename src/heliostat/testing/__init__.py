"""The public test kit: a clock that is set by hand, crash points, and a whole server in a test.

Made for our own tests and for everybody who tests against Heliostat; the simulated engine is in
:mod:`heliostat.engines.simulated`.
"""
