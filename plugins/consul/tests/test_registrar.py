"""What is registered at an agent, and that the adapter reads the same back."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from meshregistry.errors import ConfigError, RegistryAuthError, RegistryProtocolError
from meshregistry.model import (
    Endpoint,
    Health,
    Hostname,
    Locality,
    Port,
    Protocol,
    Service,
    ServiceKey,
    ServiceRecord,
)
from meshregistry.spi import Secret
from meshregistry.testing import context
from meshregistry_consul import ConsulConfig, meshregistry_register_registries
from meshregistry_consul._client import ConsulClient
from meshregistry_consul._convert import service_record
from meshregistry_consul._registrar import ConsulRegistrar, instance, service_name

HOST = "reviews.service.consul"


def record(*endpoints, port=8080, host=HOST, **service):
    """A service of one HTTP port."""
    made = endpoints or (Endpoint(address="10.0.0.1", port=8080, service_port="http"),)
    return ServiceRecord(Service(host, ports=[Port("http", port, Protocol.HTTP)], **service), made)


def read_back(written, config):
    """What the adapter says of a record that was registered, once Consul has it."""
    entries = []
    for endpoint in written.endpoints:
        form = instance("reviews", endpoint, written, config, 30)
        checks = [
            {"CheckID": one["CheckID"], "Status": one["Status"], "Type": "ttl"}
            for one in form["Checks"]
        ]
        entries.append(
            {
                "Node": {"Node": "n", "Address": "10.9.9.9", "Datacenter": "dc1"},
                "Service": {**form, "Service": form["Name"]},
                "Checks": checks,
            }
        )
    return service_record("reviews", entries, config).record


@pytest.mark.parametrize("tags", ["key=value", "key|value", "none"])
def test_the_adapter_reads_back_what_was_registered(tags):
    """Address, port, protocol, health, weight, locality; labels, beside those that Consul needs."""
    config = ConsulConfig(tags=tags)
    written = record(
        Endpoint(
            address="10.0.0.1",
            port=8080,
            weight=7,
            locality=Locality("eu", "a", "r"),
            labels={"version": "v2"},
        ),
        Endpoint(address="10.0.0.2", port=8080, health=Health.UNHEALTHY),
    )
    found = read_back(written, config)
    assert written.service.ports == found.service.ports
    assert Hostname(HOST) == found.service.host
    one, two = found.endpoints
    assert ("10.0.0.1", 7, Locality("eu", "a", "r")) == (one.address, one.weight, one.locality)
    assert one.labels["version"] == "v2"
    assert [Health.HEALTHY, Health.UNHEALTHY] == [one.health, two.health]


def test_it_ends_by_itself():
    """The check lasts as long as was asked for; a minute later is the least to remove it."""
    (endpoint,) = record().endpoints
    (check,) = instance("reviews", endpoint, record(), ConsulConfig(), 2.5)["Checks"]
    assert ("2.500s", "1m") == (check["TTL"], check["DeregisterCriticalServiceAfter"])
    assert check["Status"] == "passing", "it is alive from the first moment"


@pytest.mark.parametrize(
    ("hostname", "host", "name"),
    [
        ("{service}.service.consul", HOST, "reviews"),
        ("{service}", "reviews", "reviews"),
        ("{service}.{dc}.x", "reviews.dc1.x", "reviews"),
    ],
)
def test_the_name_is_the_one_whose_host_it_is(hostname, host, name):
    """The setting `hostname`, read backwards."""
    config = ConsulConfig(hostname=hostname, dc="dc1")
    assert name == service_name(ServiceKey("", Hostname(host)), config)


@pytest.mark.parametrize("host", ["reviews.shop", "a.b.service.consul", "service.consul"])
def test_a_host_that_the_source_would_not_give_is_refused(host):
    """It would come back under another name."""
    with pytest.raises(ValueError, match=r"is no host of this source: write \{service\}"):
        service_name(ServiceKey("", Hostname(host)), ConsulConfig())


def test_a_namespace_of_another_source_is_refused():
    """Consul has them in some editions only, and a source reads one."""
    with pytest.raises(ValueError, match="is not that of the source"):
        service_name(ServiceKey("shop", Hostname(HOST)), ConsulConfig())
    assert service_name(ServiceKey("shop", Hostname(HOST)), ConsulConfig(ns="shop")) == "reviews"


@pytest.mark.parametrize(
    "written",
    [
        record(addresses=["10.1.1.1"]),
        record(labels={"a": "b"}),
        record(is_external=True),
        record(export_to=["."]),
        record(Endpoint(address="10.0.0.1", port=8080, network="n")),
        record(Endpoint(address="10.0.0.1", port=8080, workload_identity="spiffe://a/b")),
        record(Endpoint(address="10.0.0.1", port=8080, weight=0)),
        record(port=80),
    ],
)
def test_what_consul_has_no_place_for_is_refused(run_async, written):
    """Before anything is asked: nothing is lost in silence."""

    async def main():
        registrar = ConsulRegistrar(ConsulConfig(), context(client=None))
        with pytest.raises(ValueError, match=r"no place for|is called at"):
            await registrar.register(written, 30)

    run_async(main())


@pytest.mark.parametrize(
    "config", [ConsulConfig(datacenters=("a", "b")), ConsulConfig(hostname="{service}.{dc}")]
)
def test_a_source_must_say_its_datacenter(config):
    """An agent registers in its own."""
    kind = meshregistry_register_registries()
    with pytest.raises(ConfigError, match="datacenter"):
        kind.registrar(config, context())


class Agent:
    """What an agent answers, and what it was told."""

    def __init__(self):
        self.status = 200
        self.text = ""
        self.told = []
        self.known = set()

    async def answer(self, request):
        """Answer."""
        action, _, own = request.path.removeprefix("/v1/agent/").rpartition("/")
        document = json.loads(await request.text() or "null")
        if self.status != 200:
            return web.Response(status=self.status, text=self.text)
        if action == "service":
            own = document["ID"]
            assert "true" == request.query["replace-existing-checks"]
            self.known |= {own, f"{own}:life"}
        elif own not in self.known:
            return web.Response(status=404, text=f'Unknown service ID "{own}"')
        self.told.append((action, own, request.headers["X-Consul-Token"]))
        return web.Response()


@pytest.fixture
def registering(run_async, tmp_path):
    """``registering(body)``: runs ``body(agent, registrar)`` with a double of an agent."""
    (tmp_path / "token").write_text("t")

    async def main(body):
        agent = Agent()
        app = web.Application()
        app.router.add_put("/{tail:.*}", agent.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config = ConsulConfig(
            address=f"http://127.0.0.1:{runner.addresses[0][1]}",
            token=Secret(file=tmp_path / "token"),
        )
        try:
            async with ConsulClient(config, context()) as client:
                await body(agent, ConsulRegistrar(config, context(client=client)))
        finally:
            await runner.cleanup()

    return lambda body: run_async(main(body))


OWN = "reviews:10.0.0.1:8080"


def test_a_renewal_writes_nothing_unless_the_agent_has_forgotten(registering):
    """Then it is registered again."""

    async def body(agent, registrar):
        lease = await registrar.register(record(), 30)
        await lease.renew()
        agent.known.clear()
        await lease.renew()
        assert [
            ("service", OWN, "t"),
            ("check/update", f"{OWN}:life", "t"),
            ("service", OWN, "t"),
        ] == agent.told

    registering(body)


def test_it_ends_by_its_identity_or_its_lease(registering):
    """What has ended already is no error."""

    async def body(agent, registrar):
        lease = await registrar.register(record(), 30)
        await lease.deregister()
        await registrar.deregister(
            ServiceKey("", Hostname(HOST)), [one.key for one in record().endpoints]
        )
        assert [("service/deregister", OWN, "t")] * 2 == agent.told[1:]
        agent.known.clear()
        await lease.deregister()

    registering(body)


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, RegistryAuthError), (500, RegistryAuthError), (400, RegistryProtocolError)],
)
def test_a_refusal_is_what_it_is(registering, status, error):
    """A token without rights, or something that Consul does not take."""

    async def body(agent, registrar):
        agent.status = status
        agent.text = "Permission denied" if status != 400 else "no"
        with pytest.raises(error):
            await registrar.register(record(), 30)

    registering(body)
