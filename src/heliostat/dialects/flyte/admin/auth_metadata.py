"""AuthMetadataService: what a client is told before it has a credential (Flyte contract, section 6).

It may get a token by itself, with an access key (``authType: ClientSecret``), or from a command (``ExternalCommand``). There is
no sign-in by browser; where a client begins one it is sent back at once, and the token endpoint tells it what to do instead.
"""

from __future__ import annotations

from flyteidl.service import auth_pb2 as auth

from heliostat.domain.installation import Installation

from .endpoints import AUTHORIZE_PATH, CLIENT_ID, REDIRECT_URI, SCOPES, TOKEN_PATH


class AuthMetadataCalls:
    def __init__(self, installation: Installation) -> None:
        self._url = installation.gateway_url

    def oauth2_metadata(self) -> auth.OAuth2MetadataResponse:
        return auth.OAuth2MetadataResponse(
            issuer=self._url,
            authorization_endpoint=f"{self._url}{AUTHORIZE_PATH}",
            token_endpoint=f"{self._url}{TOKEN_PATH}",
            scopes_supported=SCOPES,
            token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
            grant_types_supported=["client_credentials"],
        )

    def public_client_config(self) -> auth.PublicClientAuthConfigResponse:
        return auth.PublicClientAuthConfigResponse(
            client_id=CLIENT_ID,
            redirect_uri=REDIRECT_URI,
            scopes=SCOPES,
            authorization_metadata_key="authorization",
        )
