"""The vendors' own APIs, each spoken so that its unmodified official client works.

A dialect is four things: routes, authentication, a pure translation to and from the words of the domain, and one table of
errors. It calls the use cases in :mod:`heliostat.services` like every other door and touches neither the store nor an
engine, so all dialects see the same clusters. A vendor's word never leaves its dialect's folder.
"""
