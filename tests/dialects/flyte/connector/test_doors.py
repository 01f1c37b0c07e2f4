"""Who gets in: by a bearer on the common door, by being there on the one for propellers; what every method says to whom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from cryptography import x509
from flyteidl.admin import agent_pb2
from flyteidl.service import agent_pb2_grpc
from google.protobuf.wrappers_pb2 import StringValue, UInt32Value

from heliostat.dialects.flyte.connector.door import Guests, PropellerDoor, address_of
from heliostat.dialects.flyte.rpc import MESSAGE_LIMIT
from heliostat.dialects.flyte.runs import Phase
from heliostat.dialects.flyte.settings import ConnectorSettings
from heliostat.domain.errors import NotReady
from heliostat.domain.ids import PrincipalId
from heliostat.domain.records import Role

from .certificates import Authority
from .conftest import Serve
from .propeller import ASYNC, METADATA, Propeller, Served, channel_to, write_outputs

Code = grpc.StatusCode
HEALTH = "grpc.health.v1.Health"


async def refused(call: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), str(caught.value.details())


async def test_the_official_stubs_of_the_first_wire(propeller: Propeller) -> None:
    stub = agent_pb2_grpc_stub(propeller.channel)
    listed = await stub.ListAgents(agent_pb2.ListAgentsRequest())
    golden = "0a1b0a0d68656c696f737461742d726179120372617922050a03726179"
    assert listed.SerializeToString().hex() == golden
    found = await stub.GetAgent(agent_pb2.GetAgentRequest(name="heliostat-ray"))
    assert [(row.name, row.version) for row in found.agent.supported_task_categories] == [("ray", 0)]
    code, told = await refused(stub.GetAgent(agent_pb2.GetAgentRequest(name="other")))
    assert code is Code.NOT_FOUND and "other" in told


def agent_pb2_grpc_stub(channel: Any) -> Any:
    return agent_pb2_grpc.AgentMetadataServiceStub(channel)


async def test_on_the_common_door_a_bearer_is_needed(serve: Serve) -> None:
    async with serve(Served(connector=None)) as propeller:
        assert propeller.up.running.propellers_port is None
        meta = await propeller.running()
        good, propeller.token = propeller.token, None
        create = agent_pb2.CreateTaskResponse
        for shown in ((), (("authorization", "Bearer hlt_wrong"),), (("flyte-authorization", "Bearer x"),)):
            call = propeller.channel.unary_unary(
                f"/{ASYNC}/CreateTask", request_serializer=lambda message: message.SerializeToString()
            )
            code, told = await refused(call(propeller.request(), metadata=shown))
            assert code is Code.UNAUTHENTICATED, told
        propeller.token = "hlt_wrong"
        assert (await refused(propeller.get(meta)))[0] is Code.UNAUTHENTICATED
        propeller.token = None
        listed = await propeller.call(
            "ListAgents", agent_pb2.ListAgentsRequest(), agent_pb2.ListAgentsResponse, service=METADATA
        )
        assert listed.agents[0].name == "heliostat-ray"
        longer = (("flyte-authorization", f"Bearer {good}"), ("authorization", "Basic of-a-proxy"))
        call = propeller.channel.unary_unary(
            f"/{ASYNC}/CreateTask", request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=create.FromString,
        )  # fmt: skip
        assert (await call(propeller.request(), metadata=longer)).resource_meta == meta


async def test_a_large_message_of_a_stranger_is_not_read(serve: Serve) -> None:
    async with serve(Served(connector=None)) as propeller:
        propeller.token = "hlt_wrong"
        request = propeller.request()
        request.inputs.literals["x"].scalar.primitive.string_value = "x" * (3 << 20)
        assert (await refused(propeller.create(request)))[0] is Code.UNAUTHENTICATED
        junk = b"\xff" * (3 << 20)  # it would be refused if it were looked at

        def ask(path: str) -> Any:
            return propeller.channel.unary_unary(f"/{path}")(junk, timeout=20)

        assert await ask(f"{METADATA}/ListAgents") and await ask(f"{HEALTH}/Check")
        assert await ask("flyteidl.service.AuthMetadataService/GetOAuth2Metadata")
        assert (await refused(ask(f"{METADATA}/GetAgent")))[0] is Code.UNAUTHENTICATED


async def test_others_do_not_see_a_task(serve: Serve) -> None:
    async with serve(Served(connector=None)) as propeller:
        meta = await propeller.running()
        services = propeller.up.running.server.services
        admin = await _admin(propeller)
        propeller.token = (await services.identity.create_token(admin, principal="eve")).token.reveal()
        assert (await propeller.get(meta)).message == "job not found"
        await propeller.delete(meta)
        code, told = await refused(propeller.create())
        assert code is Code.NOT_FOUND and "[flyte.workspaces]" in told
        await services.identity.grant(admin, propeller.up.workspace, "eve", Role.VIEWER)  # type: ignore[arg-type]
        assert (await propeller.get(meta)).phase == Phase.RUNNING
        assert (await refused(propeller.delete(meta)))[0] is Code.PERMISSION_DENIED


async def _admin(propeller: Propeller) -> Any:
    from heliostat.services import Caller

    identity = propeller.up.running.server.services.identity
    return Caller(await identity.by_token(propeller.up.token))


async def test_inputs_of_60_mebibytes_come_in_and_more_than_64_do_not(propeller: Propeller) -> None:
    request = propeller.request()
    request.inputs.literals["x"].scalar.primitive.string_value = "x" * (60 << 20)
    assert await propeller.create(request)
    request.inputs.literals["x"].scalar.primitive.string_value = "x" * (MESSAGE_LIMIT + 1)
    code, _ = await refused(propeller.create(request))
    assert code is Code.RESOURCE_EXHAUSTED


async def test_the_door_acts_as_a_principal_that_is_made_at_the_start(serve: Serve) -> None:
    async with serve(Served(connector={"listen": "127.0.0.1:0", "principal": "propeller-7"})) as propeller:
        services = propeller.up.running.server.services
        robot = await services.identity.robot("propeller-7")
        assert list(robot.roles.values()) == [Role.EDITOR] and not robot.admin
        meta = await propeller.create()
        headers = {"authorization": f"Bearer {propeller.up.token}"}
        async with httpx.AsyncClient(base_url=propeller.up.url, headers=headers) as http:
            jobs = (await http.get(f"/v1/workspaces/{propeller.up.workspace}/jobs")).json()["jobs"]
            assert [(row["id"], row["creator"]) for row in jobs] == [(_id(meta), "propeller-7")]


def _id(meta: bytes) -> str:
    import json

    return str(json.loads(meta)["id"])


async def test_only_the_connector_is_behind_the_propellers_door(propeller: Propeller) -> None:
    for path in ("/flyteidl.service.AdminService/GetVersion", f"/{ASYNC}/Nothing", "/x.Y/Z"):
        assert (await refused(propeller.channel.unary_unary(path)(b"")))[0] is Code.UNIMPLEMENTED
    sync = propeller.channel.stream_stream("/flyteidl.service.SyncAgentService/ExecuteTaskSync")(iter([b""]))
    assert (await refused(sync.read()))[0] is Code.UNIMPLEMENTED
    for data in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):
        code, _ = await refused(propeller.channel.unary_unary(f"/{ASYNC}/GetTask")(data))
        assert code is Code.INVALID_ARGUMENT
    empty = propeller.channel.stream_unary(f"/{ASYNC}/GetTask")(iter(()))
    assert (await refused(empty))[0] is Code.INVALID_ARGUMENT


async def test_a_fault_of_ours_is_internal_and_tells_nothing(
    propeller: Propeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*given: object, **more: object) -> None:
        raise KeyError("the secret")

    monkeypatch.setattr(propeller.up.running.server.services.documents, "find", broken)
    code, told = await refused(propeller.get(b'{"v":1,"id":"rj-0000000000000000"}'))
    assert code is Code.INTERNAL and "secret" not in told


async def test_health(propeller: Propeller) -> None:
    services = ("", ASYNC, METADATA, "flyteidl2.connector.AsyncConnectorService", HEALTH)
    for name in services:
        shown = await propeller.call("Check", StringValue(value=name), UInt32Value, service=HEALTH)
        assert shown.SerializeToString() == b"\x08\x01"
    check = propeller.call("Check", StringValue(value="other"), UInt32Value, service=HEALTH)
    assert (await refused(check))[0] is Code.NOT_FOUND
    common = channel_to(propeller.up.port)
    async with common:
        known = (("authorization", f"Bearer {propeller.up.token}"),)
        for name, shown, first in (("", (), 1), ("other", known, 3), ("other", (), 1)):
            watch = common.unary_stream(
                f"/{HEALTH}/Watch", request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=UInt32Value.FromString,
            )(StringValue(value=name), metadata=shown)  # fmt: skip
            assert (await watch.read()).value == first
            watch.cancel()


async def test_who_watches_is_told_of_the_servers_end(serve: Serve) -> None:
    async with serve(Served(connector=None)) as propeller:
        watch = propeller.channel.unary_stream(f"/{HEALTH}/Watch")(b"")
        assert await watch.read() == b"\x08\x01"
        drained = asyncio.create_task(propeller.up.running.server.door.drain())
        assert await watch.read() == b"\x08\x02"
        await drained


async def test_figures_have_the_names_that_dashboards_know(propeller: Propeller) -> None:
    request = propeller.request()
    request.inputs.literals["x"].scalar.primitive.integer = 1
    meta = await propeller.running(request)
    write_outputs(propeller.prefix(), o0=1)
    propeller.job(meta).finish(0)
    await propeller.until(meta, Phase.SUCCEEDED)
    request.template.type = "spark"
    await refused(propeller.create(request))
    headers = {"authorization": f"Bearer {propeller.up.token}"}
    async with httpx.AsyncClient(base_url=propeller.up.url, headers=headers) as http:
        shown = (await http.get("/metrics")).text
    assert 'flyte_connector_requests_success_total{operation="create",task_type="ray"} 1.0' in shown
    failed = 'flyte_connector_requests_failure_total{error_code="404",operation="create",task_type="ray"} 1.0'
    assert failed in shown
    assert 'flyte_connector_request_latency_seconds_count{operation="get",task_type="ray"}' in shown
    size = float(request.inputs.ByteSize())
    assert f'flyte_connector_input_literal_bytes_sum{{task_type="ray"}} {size}' in shown


# --- who gets in by the door for propellers ---------------------------------------------------------------------------


def test_a_door_that_everybody_could_reach_is_not_opened() -> None:
    with pytest.raises(NotReady, match="client_ca or networks"):
        Guests.of(ConnectorSettings("0.0.0.0", 0))
    with pytest.raises(NotReady, match="client_ca or networks"):
        Guests.of(ConnectorSettings("10.1.2.3", 0))
    with pytest.raises(NotReady, match="networks"):
        Guests.of(ConnectorSettings("0.0.0.0", 0, networks=("nonsense",)))
    for open in (
        ConnectorSettings("127.0.0.1", 0),
        ConnectorSettings("::1", 0),
        ConnectorSettings("0.0.0.0", 0, networks=("10.0.0.0/8",)),
        ConnectorSettings("0.0.0.0", 0, client_ca=Path("ca.pem")),
    ):
        assert Guests.of(open)


@pytest.mark.parametrize(
    ("peer", "admitted"),
    [
        ("ipv4:10.20.30.40:5000", True),
        ("ipv4:11.0.0.1:5000", False),
        ("ipv6:%5B::ffff:10.1.1.1%5D:5000", True),
        ("ipv6:[fd00::1]:5000", True),
        ("ipv6:[fe80::1%25eth0]:5000", False),
        ("ipv6:[2001:db8::1]:5000", False),
        ("unix:/tmp/x", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_networks(peer: str, admitted: bool) -> None:
    guests = Guests.of(ConnectorSettings("0.0.0.0", 0, networks=("10.0.0.0/8", "fd00::/8")))
    assert guests.admit(peer) is admitted
    assert Guests(()).admit(peer)


def test_addresses_in_names_of_connections() -> None:
    assert str(address_of("ipv6:%5B::1%5D:40000")) == "::1"
    assert address_of("ipv4:x:1") is None


async def test_connections_from_elsewhere_are_refused(serve: Serve) -> None:
    async with serve(Served(connector={"listen": "127.0.0.1:0", "networks": ["10.0.0.0/8"]})) as propeller:
        code, told = await refused(propeller.create())
        assert code is Code.PERMISSION_DENIED and "networks" in told


async def test_only_who_has_a_certificate_gets_in(serve: Serve, tmp_path: Path) -> None:
    authority, other = Authority("ours"), Authority("another")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    connector = {"listen": "127.0.0.1:0", "client_ca": str(tmp_path / "ca.pem")}
    async with serve(Served(connector=connector)) as propeller:
        port = propeller.up.running.propellers_port
        trusted = (propeller.up.home / "tls" / "ca.pem").read_bytes()
        assert x509.load_pem_x509_certificate(trusted)
        for chain, good in ((authority.issue("propeller"), True), (other.issue("propeller"), False), (None, False)):
            key, certificate = chain or (None, None)
            credentials = grpc.ssl_channel_credentials(trusted, key, certificate)
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as propeller.channel:
                if good:
                    assert await propeller.create()
                else:
                    code, _ = await refused(propeller.create())
                    assert code is Code.UNAVAILABLE
        async with channel_to(int(port or 0)) as propeller.channel:
            assert (await refused(propeller.create()))[0] is Code.UNAVAILABLE


async def test_a_port_that_cannot_be_had_is_refused_at_the_start(propeller: Propeller) -> None:
    port = propeller.up.running.propellers_port or 0

    async def nobody(id: PrincipalId) -> None:
        return None

    door = PropellerDoor(ConnectorSettings("127.0.0.1", port), PrincipalId("1"), nobody, dict)
    with pytest.raises(NotReady, match=rf"cannot listen on 127.0.0.1:{port}"):
        await door.open()
    with pytest.raises(NotReady, match="certificate"):
        PropellerDoor(ConnectorSettings("::", 0, client_ca=Path("x")), PrincipalId("1"), nobody, dict)
