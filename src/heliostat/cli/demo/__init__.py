"""``heliostat demo``: the whole of Heliostat once, in front of the user's eyes, and nothing left behind.

:mod:`~heliostat.cli.demo.place` is the private folder and what may be removed of it, :mod:`~heliostat.cli.demo.server`
the server as a child process, :mod:`~heliostat.cli.demo.job` a Ray job through the gateway's plain HTTP, and
:mod:`~heliostat.cli.demo.show` plays the piece.
"""
