"""The command line, ``heliostat ...``: what people type and scripts call.

It is a reader and a writer of the native API through the SDK (:mod:`heliostat.client`) and knows nothing else of the
server; ``heliostat serve`` alone imports it. What a command prints on stdout is its result (a table for people, JSON or
YAML for programs); progress, messages and errors go to stderr. Exit codes are in :mod:`heliostat.cli.exits` and are
never renumbered.

Starting fast is a promise: :mod:`heliostat.cli.main` knows every command's name and one-line help, imports a command's
module when it is called, and no module here imports rich, yaml or the SDK before a command needs it.
"""
