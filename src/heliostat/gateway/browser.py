"""What a web page may make a browser do here: the rules against forged requests, for the host form.

Browsers say where a request came from (``Sec-Fetch-*`` on secure origins, ``Origin`` on everything that changes something,
``Referer`` else), and a page cannot forge that. A session cookie is therefore believed only together with them. Requests
with a token in a header need no such rules for reading, since no foreign page can make one.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .credentials import Credential, Source
from .request import Form, GatewayRequest, Place
from .settings import GatewaySettings

_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})


def own_origin(request: GatewayRequest, settings: GatewaySettings) -> str:
    """The web origin that the request was made to."""
    return f"{'https' if request.secure else settings.scheme}://{request.host}"


def refusal(
    request: GatewayRequest, place: Place, credential: Credential | None, settings: GatewaySettings
) -> str | None:
    """Why a browser's request is refused whoever sends it, or None. The reason is for people."""
    if request.value("service-worker"):
        return "Service workers are not served here."
    if place.form is not Form.HOST:
        return None
    own = own_origin(request, settings)
    site = request.value("sec-fetch-site")
    if request.value("sec-fetch-dest") in _FRAMES and site != "same-origin":
        return "The dashboard cannot be shown inside another page."
    origins = request.values("origin")
    if any(origin != own for origin in origins):
        return "Requests from other web origins are refused."
    if credential is None or credential.source is not Source.COOKIE:
        foreign = site not in ("", "none", "same-origin")
        return "Logging in from another site is refused." if foreign and not request.safe else None
    if not request.safe and not origins:
        return "A request that changes something must say its Origin when it relies on a cookie."
    front_door = request.navigation and place.path == "/"
    if site:
        top_level = front_door and request.value("sec-fetch-dest") == "document"
        trusted = site == "same-origin" or (site == "none" and request.safe) or top_level
        return None if trusted else "Other sites may only link to the dashboard's first page."
    return _without_metadata(request, own, front_door=front_door)


def _without_metadata(request: GatewayRequest, own: str, *, front_door: bool) -> str | None:
    """The rule for browsers that send no ``Sec-Fetch-*``, as all do over plain http beyond localhost."""
    referer = request.value("referer")
    ours = f"{urlsplit(referer).scheme}://{urlsplit(referer).netloc}" == own if referer else not request.navigation
    if ours or front_door or request.values("origin"):
        return None
    return "Open the dashboard's first page; links into it from elsewhere are refused."
