"""Facts of registering, on doubles that live in the test."""

from __future__ import annotations

import asyncio
import contextlib
import re

import pytest
from attrs import evolve
from fake_eureka import FakeEureka
from py_eureka_client import eureka_basic, http_client

from meshregistry.errors import RegistryProtocolError, RegistryUnavailable
from meshregistry.model import (
    Endpoint,
    Health,
    Locality,
    Port,
    Protocol,
    RecordKey,
    Service,
    ServiceKey,
    ServiceRecord,
)
from meshregistry.spi import Secret
from meshregistry.testing import context
from meshregistry_eureka import EurekaConfig, HealthConfig, connect, open_registrar
from meshregistry_eureka._convert import service_record
from meshregistry_eureka._instance import instance_of
from meshregistry_eureka._registrar import EurekaRegistrar

HTTP = Port("http", 80, Protocol.HTTP)
END = Endpoint(address="10.0.0.1", port=8080)
PLAIN = ServiceRecord(Service("web", ports=[HTTP]), [END])
ID = "10.0.0.1:web:8080"


def record(*endpoints, host="web", ports=(HTTP,), **service):
    """A service, as somebody would register it."""
    return ServiceRecord(Service(host, ports=ports, **service), endpoints, key=RecordKey(host))


@pytest.fixture
def register(run_async):
    """``register(body, *doubles)``: runs ``body(registrar, *doubles)``."""

    def call(body, number=1, **options):
        async def main():
            async with contextlib.AsyncExitStack() as stack:
                doubles = [await stack.enter_async_context(FakeEureka()) for _ in range(number)]
                urls = ",".join(one.url for one in doubles)
                config = EurekaConfig(eureka_server=Secret(urls), **options)
                async with connect(config, context()) as client:
                    given = evolve(context(), client=client)
                    await body(
                        EurekaRegistrar(config, given, wall_clock=lambda: 1_700_000_000.5), *doubles
                    )

        run_async(main())

    return call


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (PLAIN, {}),
        (
            record(
                Endpoint(
                    address="10.0.0.1",
                    port=8080,
                    service_port="grpc",
                    locality=Locality("eu", "a", "r1"),
                    health=Health.DRAINING,
                    weight=3,
                    labels={"version": "v1"},
                ),
                host="web.shop",
                ports=[Port("grpc", 80, Protocol.GRPC)],
            ),
            {"hostname": "{name}.shop"},
        ),
        (
            record(
                Endpoint(address="10.0.0.1", port=8080),
                Endpoint(address="10.0.0.2", port=8080),
                Endpoint(address="10.0.0.1", port=8443, service_port="https"),
                ports=[HTTP, Port("https", 443, Protocol.HTTPS)],
            ),
            {},
        ),
        (
            record(
                Endpoint(
                    address="10.0.0.1", port=8443, service_port="tls", health=Health.UNHEALTHY
                ),
                ports=[Port("tls", 443, Protocol.TLS)],
            ),
            {},
        ),
    ],
)
def test_what_is_registered_is_read_back(register, given, options):
    """Labels aside, which then also say what Eureka has no field for."""

    async def body(registrar, eureka):
        await registrar.register(given, 10.0)
        config = EurekaConfig(**options)
        host = str(given.service.host)
        written = [instance_of(one) for one in eureka.instances.values()]
        read = service_record(host, written, config).record
        assert given.service == read.service
        for wanted, found in zip(given.endpoints, read.endpoints, strict=True):
            assert wanted.labels.items() <= found.labels.items()
            assert wanted == evolve(found, labels=wanted.labels)

    register(body, **options)


def test_a_lease_is_half_as_long(register):
    """Since, once renewed, servers wait twice as long; so it is renewed at once.

    By its time a newer registration is told.
    """

    async def body(registrar, eureka):
        await registrar.register(PLAIN, 10.0)
        one = eureka.instances["WEB", ID]
        assert 5 == one["leaseInfo"]["durationInSecs"]
        assert "1700000000500" == one["lastDirtyTimestamp"]

    register(body)


def test_a_lease_is_renewed_and_ended(register):
    """To end it twice is no error."""

    async def body(registrar, eureka):
        lease = await registrar.register(PLAIN, 10.0)
        wanted = {"status": "UP", "lastDirtyTimestamp": "1700000000500"}
        assert [(ID, wanted)] == eureka.renewals
        await lease.renew()
        assert [(ID, wanted)] * 2 == eureka.renewals
        await lease.deregister()
        assert {} == eureka.instances
        await lease.deregister()

    register(body)


def test_a_server_that_has_forgotten_is_told_again(register):
    """A restarted one, or one that was passed over when its peers were told."""

    async def body(registrar, eureka):
        lease = await registrar.register(PLAIN, 10.0)
        eureka.wipe()
        await lease.renew()
        assert {("WEB", ID)} == set(eureka.instances)

    register(body)


def test_the_next_server_is_told_when_one_fails(register):
    """If none takes it, that is an error."""

    async def body(registrar, first, second):
        first.refusals["/apps/WEB"] = 503
        await registrar.register(PLAIN, 10.0)
        assert ({}, 1) == (first.instances, len(second.instances))
        second.refusals["/apps/WEB"] = 503
        with pytest.raises(RegistryUnavailable, match="told to"):
            await registrar.register(PLAIN, 10.0)

    register(body, 2)


@pytest.mark.parametrize(
    ("given", "options", "word"),
    [
        (record(), {}, "give endpoints"),
        (PLAIN, {"hostname": "{name}.shop"}, "is no host of this source: write {name}.shop"),
        (PLAIN, {"service_port": 8081}, "the ports http:80/HTTP back as http:8081/HTTP"),
        (PLAIN, {"names": ("secure_vip",)}, "give endpoints"),
        (PLAIN, {"health": HealthConfig(up="DRAINING")}, "the health HEALTHY back as DRAINING"),
        (record(END, ports=[HTTP, Port("b", 81)]), {}, "the ports"),
        (record(evolve(END, service_port="x")), {}, "the port 'x'"),
        (record(evolve(END, network="n")), {}, "the network n"),
        (record(evolve(END, cluster="c")), {}, "the cluster c"),
        (record(evolve(END, workload_identity="spiffe://a/b")), {}, "the workload_identity"),
        (record(evolve(END, labels={"weight": "7"})), {}, "the weight 1 back as 7"),
        (record(evolve(END, labels={"a": "b"})), {"metadata": False}, "the labels a=b"),
        (record(evolve(END, address="vm7")), {}, "the resolution EDS back as DNS"),
        (record(END, labels={"a": "b"}), {}, "the labels a=b"),
        (record(END, addresses=["10.1.1.1"]), {}, "the addresses 10.1.1.1"),
        (record(END, namespace="shop"), {}, "no namespaces"),
    ],
)
def test_what_would_be_read_otherwise_is_refused(register, given, options, word):
    """Before anybody is asked."""

    async def body(registrar, eureka):
        with pytest.raises(ValueError, match=re.escape(word)):
            await registrar.register(given, 10.0)
        assert not eureka.requests

    register(body, **options)


def test_another_process_may_end_it(register):
    """It is known by its service and its endpoint; what is not there is no error."""

    async def body(registrar, eureka):
        await registrar.register(PLAIN, 10.0)
        endpoints = [one.key for one in PLAIN.endpoints]
        await registrar.deregister(PLAIN.service.key, endpoints)
        assert {} == eureka.instances
        await registrar.deregister(PLAIN.service.key, endpoints)
        with pytest.raises(ValueError, match="no namespaces"):
            await registrar.deregister(ServiceKey("shop", "web"), endpoints)

    register(body)


class Own(http_client.HttpClient):
    """An application's own transport of the library."""

    def __init__(self):
        self.asked = []

    async def urlopen(self, request=None, data=None, timeout=None):
        self.asked.append(request if isinstance(request, str) else request.url)
        raise TimeoutError


@pytest.fixture
def own():
    """The library with an application's own transport, put back afterwards."""
    before, own = http_client.http_client, Own()
    http_client.set_http_client(own)
    yield own
    http_client.set_http_client(before)


def test_the_library_stays_the_applications(register, own):
    """Requests of others, also at the same time, go where they went before."""

    async def others():
        with pytest.raises(TimeoutError):
            await eureka_basic.get_applications("http://other/eureka")

    async def body(registrar, eureka):
        await registrar.register(PLAIN, 10.0)
        await asyncio.gather(registrar.register(PLAIN, 10.0), others(), others())
        assert ["http://other/eureka/apps/"] * 2 == own.asked
        assert 2 == eureka.requests["/apps/WEB"]

    register(body)


def test_a_url_that_the_library_cannot_use_is_named(run_async):
    """It knows no shortened addresses of IPv6."""

    async def main():
        config = EurekaConfig(eureka_server=Secret("http://[::1]:8761/eureka"))
        async with connect(config, context()) as client:
            registrar = open_registrar(config, evolve(context(), client=client))
            with pytest.raises(RegistryProtocolError, match="py-eureka-client"):
                await registrar.register(PLAIN, 10.0)

    run_async(main())
