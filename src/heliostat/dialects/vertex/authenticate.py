"""Who asks, by the ``authorization`` values of a call; the same for both transports (Vertex contract, section 5.1)."""

from __future__ import annotations

from heliostat.dialects.bearer import API_TOKEN, BearerAuthenticator
from heliostat.services import Services

__all__ = ["API_TOKEN", "Authenticator"]


class Authenticator(BearerAuthenticator):
    def __init__(self, services: Services) -> None:
        super().__init__(services, "to set up Google's clients: heliostat login --vertex")
