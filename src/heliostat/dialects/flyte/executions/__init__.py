"""Executions without a Flyte backend: single tasks, launch plans and workflows, interpreted node by node.

An execution is a document. What it runs is a graph, made from registered workflows (:mod:`.graph`); how far it is, is a state
(:mod:`.state`). A pure function looks at both and at what has become of the runs, and says what the state is now and what is to
be done (:mod:`.decide`); the conductor does it and writes the state down (:mod:`.conductor`, :mod:`.advance`). Values travel as
files below the data root (:mod:`.layout`), never in the document. :mod:`.calls` has the remote procedures.

This file imports nothing: the conductor is there from the server's start, and Flyte's messages are imported when first needed.
"""
