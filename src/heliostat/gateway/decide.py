"""The one place where it is decided who gets through to what. Pure: no I/O, no clock, every case a table test.

Two steps, because between them somebody must ask what the token opens: :func:`read` takes a request apart, and
:func:`decide` answers it. An :class:`Allow` says everything that an engine (our own, or another proxy) needs to carry the
request; an :class:`Answer` is complete but for a session, which is made by :class:`AccessService`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.passes import Purpose
from heliostat.domain.records import Role
from heliostat.domain.states import State
from heliostat.services.access import SESSION_LIFETIME, Access, Route

from . import browser, pages
from .canonical import BadPath
from .credentials import BadCredential, Credential, Source, cookie_name, credential_of, trustworthy
from .exposure import Need, Rule, classify
from .headers import protective
from .request import PATH_PREFIX, Form, GatewayRequest, Place, place_of
from .settings import GatewaySettings

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
MASKED_SINCE = (2, 60)
"""The oldest Ray known to mask environment variables in answers to browsers."""
BROWSER_NAME = "Mozilla/5.0 (Heliostat gateway, for a viewer)"
"""What makes Ray mask them: it takes whoever is called Mozilla for a browser."""
_RAY_VERSION = re.compile(r"\(Ray ([0-9]+)\.([0-9]+)")


@dataclass(frozen=True)
class Reading:
    """A request taken apart."""

    request: GatewayRequest
    place: Place
    credential: Credential | None
    rule: Rule


@dataclass(frozen=True)
class Answer:
    """The gateway's own reply."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    reason: str = ""
    """For the audit record: a constant word."""
    session: Access | None = None
    """Set when the reply shall also give the browser a session (:func:`session_cookie`)."""


@dataclass(frozen=True)
class Allow:
    """Carry the request to a head."""

    upstream: str
    """``host:port``; only ever from our own registry."""
    path: str
    query: str
    set_headers: tuple[tuple[str, str], ...] = field(repr=False)
    """Replace all values of these; what else must go is :func:`.headers.to_head`'s list."""
    cluster: ClusterId
    instance: InstanceId
    credential: Credential
    """For asking again what it opens while a stream is open; never sent on."""
    needs: Role
    """What the caller's role must still include for an open stream to stay open."""


def read(request: GatewayRequest, settings: GatewaySettings) -> Reading | Answer:
    """The first step: which cluster, path and credential. An Answer when there is no harmless reading."""
    try:
        place = place_of(request, settings.domain)
    except BadPath as error:
        return _say(request, Form.ROOT, settings, 400, "bad_request", "Bad request", f"Bad request: {error}.")
    if request.method not in METHODS:
        sentence = f"The method {request.method[:20]} is not served here."
        answer = _say(request, place.form, settings, 405, "method_not_allowed", "Bad request", sentence)
        return _with(answer, ("allow", ", ".join(METHODS)))
    try:
        credential = credential_of(request, place, settings)
    except BadCredential as error:
        return _say(request, place.form, settings, 400, "bad_credential", "Bad request", str(error))
    return Reading(request, place, credential, classify(request.method, place.path, websocket=request.websocket))


def decide(reading: Reading, access: Access | None, settings: GatewaySettings) -> Allow | Answer:
    """The second step. ``access`` is what the credential opens at the place, or None."""
    request, place, credential, rule = reading.request, reading.place, reading.credential, reading.rule
    refusal = browser.refusal(request, place, credential, settings)
    if refusal is not None:
        return _say(request, place.form, settings, 403, "cross_origin", "Refused", refusal)
    from_cookie = credential is not None and credential.source is Source.COOKIE
    if from_cookie and access is not None and access.purpose is not Purpose.SESSION:
        access = None  # a link or a token that somebody put into a cookie
    if rule.need is Need.OURS:
        return _log_in(reading, access, settings)
    if credential is None or access is None:
        return nobody(reading, settings)
    if place.path == "":
        query = f"?{place.query}" if place.query else ""
        return _redirect(308, f"{PATH_PREFIX}{place.cluster}/{query}", place.form, settings)
    if credential.source is Source.QUERY and request.navigation and access.route is not None:
        query = f"?{place.query}" if place.query else ""
        return _redirect(303, place.path + query, place.form, settings, session=access)
    if rule.need is Need.NEVER:
        sentence = f"Nobody may {rule.name} through the gateway."
        return _say(request, place.form, settings, 403, "never", "Not exposed", sentence)
    if not access.role.includes(_needed(reading, access)):
        sentence = f"{access.subject} may not {rule.name} on cluster {access.cluster}: it takes the role editor."
        return _say(request, place.form, settings, 403, "forbidden", "Not allowed", sentence)
    if access.route is None:
        return _not_up(reading, access, settings)
    return _allow(reading, access, access.route, credential)


def session_cookie(session: str, request: GatewayRequest, settings: GatewaySettings) -> tuple[str, str]:
    """The header that gives the browser of this request its session."""
    secure = "; Secure" if trustworthy(request, settings) else ""
    age = int(SESSION_LIFETIME.total_seconds())
    value = f"{cookie_name(request, settings)}={session}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}"
    return "set-cookie", value


def head_failed(
    request: GatewayRequest, form: Form, cluster: ClusterId, settings: GatewaySettings, *, late: bool
) -> Answer:
    """The answer when the head cannot be reached, breaks off (502), or is silent for too long (``late``, 504)."""
    what = "does not answer in time" if late else "does not answer, or not in a way that can be passed on"
    sentence = f"The head of cluster {cluster} {what}. To see why: heliostat cluster why {cluster}"
    return _say(request, form, settings, 504 if late else 502, "head_failed", "The cluster does not answer", sentence)


def head_refused(
    request: GatewayRequest, form: Form, cluster: ClusterId, settings: GatewaySettings, status: int
) -> Answer:
    """The answer when the head refuses a websocket: its own status when that is about the request (no such job)."""
    if status not in (400, 403, 404, 405, 429):
        return head_failed(request, form, cluster, settings, late=False)
    sentence = f"Cluster {cluster} refused with status {status}" + (": there is no such job." if status == 404 else ".")
    return _say(request, form, settings, status, "head_refused", "Refused by the cluster", sentence)


def upload_stalled(request: GatewayRequest, form: Form, settings: GatewaySettings) -> Answer:
    """The answer when a client stops in the middle of its upload."""
    return _say(request, form, settings, 408, "timeout", "Too slow", "The request's body did not arrive in time.")


def broken(request: GatewayRequest, settings: GatewaySettings) -> Answer:
    """The answer when the gateway itself is at fault."""
    sentence = "The gateway failed; the server's log says why."
    return _say(request, Form.ROOT, settings, 500, "internal", "Internal error", sentence)


def nobody(reading: Reading, settings: GatewaySettings) -> Answer:
    """Nobody known, or nobody with a role there: one answer for both, so that it tells nothing."""
    request, place = reading.request, reading.place
    extra = ""
    if place.form is Form.HOST:
        extra = pages.login_form()
        sentence = _WRONG_TOKEN if reading.credential else "Open this cluster with its dashboard link, or give a token."
    elif place.form is Form.PATH and request.navigation:
        extra = pages.link(f"{settings.scheme}://c-{place.cluster}.{settings.domain}/")
        sentence = "This address is for programs, which send a token in a header. In a browser open:"
    else:
        sentence = (
            "No valid token for this cluster. Send a submit token in the header 'ray-token', or an API token as "
            "'Authorization: Bearer <token>' (with the address ending in /c/<cluster>) or as 'Bearer <token>~<cluster>'. "
            "Submit tokens end when the cluster stops."
        )
    answer = _say(request, place.form, settings, 401, "unauthenticated", "Who are you?", sentence, extra)
    return _with(answer, ("www-authenticate", 'Bearer realm="heliostat"'))


def _allow(reading: Reading, access: Access, route: Route, credential: Credential) -> Allow:
    bearer = ("authorization", f"Bearer {route.ray_token.reveal()}")
    masked = reading.rule.need is Need.MASKED and not access.role.includes(Role.EDITOR)
    return Allow(
        upstream=route.dashboard,
        path=reading.place.path,
        query=reading.place.query,
        set_headers=(bearer, ("user-agent", BROWSER_NAME)) if masked else (bearer,),
        cluster=route.cluster,
        instance=route.instance,
        credential=credential,
        needs=_needed(reading, access),
    )


def _needed(reading: Reading, access: Access) -> Role:
    rule = reading.rule
    if rule.need is Need.MASKED and not _masks(access):
        return Role.EDITOR
    if rule.viewers_without is not None:
        names = {name for name, _ in parse_qsl(reading.place.query, keep_blank_values=True)}
        return Role.EDITOR if rule.viewers_without in names else rule.need.role
    return rule.need.role


def _masks(access: Access) -> bool:
    """Whether the head's Ray masks environment variables for browsers."""
    version = ray_version(access)
    return version is not None and version >= MASKED_SINCE


def ray_version(access: Access) -> tuple[int, int] | None:
    """Major and minor version of the head's Ray; None when there is no instance or its release does not say."""
    spec = access.instance.spec if access.instance else None
    match = _RAY_VERSION.search(spec.head.release or spec.release) if spec else None
    return (int(match[1]), int(match[2])) if match else None


def _log_in(reading: Reading, access: Access | None, settings: GatewaySettings) -> Answer:
    """Ray's own log-in endpoint, answered here: its pages send a typed token to it, and so does ours."""
    request, place, credential = reading.request, reading.place, reading.credential
    if place.form is not Form.HOST or request.method != "POST":
        sentence = "Log in on the cluster's own host, with POST and the token in the header Authorization."
        return _say(request, place.form, settings, 405, "method_not_allowed", "Bad request", sentence)
    if access is None or access.ended or credential is None or credential.source is not Source.HEADER:
        return _say(request, place.form, settings, 403, "unauthenticated", "Wrong token", _WRONG_TOKEN)
    if access.route is None:
        return _not_up(reading, access, settings)
    body = b'{"status": "authenticated", "message": "Token is valid"}'
    headers = (("content-type", "application/json"), *_own_headers(place.form, settings))
    return Answer(200, headers, body, reason="log_in", session=access)


_WRONG_TOKEN = (
    "This token does not open this cluster. Links and submit tokens end when the cluster stops, links also after an hour; "
    "fresh ones are shown by: heliostat cluster get <cluster>"
)


_NOT_UP = {
    State.STOPPED: "is stopped. Start it with: heliostat cluster start {}",
    State.STARTING: "is starting; try again in a few seconds. To see how far it is: heliostat cluster why {}",
    State.RUNNING: "has no head that answers just now; it is being brought back. To see why: heliostat cluster why {}",
    State.STOPPING: "is stopping. When it has stopped, start it with: heliostat cluster start {}",
    State.ERROR: "has failed. To see why: heliostat cluster why {}",
}


def not_up(access: Access) -> str:
    """The sentence on a cluster that has no route."""
    return f"Cluster {access.cluster} {_NOT_UP[access.state].format(access.cluster)}"


def _not_up(reading: Reading, access: Access, settings: GatewaySettings) -> Answer:
    form = reading.place.form
    answer = _say(reading.request, form, settings, 503, "not_running", "The cluster is not running", not_up(access))
    return _with(answer, ("retry-after", "5")) if access.state in (State.STARTING, State.RUNNING) else answer


def _redirect(
    status: int, location: str, form: Form, settings: GatewaySettings, session: Access | None = None
) -> Answer:
    headers = [("location", location), *_own_headers(form, settings)]
    return Answer(status, tuple(headers), reason="redirect", session=session)


def _say(
    request: GatewayRequest,
    form: Form,
    settings: GatewaySettings,
    status: int,
    code: str,
    title: str,
    sentence: str,
    extra: str = "",
) -> Answer:
    kind, body = pages.render(request, code, title, sentence, extra)
    return Answer(status, (("content-type", kind), *_own_headers(form, settings)), body, reason=code)


def _own_headers(form: Form, settings: GatewaySettings) -> tuple[tuple[str, str], ...]:
    """The headers of our own answers; they carry our pages' policy in the place of any other."""
    replaced = {
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "content-security-policy": pages.PAGE_POLICY,
    }
    kept = [(name, value) for name, value in protective(form, settings) if name not in replaced]
    return (*kept, *replaced.items(), ("cache-control", "no-store"))


def _with(answer: Answer, header: tuple[str, str]) -> Answer:
    return Answer(answer.status, (*answer.headers, header), answer.body, answer.reason, answer.session)
