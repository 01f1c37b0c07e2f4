"""The error table of the Vertex contract, section 7, as users of the SDK meet it, in both versions and on both transports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from .served import Served
from .simulated_server import BROKEN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
WAYS = ("v1 grpc", "v1 rest", "v1beta1 grpc", "v1beta1 rest")
REST = {  # the class on gRPC -> on REST, where the status line alone decides
    "InvalidArgument": "BadRequest",
    "FailedPrecondition": "BadRequest",
    "Unauthenticated": "Unauthorized",
    "PermissionDenied": "Forbidden",
    "NotFound": "NotFound",
    "AlreadyExists": "Conflict",
}
TABLE = {  # case -> the class on gRPC, words of the message
    "an id that is none": ("InvalidArgument", ["persistentResourceId"]),
    "no pools": ("InvalidArgument", ["resourcePools"]),
    "an unknown machine": ("InvalidArgument", ["resourcePools[0].machineSpec.machineType", "z9-standard-2"]),
    "pools of one id": ("InvalidArgument", ["resourcePools[1].id", "head"]),
    "a head that is no pool": ("InvalidArgument", ["headNodeResourcePoolId", "tail"]),
    "an unknown image": ("InvalidArgument", ["raySpec.imageUri", "who/knows:1"]),
    "no mask": ("InvalidArgument", ["updateMask"]),
    "a mask of what cannot change": ("InvalidArgument", ["updateMask", "network"]),
    "a mask of nothing known": ("InvalidArgument", ["updateMask", "colour"]),
    "a negative page": ("InvalidArgument", ["pageSize"]),
    "a page of nobody": ("InvalidArgument", ["pageToken"]),
    "more than the largest": ("InvalidArgument", ["resourcePools[0].replicaCount"]),
    "none left": ("InvalidArgument", ["resourcePools[0].replicaCount"]),
    "reboot while provisioning": ("FailedPrecondition", ["PROVISIONING"]),
    "update while provisioning": ("FailedPrecondition", ["PROVISIONING"]),
    "created twice": ("AlreadyExists", []),
    "no such resource": ("NotFound", ["nobody"]),
    "delete of none": ("NotFound", ["nobody"]),
    "reboot of none": ("NotFound", ["nobody"]),
    "gone": ("NotFound", []),
    "another project": ("PermissionDenied", ["no-such-project"]),
    "another project's list": ("PermissionDenied", ["no-such-project"]),
    "a foreign key": ("Unauthenticated", ["heliostat key create --google-json"]),
}
UNAUTHENTICATED = (
    "nobody", "an empty bearer", "not a token", "a changed payload", "no signature", "expired", "of tomorrow",
    "for too long", "for somebody else", "a foreign key", "a foreign key under our id", "another issuer",
)  # fmt: skip


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key as Google issues them, with the universe of a server of ours, so that nothing of it leaves this machine."""
    private = rsa.generate_private_key(65537, 2048)
    key = {
        "type": "service_account",
        "project_id": "elsewhere",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": "robot@elsewhere.iam.gserviceaccount.com",
        "client_id": "100000000000000000000",
        "auth_uri": "https://localhost/auth",
        "token_uri": "https://localhost/token",
        "universe_domain": "localhost",
    }
    path = tmp_path_factory.mktemp("foreign") / "foreign.json"
    path.write_text(json.dumps(key))
    return path


@pytest.fixture(scope="module")
def refusals(simulated: Served, foreign: Path) -> Any:
    """Way -> case -> what was raised. All were asked for by one program, which takes its time to begin."""
    return simulated.script("refusals.py", foreign, seconds=150).report


@pytest.fixture(scope="module")
def by_hand(simulated: Served, foreign: Path) -> Any:
    return simulated.script("by_hand.py", foreign).report


@pytest.mark.parametrize("way", WAYS)
def test_the_table(refusals: Any, way: str) -> None:
    seen = refusals[way]
    wrong = {}
    for case, (on_grpc, words) in TABLE.items():
        found = seen[case]
        expected = REST[on_grpc] if way.endswith("rest") else on_grpc
        if found.get("class") != expected or not all(word in found["message"] for word in words):
            wrong[case] = (expected, words, found)
    assert wrong == {}


@pytest.mark.parametrize("way", WAYS)
def test_what_fails_later_has_the_same_class_on_both_transports(refusals: Any, way: str) -> None:
    assert refusals[way]["a cancelled create"]["class"] == "Cancelled"
    failed = refusals[way]["a start that fails"]
    assert failed["class"] in ("ResourceExhausted", "InternalServerError")
    assert BROKEN in failed["message"]


@pytest.mark.parametrize("way", ["sdk grpc", "sdk rest"])
def test_as_vertex_ray_tells_it(refusals: Any, way: str) -> None:
    seen = refusals[way]
    names = {name: name if way == "sdk grpc" else REST[name] for name in REST}
    assert "Failed in getting the cluster due to" in seen["no such cluster"]["message"]
    assert seen["no such cluster"]["cause"] == names["NotFound"]
    assert seen["delete of none"]["cause"] == names["NotFound"]
    assert "Failed in cluster creation due to" in seen["an id that is none"]["message"]
    assert seen["an id that is none"]["cause"] == names["InvalidArgument"]
    assert seen["a start that fails"]["class"] == "RuntimeError"
    assert "returned an error" in seen["a start that fails"]["message"]
    assert seen["another project"]["class"] == "PermissionDenied", "the look at the project is always gRPC"


def test_tokens_that_are_none_on_rest(by_hand: Any) -> None:
    seen = by_hand["rest"]
    assert seen["good"]["status"] == 200
    for case in UNAUTHENTICATED:
        assert seen[case]["status"] == 401, (case, seen[case])
        error = json.loads(seen[case]["body"])["error"]
        assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED"), case
        assert error["message"], case


def test_broken_requests_on_rest(by_hand: Any) -> None:
    expected = {
        "broken JSON": (400, "INVALID_ARGUMENT"),
        "no object": (400, "INVALID_ARGUMENT"),
        "a wrong type": (400, "INVALID_ARGUMENT"),
        "no id": (400, "INVALID_ARGUMENT"),
        "no such operation": (404, "NOT_FOUND"),
        "no such path": (404, "NOT_FOUND"),
        "no such verb": (404, "NOT_FOUND"),
    }
    for case, (code, status) in expected.items():
        seen = by_hand["rest"][case]
        assert seen["status"] == code, (case, seen)
        assert seen["type"].startswith("application/json"), case
        error = json.loads(seen["body"])["error"]
        assert (error["code"], error["status"]) == (code, status), case
    assert by_hand["rest"]["no such method"]["status"] in (404, 405)
    assert "resourcePools" in by_hand["rest"]["a wrong type"]["body"]
    assert "persistentResourceId" in by_hand["rest"]["no id"]["body"]


def test_grpc_without_the_sdk(by_hand: Any) -> None:
    codes = {case: found.get("code", "OK") for case, found in by_hand["grpc"].items()}
    assert codes == {
        "good": "OK",
        "nobody": "UNAUTHENTICATED",
        "not a token": "UNAUTHENTICATED",
        "expired": "UNAUTHENTICATED",
        "bytes that are no message": "INVALID_ARGUMENT",
        "no such method": "UNIMPLEMENTED",
        "no such service": "UNIMPLEMENTED",
        "no such operation": "NOT_FOUND",
    }
