"""What the scripts share: where the server is, as the environment says, and what came of a call."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
from google.api_core import exceptions
from google.auth import crypt, jwt

PROJECT = sys.argv[1]
PLACE = os.environ["GOOGLE_CLOUD_UNIVERSE_DOMAIN"]
KEY = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PARENT = f"projects/{PROJECT}/locations/us-central1"


def outcome(call: Callable[[], object]) -> object:
    try:
        return {"returned": repr(call())[:200]}
    except exceptions.GoogleAPICallError as error:
        return {"class": type(error).__name__, "code": error.grpc_status_code and error.grpc_status_code.name,
                "message": error.message, "reason": error.reason}  # fmt: skip
    except grpc.RpcError as error:
        return {"class": "RpcError", "code": error.code().name, "message": error.details()}
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the answer
        return {"class": type(error).__name__, "message": str(error), "cause": type(error.__context__).__name__}


def name(identity: str) -> str:
    return f"{PARENT}/persistentResources/{identity}"


def signed(issued: float, lifetime: float = 3600, key: dict = KEY, **claims) -> str:
    """A token as the SDK signs it, or otherwise."""
    signer = crypt.RSASigner.from_service_account_info(key)
    payload = {"iss": key["client_email"], "sub": key["client_email"], "iat": int(issued), "scope": SCOPE}
    return jwt.encode(signer, payload | {"exp": int(issued + lifetime)} | claims).decode()
