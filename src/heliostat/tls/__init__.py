"""TLS as the server speaks it: with a given certificate, or with one of its own.

* :mod:`.context` makes the contexts of listeners, which remember the host name that a client asked for;
* :mod:`.authority` keeps the server's own certificate authority and certificate in the home folder. Imported by those who
  need it alone, since reading certificates takes a library that nothing else needs.
"""

from .context import PROTOCOLS, server_context, server_name_of
from .files import authority_file

__all__ = ["PROTOCOLS", "authority_file", "server_context", "server_name_of"]
