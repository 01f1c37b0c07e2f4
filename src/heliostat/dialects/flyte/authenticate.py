"""Who asks, by the metadata of a call (Flyte contract, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from heliostat.dialects.bearer import BearerAuthenticator
from heliostat.services import Caller, Services

HEADERS = ("flyte-authorization", "authorization")
"""Where clients put their bearer; the first that is there counts. The longer name is for those behind something that wants
the other one for itself."""


class Authenticator(BearerAuthenticator):
    def __init__(self, services: Services) -> None:
        super().__init__(
            services, "Flyte's clients get a token by authType ClientSecret or ExternalCommand (heliostat token)"
        )

    async def of_metadata(self, metadata: Sequence[tuple[str, str]]) -> Caller:
        """The caller of a call. Raises Unauthenticated."""
        for header in HEADERS:
            shown = [value for name, value in metadata if name == header]
            if shown:
                return await self.caller(shown)
        return await self.caller([])
