"""Registration over a real HTTP listener; the source is in memory."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
import pytest

from meshregistry import Pilot
from meshregistry.errors import ConfigError, RegistryProtocolError, RegistryUnavailable
from meshregistry.pilot import check_settings
from meshregistry.pilot._agent_registration_ids import decode_id, encode_id
from meshregistry.spi import RegistryKind, hookimpl

TOKEN = "s3cret"
HOST = "reviews.shop.mesh.local"
MACHINE = {"host": HOST, "namespace": "shop", "address": "10.0.0.1", "port": 8080}
GROUP = """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews, namespace: shop}
spec:
  metadata: {labels: {app: reviews, version: v1}}
  template: {ports: {http: 9080}, locality: eu/a, serviceAccount: reviews}
  probe: {tcpSocket: {port: 1}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews.shop.mesh.local]
  ports: [{number: 80, name: http}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: reviews}}
"""


class Asked:
    """A pilot that runs, and requests to it."""

    def __init__(self, pilot, session):
        self.pilot = pilot
        self.session = session
        self.token = TOKEN
        self.content_type = "application/json"

    async def post(self, document, *, status, **fields):
        """Register; the answer."""
        body = document if isinstance(document, bytes) else json.dumps({**document, **fields})
        return await self.request("POST", "/v1/register", status, body)

    async def request(self, method, path, status, body=None):
        """Ask something; the answer, whose status is checked."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers["Content-Type"] = self.content_type
        url = f"http://{self.pilot.addresses()['registration']}{path}"
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            text = await answer.text()
            assert (status, text) == (answer.status, text)
            self.headers = answer.headers
            return json.loads(text) if text else None

    async def endpoints(self, host=HOST):
        """What the published catalog has of a host."""
        await self.pilot.published()
        return {str(one): one for found in self.pilot.catalog.find(host) for one in found.endpoints}


@pytest.fixture
def asking(run_async, make_settings):
    """``asking(body, sources=…, **registration)``: runs ``body(asked)`` beside a pilot."""

    def call(body, *sources, plugins=(), **registration):
        registration = {"source": "mine", "tokens": [{"token": TOKEN}], **registration}
        sources = sources or ({"id": "mine", "kind": "memory"},)
        settings = make_settings(*sources, server={"registration": registration})

        async def main():
            async with (
                Pilot(settings, plugins=plugins) as pilot,
                aiohttp.ClientSession() as session,
            ):
                await body(Asked(pilot, session))

        run_async(main())

    return call


def test_a_machine_is_registered_renewed_and_ended(asking):
    """The same document again renews it; the id ends it, once or twice."""

    async def body(asked):
        told = await asked.post(MACHINE, status=201)
        assert {
            "id": told["id"],
            "ttl": 30.0,
            "renew_after": 10.0,
            "services": [{"namespace": "shop", "host": HOST}],
        } == told
        assert ["10.0.0.1:8080"] == list(await asked.endpoints())
        assert told == await asked.post(MACHINE, status=200)
        for _ in range(2):
            await asked.request("DELETE", f"/v1/register/{told['id']}", 204)
            assert {} == await asked.endpoints()
        assert told == await asked.post(MACHINE, status=201)

    asking(body)


def test_it_ends_with_its_time(asking):
    """Unless it is renewed."""

    async def body(asked):
        await asked.post(MACHINE, ttl="1s", status=201)
        assert await asked.endpoints()
        async with asyncio.timeout(10):
            while await asked.endpoints():  # noqa: ASYNC110 - the catalog is asked, there is no event
                await asyncio.sleep(0.01)

    asking(body)


def test_what_a_machine_says_is_what_is_served(asking):
    """Ports, labels, locality, weight, health, account, several hosts; a change replaces it."""

    async def body(asked):
        said = {
            "hosts": [HOST, "ratings.shop.mesh.local"],
            "host": HOST,
            "namespace": "shop",
            "address": "10.0.0.1",
            "ports": [
                {"port": 80, "target": 8080},
                {"port": 90, "name": "grpc", "protocol": "GRPC"},
            ],
            "labels": {"version": "v2"},
            "locality": "eu/a",
            "weight": 3,
            "health": "DRAINING",
            "service_account": "reviews",
        }
        told = await asked.post(said, status=201)
        assert ["reviews.shop.mesh.local", "ratings.shop.mesh.local"] != told["services"]
        for host in said["hosts"]:
            found = await asked.endpoints(host)
            assert {"10.0.0.1:8080", "10.0.0.1:90"} == set(found)
            one = found["10.0.0.1:8080"]
            assert ("http-80", 3, "DRAINING") == (one.service_port, one.weight, str(one.health))
            assert {"version": "v2"} == dict(one.labels)
            assert one.workload_identity == "spiffe://mesh.local/ns/shop/sa/reviews"
        other = await asked.post(said, health="HEALTHY", status=201)
        assert told["id"] == other["id"]
        assert {"HEALTHY"} == {str(one.health) for one in (await asked.endpoints()).values()}

    asking(body)


def test_a_member_of_a_group_takes_its_template(asking, tmp_path):
    """And is in the services whose entries select the group."""
    (tmp_path / "groups.yaml").write_text(GROUP)
    file = {"id": "files", "kind": "file", "path": str(tmp_path / "groups.yaml")}

    async def body(asked):
        await asked.pilot.synced(10)
        member = {"group": "shop/reviews", "address": "10.0.0.7", "labels": {"version": "v2"}}
        told = await asked.post(member, status=201)
        assert [{"namespace": "shop", "host": HOST}] == told["services"]
        found = await asked.endpoints()
        assert ["10.0.0.7:9080"] == list(found)
        one = found["10.0.0.7:9080"]
        assert {"app": "reviews", "version": "v2"} == dict(one.labels)
        assert "eu/a" == str(one.locality)
        assert "HEALTHY" == str(one.health), "the probes of a group are for those in files"
        told = await asked.post(member, host="other.shop.mesh.local", status=201)
        assert [{"namespace": "shop", "host": "other.shop.mesh.local"}] == told["services"]
        assert ["10.0.0.7:9080"] == list(await asked.endpoints("other.shop.mesh.local"))
        told = await asked.post({**member, "group": "shop/nobody"}, status=400)
        assert told["errors"] == [
            {
                "field": "group",
                "error": "there is no WorkloadGroup shop/nobody",
                "remedy": "write one of shop/reviews",
            }
        ]

    asking(body, {"id": "mine", "kind": "memory"}, file)


@pytest.mark.parametrize(
    ("said", "field", "error"),
    [
        ({"host": None}, "host", "neither a host nor a group is named"),
        ({"address": "db"}, "address", "db is no IP address"),
        ({"address": "unix:///x"}, "address", "unix:///x is no IP address"),
        ({"port": None}, "port", "the service has no port"),
        ({"port": 0}, "port", "must be >= 1: 0"),
        ({"ports": {"http": 1}}, "ports", "port and ports contradict"),
        ({"port": None, "ports": {"http": "1"}}, "ports.http", "must be a port"),
        ({"weight": 0}, "weight", "must be >= 1: 0"),
        ({"namespace": "a/b"}, "namespace", "must match regex"),
        ({"colour": "red"}, "colour", "unknown key"),
        ({"ttl": "2h"}, "ttl", "must be from 1 s to 3600 s, not 7200 s"),
        ({"ttl": "0s"}, "ttl", "must be from 1 s to 3600 s, not 0 s"),
    ],
)
def test_a_wrong_document_says_where_and_what(asking, said, field, error):
    """400, with field and remedy; nothing is written."""

    async def body(asked):
        document = {key: value for key, value in {**MACHINE, **said}.items() if value is not None}
        told = await asked.post(document, status=400)
        (first, *_) = told["errors"]
        assert first["field"] == field
        assert error in first["error"]
        assert {} == await asked.endpoints()

    asking(body)


@pytest.mark.parametrize("content", [b"", b"host: a", b"[1]", b'"x"', b"\xff", b'{"a":', b"{}"])
def test_what_is_no_document_is_400(asking, content):
    """Not even if it is YAML."""

    async def body(asked):
        told = await asked.post(content, status=400)
        assert told["errors"]

    asking(body)


def test_a_document_is_said_to_be_json(asking):
    """Else a page in somebody's browser could register with their certificate."""

    async def body(asked):
        asked.content_type = "text/plain"
        told = await asked.post(MACHINE, status=415)
        assert "send Content-Type: application/json" == told["errors"][0]["remedy"]

    asking(body)


def test_a_request_may_not_be_large(asking):
    """The rest of it is not read."""

    async def body(asked):
        told = await asked.post(b"x" * 70_000, status=413)
        assert "send at most 65536 bytes" == told["errors"][0]["remedy"]

    asking(body)


@pytest.mark.parametrize("token", ["", "wrong", "s3cre"])
def test_without_a_known_token_nobody_registers_or_ends_anything(asking, token):
    """401, before the document is read."""

    async def body(asked):
        told = await asked.post(MACHINE, status=201)
        asked.token = token
        answer = await asked.post(b"\xff", status=401)
        assert "Authorization: Bearer" in answer["errors"][0]["remedy"]
        assert "Bearer" == asked.headers["WWW-Authenticate"]
        await asked.request("DELETE", f"/v1/register/{told['id']}", 401)
        assert await asked.endpoints()

    asking(body)


def test_a_token_that_is_no_text_is_not_known(asking):
    """Whatever bytes somebody sends, nothing of them is a fault of ours."""

    async def body(asked):
        host, _, port = asked.pilot.addresses()["registration"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/register HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        await writer.wait_closed()

    asking(body)


@pytest.mark.parametrize(
    ("grant", "is_allowed"),
    [
        ({"namespaces": ["shop"]}, True),
        ({"namespaces": ["bank"]}, False),
        ({"hosts": [HOST]}, True),
        ({"hosts": ["*.shop.mesh.local"]}, True),
        ({"hosts": ["*.mesh.local"], "namespaces": ["bank", "shop"]}, True),
        ({"hosts": ["shop.mesh.local"]}, False),
        ({"hosts": ["*.bank.mesh.local"]}, False),
    ],
)
def test_a_token_is_for_its_namespaces_and_hosts(asking, grant, is_allowed):
    """403 for all others, also to end them."""

    async def body(asked):
        asked.token = "all"
        told = await asked.post(MACHINE, status=201)
        asked.token = TOKEN
        if is_allowed:
            await asked.post(MACHINE, status=200)
            await asked.request("DELETE", f"/v1/register/{told['id']}", 204)
            return
        answer = await asked.post(MACHINE, status=403)
        assert f"{HOST} of the namespace shop is not granted" in answer["errors"][0]["error"]
        await asked.request("DELETE", f"/v1/register/{told['id']}", 403)
        assert await asked.endpoints()

    asking(body, tokens=[{"token": TOKEN, **grant}, {"token": "all"}])


def test_a_token_of_a_file_is_read_again(asking, tmp_path, caplog):
    """And one that cannot be read is nobody's."""
    file = tmp_path / "token"

    async def body(asked):
        await asked.post(MACHINE, status=401)
        assert "the token 'agents' of server.registration cannot be read" in caplog.text
        file.write_text(f"{TOKEN}\n")
        await asked.post(MACHINE, status=201)
        file.write_text("other")
        await asked.post(MACHINE, status=401)

    asking(body, tokens=[{"token_file": str(file), "name": "agents"}])


@pytest.mark.parametrize("key", ["x", "W10", "e30", "W1siYS9iIiwieCIsW11dXQ", "!"])
def test_what_is_no_id_is_404(asking, key):
    """Nothing of it reaches a backend."""

    async def body(asked):
        await asked.request("DELETE", f"/v1/register/{key}", 404)

    asking(body)


@pytest.mark.parametrize(
    "identity",
    [
        [["shop/x", HOST, [["", "10.0.0.1", 80, "http"]]]],
        [["shop", "a/b", [["", "10.0.0.1", 80, "http"]]]],
        [["shop", HOST, [["", "../x", 80, "http"]]]],
        [["shop", HOST, [["", "unix:///../x", 0, "http"]]]],
        [["shop", HOST, [["", "10.0.0.1", 99999, "http"]]]],
        [["shop", HOST, [["", "10.0.0.1", "80", "http"]]]],
        [["shop", HOST]],
        {"a": 1},
        [],
        7,
    ],
)
def test_an_id_is_only_what_could_have_been_registered(identity):
    """A forged one says nothing that a path or a key of a backend could be made of."""
    import base64  # noqa: PLC0415 - here only

    key = base64.urlsafe_b64encode(json.dumps(identity).encode()).decode().rstrip("=")
    with pytest.raises(ValueError, match=r".+"):
        decode_id(key)


def test_an_id_is_the_identity_and_nothing_else(record):
    """Health, weight and labels may change under it; another replica reads the same from it."""
    one = record(HOST, "10.0.0.1:80", "[::1]:80", namespace="shop")
    ((service, endpoints),) = decode_id(encode_id([one]))
    assert one.service.key == service
    assert [endpoint.key for endpoint in one.endpoints] == endpoints


class Backend:
    """A kind that is written to, and whose backend goes away."""

    def __init__(self):
        self.is_away = self.is_picky = False
        self.calls = []

    def open(self, _config, _context):
        """A registry that publishes nothing."""
        return self

    async def run(self, sink):
        """Follow."""
        sink.replace([])
        await asyncio.Event().wait()

    def registrar(self, _config, _context):
        """What writes."""
        return self

    async def register(self, record, ttl):
        """Take one."""
        self._answer("register", str(record.service.key), ttl)
        return self

    async def renew(self):
        """Prolong it."""
        self._answer("renew")

    async def deregister(self, service, endpoints):
        """End it."""
        self._answer("deregister", str(service), [one.address for one in endpoints])

    def _answer(self, *call):
        if self.is_picky:
            raise RegistryProtocolError("the backend does not like it")
        if self.is_away:
            raise RegistryUnavailable("the backend is away; it is asked again")
        self.calls.append(call)

    @hookimpl
    def meshregistry_register_registries(self):
        """Offer it."""
        from meshregistry.registries import MemoryConfig  # noqa: PLC0415 - a class without options

        return RegistryKind(
            name="backend", config_class=MemoryConfig, open=self.open, registrar=self.registrar
        )


def test_while_the_backend_is_away_nothing_is_lost(asking):
    """503 with Retry-After; the agent sends the same again."""
    backend = Backend()

    async def body(asked):
        told = await asked.post(MACHINE, status=201)
        backend.is_away = True
        for method, path, sent in (
            ("POST", "/v1/register", json.dumps(MACHINE)),
            ("POST", "/v1/register", json.dumps({**MACHINE, "weight": 2})),
            ("DELETE", f"/v1/register/{told['id']}", None),
        ):
            answer = await asked.request(method, path, 503, sent)
            assert "the backend is away" in answer["errors"][0]["error"]
            assert "2" == asked.headers["Retry-After"]
        backend.is_away = False
        await asked.post(MACHINE, status=201)
        await asked.post(MACHINE, status=200)
        await asked.request("DELETE", f"/v1/register/{told['id']}", 204)
        assert [
            ("register", HOST, 30.0),
            ("register", HOST, 30.0),
            ("renew",),
            ("deregister", HOST, ["10.0.0.1"]),
        ] == backend.calls

    source = {"id": "mine", "kind": "backend", "namespace": "shop"}
    asking(body, source, plugins=[backend])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            {"id": "mine", "kind": "file", "path": "x"},
            "server.registration names this source, and nothing can be written to the kind file",
        ),
        (
            {"id": "mine", "kind": "memory", "shadow": True},
            "server.registration names this source, and nothing of a shadow is served",
        ),
    ],
)
def test_the_source_must_be_able_to_keep_them(run_async, make_settings, source, reason):
    """Otherwise the pilot does not start."""
    registration = {"source": "mine", "tokens": [{"token": TOKEN}]}
    settings = make_settings(source, server={"registration": registration})

    async def main():
        with pytest.raises(ConfigError) as caught:
            async with Pilot(settings):
                pass
        assert reason == caught.value.reason

    run_async(main())


def test_check_says_so_too(tmp_path):
    """`meshregistry check` needs no pilot."""
    path = tmp_path / "mesh.yaml"
    path.write_text(
        "sources: [{id: mine, kind: memory, shadow: true}]\n"
        "server: {registration: {source: mine, tokens: [{token: s3cret}]}}\n"
    )
    (fault,) = check_settings(path)
    assert "nothing of a shadow is served" in fault.reason
    assert 1 == fault.line


def test_memory_is_loudly_only_for_one(asking, caplog):
    """A warning at each start."""

    async def body(asked):
        await asked.post(MACHINE, status=201)

    with caplog.at_level(logging.WARNING):
        asking(body)
    assert "registrations are kept in the memory of this process alone" in caplog.text


def test_a_source_that_was_opened_anew_is_written_to_anew(asking, make_settings):
    """After a reload its old client is closed, so nothing of it is used."""

    async def body(asked):
        await asked.post(MACHINE, status=201)
        await asked.post(MACHINE, status=200)
        source = {"id": "mine", "kind": "memory", "cluster": "c"}
        registration = {"source": "mine", "tokens": [{"token": TOKEN}]}
        await asked.pilot.reload(make_settings(source, server={"registration": registration}))
        await asked.post(MACHINE, status=201)
        assert ["c"] == [one.cluster for one in (await asked.endpoints()).values()]

    asking(body)


def test_the_log_says_who_registered_what(asking, caplog):
    """By the name of the token and never by itself; a renewal is no news."""

    async def body(asked):
        told = await asked.post(MACHINE, status=201)
        await asked.post(MACHINE, status=200)
        await asked.request("DELETE", f"/v1/register/{told['id']}", 204)
        lines = [line for line in caplog.messages if line.startswith("agents of shop")]
        assert [
            f"agents of shop has registered shop/{HOST} at 10.0.0.1:8080",
            f"agents of shop has ended the registration of shop/{HOST}",
        ] == lines
        assert TOKEN not in caplog.text

    with caplog.at_level(logging.INFO):
        asking(body, tokens=[{"token": TOKEN, "name": "agents of shop"}])


def test_what_the_backend_refuses_is_not_to_be_sent_again(asking):
    """400, and not 503."""
    backend = Backend()
    backend.is_picky = True

    async def body(asked):
        told = await asked.post(MACHINE, status=400)
        assert "the registry refuses it: the backend does not like it" == told["errors"][0]["error"]

    asking(body, {"id": "mine", "kind": "backend"}, plugins=[backend])


class Unwritable(Backend):
    """A kind whose options may rule out that anything is registered."""

    def registrar(self, _config, _context):
        """Object."""
        raise ConfigError("is not ours to write to", field="layout", remedy="use another layout")


def test_options_that_rule_it_out_are_faults_of_the_source(run_async, make_settings):
    """Found before the pilot starts, without a backend."""
    registration = {"source": "mine", "tokens": [{"token": TOKEN}]}
    settings = make_settings(
        {"id": "mine", "kind": "backend"}, server={"registration": registration}
    )

    async def main():
        with pytest.raises(ConfigError) as caught:
            async with Pilot(settings, plugins=[Unwritable()]):
                pass
        assert caught.value.reason == "layout: is not ours to write to; use another layout"
        assert caught.value.field == "sources[0]"

    run_async(main())


def test_two_machines_are_two_endpoints(asking):
    """And one of them may go."""

    async def body(asked):
        told = await asked.post(MACHINE, status=201)
        await asked.post(MACHINE, address="10.0.0.2", status=201)
        assert {"10.0.0.1:8080", "10.0.0.2:8080"} == set(await asked.endpoints())
        await asked.request("DELETE", f"/v1/register/{told['id']}", 204)
        assert {"10.0.0.2:8080"} == set(await asked.endpoints())

    asking(body)
