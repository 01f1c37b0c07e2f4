"""Identity for Google's clients: which tokens are believed, for how long, and what is said of the others."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heliostat.domain import access_tokens
from heliostat.domain.access_tokens import AccessToken
from heliostat.domain.errors import Forbidden, InvalidRequest, MissingField, NotReady, Unauthenticated
from heliostat.domain.installation import Installation
from heliostat.domain.records import CredentialKind, Workspace
from heliostat.domain.service_accounts import names_us, project_id
from heliostat.services import GoogleIdentity, KeyWish, signed_tokens
from heliostat.services.google_identity import ScopeRefused
from heliostat.services.signed_tokens import GOOGLES_TOKEN_ENDPOINT, PRODUCTS, SCOPE, SKEW, usable_public_key

from .conftest import BOTH, Office
from .signing import GONE, HOUR, Account, account, encoded, json_bytes, key_pair

NOW = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
AT = int(NOW.timestamp())
ROBOT = Account("0123456789abcdef0123456789abcdef01234567", "robot@w-0.iam.heliostat.internal", key_pair())


TOKEN = ROBOT.token(NOW)


def believed(text: str, robot: Account = ROBOT) -> None:
    """As the server does with the key at hand. Raises Unauthenticated."""
    token = signed_tokens.opened(text)
    if token.key_id != robot.key_id:
        raise Unauthenticated("another key")
    claims = signed_tokens.checked(token, robot.pair.public, robot.email, NOW)
    signed_tokens.check_self_signed(claims, PRODUCTS)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scope": f"openid {SCOPE}"},
        *({"scope": GONE, "aud": product} for product in PRODUCTS),
        {"aud": None},
        {"iat": AT + SKEW.seconds, "exp": AT + HOUR},
        {"iat": AT - 30, "exp": AT + HOUR},
        {"nbf": AT},
        {"jti": "x", "more": {"nested": [1]}},
    ],
)
def test_right_tokens(changes: dict[str, Any]) -> None:
    believed(ROBOT.signed(ROBOT.claims(NOW, **changes)))


WRONG_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"iss": GONE}, "issuer"),
    ({"iss": 7}, "issuer"),
    ({"iss": "other@w-0.iam.heliostat.internal"}, "not the account"),
    ({"iss": "robot@project.iam.gserviceaccount.com"}, "Google issued"),
    ({"sub": GONE}, "subject"),
    ({"sub": "ada@w-0.iam.heliostat.internal"}, "subject"),
    ({"sub": ["a"]}, "sub must be"),
    ({"iat": GONE}, "iat, exp"),
    ({"exp": GONE}, "iat, exp"),
    *(({"exp": value}, "iat, exp") for value in (float(AT), str(AT), True, None, -1, 1 << 33, 1 << 70, [AT])),
    *(({"iat": value}, "iat, exp") for value in (float(AT), str(AT), False, None, -1)),
    ({"exp": AT + HOUR + 61}, "at most an hour"),
    ({"exp": AT}, "at most an hour"),
    ({"iat": AT + SKEW.seconds + 1}, "not good yet"),
    ({"nbf": AT + SKEW.seconds + 1}, "not good yet"),
    ({"nbf": "soon"}, "not good yet"),
    ({"scope": GONE}, "either"),
    ({"aud": PRODUCTS[0]}, "either"),
    ({"scope": "openid"}, "must hold"),
    ({"scope": ""}, "must hold"),
    ({"scope": f"{SCOPE}.readonly"}, "must hold"),
    ({"scope": [SCOPE]}, "scope must be"),
    *(
        ({"scope": GONE, "aud": audience}, "another service")
        for audience in (PRODUCTS[0].rstrip("/"), GOOGLES_TOKEN_ENDPOINT, "https://storage.googleapis.com/", "", "*")
    ),
    ({"scope": GONE, "aud": [PRODUCTS[0]]}, "aud must be"),
]


@pytest.mark.parametrize(("changes", "why"), WRONG_CLAIMS, ids=lambda value: str(value)[:50])
def test_wrong_claims_under_a_right_signature(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Unauthenticated, match=why):
        believed(ROBOT.signed(ROBOT.claims(NOW, **changes)))


def _unsigned(header: dict[str, Any]) -> str:
    return f"{encoded(json_bytes(header))}.{encoded(json_bytes(ROBOT.claims(NOW)))}."


WRONG_TOKENS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "one part": lambda: "abc",
    "four parts": lambda: f"{ROBOT.token(NOW)}.x",
    "empty parts": lambda: "..",
    "no signature": lambda: ROBOT.token(NOW).rpartition(".")[0] + ".",
    "alg none": lambda: _unsigned(ROBOT.header(alg="none")) + "x",
    "alg none, right signature": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(alg="none")),
    "public key as a password": lambda: ROBOT.with_password(ROBOT.claims(NOW), ROBOT.header(alg="HS256")),
    "password, said to be RS256": lambda: ROBOT.with_password(ROBOT.claims(NOW), ROBOT.header()),
    "RS512": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(alg="RS512")),
    "alg in a list": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(alg=["RS256"])),
    "no alg": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(alg=GONE)),
    "no kid": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(kid=GONE)),
    "kid is a number": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(kid=1)),
    "kid is a path": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(kid="../key")),
    "kid of nobody": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(kid="f" * 40)),
    "critical extension": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(crit=["exp"])),
    "no critical extension": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(crit=[])),
    "detached": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(b64=False, crit=["b64"])),
    "brings its own key": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(jwk={"kty": "RSA"})),
    "encrypted": lambda: ROBOT.signed(ROBOT.claims(NOW), ROBOT.header(typ="JWE")),
    "other key": lambda: ROBOT.signed(ROBOT.claims(NOW), pair=key_pair(1)),
    "header is a list": lambda: ROBOT.signed(ROBOT.claims(NOW), [ROBOT.header()]),
    "claims are a list": lambda: ROBOT.signed([ROBOT.claims(NOW)]),
    "claims are a text": lambda: ROBOT.signed("claims"),
    "claims are nothing": lambda: ROBOT.signed(b""),
    "claims are no JSON": lambda: ROBOT.signed(b"{'iss': 1}"),
    "NaN": lambda: ROBOT.signed(json_bytes(ROBOT.claims(NOW)).replace(str(AT + HOUR).encode(), b"NaN")),
    "not UTF-8": lambda: ROBOT.signed(b'{"iss": "\xff"}'),
    "deep claims": lambda: ROBOT.signed(b"[" * 5000),
    "deep header": lambda: ROBOT.signed(ROBOT.claims(NOW), b'{"a":' * 900 + b"1" + b"}" * 900),
    "huge": lambda: ROBOT.signed(ROBOT.claims(NOW, more="x" * 8192)),
    "line feed": lambda: ROBOT.token(NOW) + "\n",
    "not ASCII": lambda: ROBOT.token(NOW).replace(".", ".\u00e4", 1),
    "half a pair": lambda: "\ud800.\ud800.\ud800",
    "changed claims": lambda: _with_claims(ROBOT.token(NOW), ROBOT.claims(NOW, more=1)),
    "lengthened": lambda: _with_claims(ROBOT.token(NOW), ROBOT.claims(NOW, exp=AT + HOUR - 1)),
}


def _with_claims(token: str, claims: dict[str, Any]) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{encoded(json_bytes(claims))}.{signature}"


@pytest.mark.parametrize("name", WRONG_TOKENS)
def test_wrong_tokens(name: str) -> None:
    with pytest.raises(Unauthenticated) as raised:
        believed(WRONG_TOKENS[name]())
    assert "eyJ" not in str(raised.value)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_token_that_was_changed_anywhere_is_refused(data: st.DataObject) -> None:
    whole = TOKEN
    place = data.draw(st.integers(0, len(whole) - 1))
    letter = data.draw(st.sampled_from("AZaz09-_.= \n\0"))
    changed = whole[:place] + letter + whole[place + 1 :]
    if [_bytes(part) for part in changed.split(".")] == [_bytes(part) for part in whole.split(".")]:
        return  # the last letter of a part has bits that mean nothing
    with pytest.raises(Unauthenticated):
        believed(changed)


def _bytes(part: str) -> bytes | str:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), "-_", validate=True)
    except ValueError:
        return part


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["iss", "sub", "iat", "exp", "nbf", "aud", "scope"]),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2),
            st.sampled_from([ROBOT.email, SCOPE, PRODUCTS[0], AT, AT + HOUR]),
        ),
    )
)  # fmt: skip
@example({"iss": ROBOT.email, "sub": ROBOT.email, "iat": AT, "exp": AT + HOUR, "scope": SCOPE})
def test_whatever_is_claimed_only_the_rules_are_believed(claims: dict[str, Any]) -> None:
    try:
        believed(ROBOT.signed(claims))
    except Unauthenticated:
        return
    assert claims["iss"] == claims["sub"] == ROBOT.email
    assert type(claims["iat"]) is int and type(claims["exp"]) is int
    assert 0 < claims["exp"] - claims["iat"] <= HOUR + 60
    assert (claims.get("scope") is None) != (claims.get("aud") is None)


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_text_is_refused_and_nothing_breaks(text: str) -> None:
    with pytest.raises(Unauthenticated):
        believed(text)
    assert not names_us(text)


@BOTH
async def test_a_client_is_known_by_what_its_key_signed(office: Office) -> None:
    google, clock = office.services.google, office.clock
    robot = await account(office)
    token = robot.token(clock.now())
    principal, end = await google.principal_of_jwt(token)
    assert principal == (await office.caller("editor")).principal
    assert end == clock.now().replace(microsecond=0) + timedelta(hours=1) + SKEW
    [credential] = await office.services.identity.keys(await office.caller("editor"))
    assert (credential.id, credential.kind) == (robot.key_id, CredentialKind.SERVICE_ACCOUNT_KEY)
    assert credential.last_used_at == clock.now()
    clock.advance(seconds=HOUR + SKEW.seconds - 1)
    assert await google.principal_of_jwt(token) == (principal, end)
    clock.advance(seconds=1)
    with pytest.raises(Unauthenticated, match="expired"):
        await google.principal_of_jwt(token)
    assert await google.principal_of_jwt(token, grace=timedelta(hours=1)) == (principal, end)


@BOTH
@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_the_end_of_a_key_is_the_end_of_its_tokens(office: Office, end: str) -> None:
    google, clock = office.services.google, office.clock
    robot = await account(office, lifetime=timedelta(minutes=30))
    token = robot.token(clock.now())
    made = (await google.of_assertion(robot.assertion(clock.now()))).token.reveal()
    for text in (token, made):
        await google.principal_of(text)
    if end == "revoked":
        await office.services.identity.revoke(await office.caller("editor"), robot.key_id)
    else:
        clock.advance(seconds=30 * 60)
    for text in (token, made):
        with pytest.raises(Unauthenticated, match="revoked"):
            await google.principal_of(text, grace=timedelta(days=1))
    with pytest.raises(Unauthenticated, match="revoked"):
        await google.of_assertion(robot.assertion(clock.now()))


async def test_audiences_are_the_products_and_this_server(office: Office) -> None:
    robot, now = await account(office), office.clock.now()
    ours = ("https://localhost:8601/", "https://127.0.0.1:8601", "https://cloudresourcemanager.localhost:8601/")
    for audience in (*PRODUCTS, *ours):
        await office.services.google.principal_of_jwt(robot.signed(robot.claims(now, scope=GONE, aud=audience)))
    for audience in (
        "http://localhost:8601/",
        "https://localhost:8602/",
        "https://localhost/",
        "localhost:8601",
        "https:///",
    ):
        with pytest.raises(Unauthenticated, match="another service"):
            await office.services.google.principal_of_jwt(robot.signed(robot.claims(now, scope=GONE, aud=audience)))


async def test_a_signature_is_checked_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await account(office)).token(office.clock.now())
    first = await office.services.google.principal_of_jwt(token)
    monkeypatch.setattr("heliostat.services.google_identity.checked", None)
    assert await office.services.google.principal_of_jwt(token) == first


async def test_keys_of_others_and_of_google_are_refused_with_the_reason(office: Office) -> None:
    google, now = office.services.google, office.clock.now()
    robot, other = await account(office), await account(office, "viewer", number=1)
    stolen = replace(robot, key_id=other.key_id)
    with pytest.raises(Unauthenticated, match="signature"):
        await google.principal_of_jwt(stolen.token(now))
    posing = replace(other, email=robot.email)
    with pytest.raises(Unauthenticated, match="not the account"):
        await google.principal_of_jwt(posing.token(now))
    for key_id in (robot.key_id, "f" * 40):
        real = Account(key_id, "robot@helio-demo.iam.gserviceaccount.com", key_pair())
        with pytest.raises(Unauthenticated, match="heliostat key create --google-json"):
            await google.principal_of_jwt(real.token(now))


async def test_an_access_token_lasts_an_hour_and_no_longer_than_what_it_was_given_for(office: Office) -> None:
    google, identity, clock = office.services.google, office.services.identity, office.clock
    editor, robot = await office.caller("editor"), await account(office)
    issued = await google.of_assertion(robot.assertion(clock.now()))
    assert timedelta(seconds=3599) <= issued.lifetime <= timedelta(hours=1)
    short = await identity.create_token(editor, lifetime=timedelta(minutes=10))
    of_token = await google.of_subject(short.token.reveal())
    assert timedelta(seconds=599) <= of_token.lifetime <= timedelta(minutes=10)
    clock.advance(seconds=9 * 60)
    of_jwt = await google.of_subject(robot.token(clock.now() - timedelta(minutes=20)))
    assert timedelta(minutes=39) <= of_jwt.lifetime <= timedelta(minutes=40)
    for text in (issued, of_token, of_jwt):
        assert (await google.principal_of(text.token.reveal()))[0] == editor.principal
    clock.advance(seconds=60)
    with pytest.raises(Unauthenticated):
        await google.principal_of(of_token.token.reveal(), grace=timedelta(days=1))
    clock.advance(seconds=50 * 60)
    with pytest.raises(Unauthenticated, match="expired"):
        await google.principal_of(issued.token.reveal())


async def test_what_no_access_token_is_given_for(office: Office) -> None:
    google, now = office.services.google, office.clock.now()
    robot = await account(office)
    issued = await google.of_assertion(robot.assertion(now))
    for audience in (GOOGLES_TOKEN_ENDPOINT, "https://localhost:8601/token", "https://127.0.0.1:8601/token"):
        await google.of_assertion(robot.assertion(now, aud=audience))
    for changes in (
        {"aud": PRODUCTS[0]},
        {"aud": "https://elsewhere/token"},
        {"aud": GONE},
        {"sub": "ada@example.com"},
    ):
        with pytest.raises(Unauthenticated):
            await google.of_assertion(robot.assertion(now, **changes))
    for scope in ("openid", GONE):
        with pytest.raises(ScopeRefused):
            await google.of_assertion(robot.assertion(now, scope=scope))
    with pytest.raises(Unauthenticated, match="expired"):
        await google.of_assertion(robot.assertion(now - timedelta(hours=2)))
    for subject in (issued.token.reveal(), robot.assertion(now), "hlt_unknown", "", "HELI"):
        with pytest.raises(Unauthenticated):
            await google.of_subject(subject)


async def test_forged_access_tokens(office: Office) -> None:
    google, now = office.services.google, office.clock.now()
    robot = await account(office)
    good = (await google.of_assertion(robot.assertion(now))).token.reveal()
    body, _, signature = good.removeprefix(access_tokens.PREFIX).partition(".")
    later = access_tokens.issue(AccessToken(robot.key_id, now + timedelta(days=999)), b"a guess")
    forged = [
        "hlo_", "hlo_.", f"hlo_{body}", f"hlo_{body}.", f"hlo_{body}.{signature[:-1]}", f"hlo_{body}A.{signature}",
        f"{later.partition('.')[0]}.{signature}", later, good + "\n", good.replace("hlo_", "hlt_"), "hlo_\ud800.x",
    ]  # fmt: skip
    for text in forged:
        with pytest.raises(Unauthenticated):
            await google.principal_of_access_token(text)


@BOTH
async def test_a_key_file_has_all_but_the_private_key(office: Office) -> None:
    google, ann = office.services.google, await office.caller("ann")
    wish = KeyWish("robot@ci.example", "CI", timedelta(days=90))
    made = await google.create_key(ann, key_pair().public, None, wish)
    workspace = await office.services.directory.workspace(ann, office.workspace)
    assert made.email == "robot-ci-example@default.iam.heliostat.internal"
    assert made.setup.workspace == workspace and made.setup.project == "default"
    assert (made.setup.token_uri, made.setup.universe) == ("https://localhost:8601/token", "localhost:8601")
    assert made.principal == (await office.caller("robot@ci.example")).principal
    assert made.credential.expires_at == office.clock.now() + timedelta(days=90)
    robot = Account(made.credential.id, made.email, key_pair())
    assert (await google.principal_of(robot.token(office.clock.now())))[0].name == "robot@ci.example"
    again = await google.create_key(ann, key_pair().public, None, wish)
    assert again.credential.id != made.credential.id, "the same key may be registered twice"


async def test_only_admins_make_keys_for_others_and_only_in_projects_of_theirs(office: Office) -> None:
    google, public = office.services.google, key_pair().public
    editor, nobody = await office.caller("editor"), await office.caller("nobody")
    assert (await google.create_key(editor, public, "default", KeyWish())).principal == editor.principal
    with pytest.raises(Forbidden):
        await google.create_key(editor, public, "default", KeyWish("viewer"))
    with pytest.raises(Forbidden):
        await google.create_key(nobody, public, "default", KeyWish())
    with pytest.raises(MissingField):
        await google.create_key(nobody, public, None, KeyWish())
    await office.services.directory.create_workspace(await office.caller("ann"), "vision")
    with pytest.raises(MissingField, match="exactly one"):
        await google.create_key(await office.caller("ann"), public, None, KeyWish())


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PublicFormat) -> str:
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (lambda: "", "PEM"),
        (lambda: "hello", "PEM"),
        (lambda: key_pair().private, "private key"),
        (lambda: key_pair().public[:-40], "can be read"),
        (lambda: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "can be read"),
        (lambda: key_pair().public.replace("BEGIN", "\u00e4"), "PEM"),
        (lambda: key_pair().public + "\u00e4", "can be read"),
        (lambda: key_pair().public * 20, "PEM"),
        (lambda: _pem(ec.generate_private_key(ec.SECP256R1()), PublicFormat.SubjectPublicKeyInfo), "RSA"),
        (lambda: _pem(rsa.generate_private_key(65537, 1024), PublicFormat.SubjectPublicKeyInfo), "2048"),
        (lambda: _pem(rsa.generate_private_key(3, 2048), PublicFormat.SubjectPublicKeyInfo), "65537"),
        (lambda: _pem(rsa.generate_private_key(65537, 2048), PublicFormat.PKCS1), "BEGIN PUBLIC KEY"),
    ],
)
def test_public_keys_that_are_refused(key: Callable[[], str], why: str) -> None:
    text = key()
    with pytest.raises(InvalidRequest, match=why) as raised:
        usable_public_key(text)
    assert (raised.value.path == "public_key" and text[100:140] not in str(raised.value)) or not text[100:140]


def test_a_good_public_key_is_kept_in_one_form() -> None:
    pem = key_pair().public
    assert usable_public_key(f"\n{pem}\n\n") == usable_public_key(pem.replace("\n", "\r\n")) == pem


async def test_without_tls_the_remedy_is_told(office: Office) -> None:
    services = office.services
    plain = GoogleIdentity(office.store, services.identity, services.directory, Installation(), office.clock)
    with pytest.raises(NotReady, match="--tls-port"):
        await plain.create_key(await office.caller("ann"), key_pair().public, None, KeyWish())
    assert not any(
        row.kind == "service_account_key" for row in await services.identity.keys(await office.caller("ann"))
    )


async def test_the_authority_is_told_as_it_is_now(office: Office, tmp_path: Any) -> None:
    services, ann = office.services, await office.caller("ann")
    place = Installation(tls_place="ray.example:443", universe="ray.example:443", ca_file=tmp_path / "ca.pem")
    google = GoogleIdentity(office.store, services.identity, services.directory, place, office.clock)
    with pytest.raises(NotReady, match="authority"):
        await google.setup(ann)
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert (await google.setup(ann)).ca_certificate == "-----BEGIN CERTIFICATE-----\n"
    assert (await services.google.setup(ann)).ca_certificate is None


async def test_a_project_is_found_by_number_id_and_name(office: Office) -> None:
    directory, ann = office.services.directory, await office.caller("ann")
    first = await directory.workspace(ann, office.workspace)
    named = await directory.create_workspace(ann, str(first.number))
    for text in (str(first.number), first.id, "default"):
        assert (await directory.project(ann, text)).id == first.id
    assert (await directory.project(ann, named.id)).name == str(first.number)
    viewer, sentences = await office.caller("viewer"), []
    for text in (named.id, "w-0123456789abcdef", "", "0", "9" * 40, "\u0661", "\0", "-1", "x" * 5000, "\ud800"):
        with pytest.raises(Forbidden) as raised:
            await directory.project(viewer, text)
        shown = repr(text[:64])
        sentences.append(str(raised.value).replace(shown, "PROJECT"))
        assert len(str(raised.value)) < 800
    assert len(set(sentences)) == 1, "nobody learns which of them there are"


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("default", True),
        ("helio-demo", True),
        ("short", False),
        ("Vision", False),
        ("a" * 31, False),
        ("vision-", False),
    ],
)
def test_what_a_project_is_called(name: str, valid: bool) -> None:
    workspace = Workspace("w-0123456789abcdef", name, NOW)  # type: ignore[arg-type]
    assert project_id(workspace) == (name if valid else "w-0123456789abcdef")
