"""One module per command or group of commands, imported by :mod:`heliostat.cli.main` when it is called."""
