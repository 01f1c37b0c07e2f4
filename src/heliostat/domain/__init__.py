"""What Heliostat is about, with no I/O: ids, specs, states and their edges, facts seen, decisions, errors.

Nothing here imports another package of ours, and nothing waits, reads a clock or touches a disk, so that every rule of
the house can be tested as a table. Everybody above (store, engines, control, services, dialects, API) speaks these words.
"""
