"""Where Flyte's clients find the endpoints of OAuth, as the service that tells of them and the paths themselves have it."""

from __future__ import annotations

TOKEN_PATH = "/flyte/token"
AUTHORIZE_PATH = "/flyte/authorize"
CLIENT_ID = "heliostat"
REDIRECT_URI = "http://localhost:53593/callback"
"""Where a client listens that begins a sign-in by browser."""
SCOPES = ("all",)
