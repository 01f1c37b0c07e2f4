"""What is refused without the SDK: tokens of all kinds and broken requests, on REST and on gRPC.

``by_hand.py PROJECT FOREIGN_KEY``; the last line of the output is JSON: way -> case -> what came back.
"""

import json
import sys
import time
from pathlib import Path

import grpc
import requests
from common import KEY, PARENT, PLACE, PROJECT, name, outcome, signed
from google.cloud import aiplatform_v1beta1

FOREIGN = json.loads(Path(sys.argv[2]).read_text())


def by_rest() -> dict[str, object]:
    """Status, and the envelope."""
    now, base = time.time(), f"https://{PLACE}"
    good = signed(now)
    head, payload, signature = good.split(".")

    def send(path: str, bearer: str | None = good, method: str = "GET", body: str | None = None) -> object:
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        answer = requests.request(method, base + path, headers=headers, data=body, timeout=20)
        return {"status": answer.status_code, "type": answer.headers.get("content-type"), "body": answer.text}

    listed = f"/v1/{PARENT}/persistentResources"
    return {
        "good": send(listed),
        "nobody": send(listed, None),
        "an empty bearer": send(listed, ""),
        "not a token": send(listed, "abc"),
        "a changed payload": send(listed, f"{head}.{payload[:-2]}xx.{signature}"),
        "no signature": send(listed, f"{head}.{payload}."),
        "expired": send(listed, signed(now - 7200)),
        "of tomorrow": send(listed, signed(now + 86400)),
        "for too long": send(listed, signed(now, 86400)),
        "for somebody else": send(listed, signed(now, scope="", aud="https://example.com/")),
        "a foreign key": send(listed, signed(now, key=FOREIGN)),
        "a foreign key under our id": send(listed, signed(now, key=FOREIGN | {"private_key_id": KEY["private_key_id"]})),
        "another issuer": send(listed, signed(now, iss="x@y.z", sub="x@y.z")),
        "broken JSON": send(f"{listed}?persistentResourceId=x", method="POST", body="{"),
        "no object": send(f"{listed}?persistentResourceId=x", method="POST", body="[1]"),
        "a wrong type": send(f"{listed}?persistentResourceId=x", method="POST", body='{"resourcePools": 7}'),
        "no id": send(listed, method="POST", body='{"resourcePools": [{"machineSpec": {"machineType": "n1-standard-1"}}]}'),
        "no such operation": send(f"/ui/{name('x')}/operations/17"),
        "no such path": send("/v1/projects/x/datasets"),
        "no such method": send(listed, method="PUT", body="{}"),
        "no such verb": send(f"/v1/{name('x')}:explode", method="POST", body="{}"),
    }  # fmt: skip


def by_channel() -> dict[str, object]:
    """gRPC without the SDK: bytes in, bytes out."""
    operation = f"projects/{PROJECT}/locations/us-central1/operations/17".encode()
    service = "/google.cloud.aiplatform.v1beta1.PersistentResourceService"
    request = aiplatform_v1beta1.ListPersistentResourcesRequest(parent=PARENT)
    body = type(request).serialize(request)
    with grpc.secure_channel(PLACE, grpc.ssl_channel_credentials()) as channel:

        def send(method: str, body: bytes = body, bearer: str | None = signed(time.time())) -> object:
            metadata = [] if bearer is None else [("authorization", f"Bearer {bearer}")]
            return outcome(lambda: channel.unary_unary(method)(body, metadata=metadata, timeout=20))

        return {
            "good": send(f"{service}/ListPersistentResources"),
            "nobody": send(f"{service}/ListPersistentResources", bearer=None),
            "not a token": send(f"{service}/ListPersistentResources", bearer="abc"),
            "expired": send(f"{service}/ListPersistentResources", bearer=signed(time.time() - 7200)),
            "bytes that are no message": send(f"{service}/ListPersistentResources", b"\xff\xff\xff\xff"),
            "no such method": send(f"{service}/ExplodePersistentResource"),
            "no such service": send("/google.cloud.aiplatform.v1beta1.JobService/ListCustomJobs"),
            "no such operation": send(
                "/google.longrunning.Operations/GetOperation", bytes([10, len(operation)]) + operation
            ),
        }


print(json.dumps({"rest": by_rest(), "grpc": by_channel()}))
