"""The rules for adapters, on a NATS and a Cloud Controller that live in the test."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from fake_capi import FakeCapi
from fake_nats import Emitter, FakeNats, message

import meshregistry_cloudfoundry
from meshregistry.model import Endpoint, Locality, Port, Protocol, RecordKey, Service, ServiceRecord
from meshregistry.spi import Secret
from meshregistry.testing import RegistryConformance, TcpProxy

GOROUTER, CAPI = meshregistry_cloudfoundry.meshregistry_register_registries()


class NatsBackend:
    """The double behind a proxy, and an emitter that repeats what was put."""

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        self.nats = await self._stack.enter_async_context(FakeNats())
        self.nats.user, self.nats.password = "mesh", "good"
        self.emitter = await self._stack.enter_async_context(Emitter(self.nats.publish))
        self.proxy = await self._stack.enter_async_context(TcpProxy("127.0.0.1", self.nats.port))
        return self

    async def __aexit__(self, *exc_info):
        await self._stack.aclose()

    async def put(self, record):
        host = str(record.service.host)
        addresses = [one.address for one in record.endpoints]
        await self.emitter.set(host, *(message(host, one) for one in addresses))
        return published(host, *addresses)

    async def remove(self, key):
        await self.emitter.set(key)

    async def garble(self, key):
        # The good one is neither repeated nor taken back: its emitter has become a bad one.
        self.emitter.garble(key, message(key, "not an address"))

    def break_(self):
        self.proxy.break_()

    def truncate(self):
        self.proxy.truncate(100)

    def silence(self):
        self.proxy.silence()

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def refuse_credentials(self):
        self.nats.password = "other"
        self.nats.disconnect("Authorization Violation")

    def heal(self):
        self.nats.password = "good"
        self.proxy.heal()

    def wipe(self):
        self.emitter.forget()
        self.nats.disconnect()

    def attempts(self):
        return self.proxy.connections


def published(host, *addresses):
    """What the adapter makes of it."""
    labels = {
        "app": "app-1",
        "component": "route-emitter",
        "private_instance_index": "0",
        "tls": "true",
    }
    return ServiceRecord(
        Service(host, ports=[Port("http", 80, Protocol.HTTP)]),
        [
            Endpoint(
                address=one,
                port=8080,
                service_port="http",
                locality=Locality("", "z1"),
                labels={
                    **labels,
                    "private_instance_id": f"id-{one}",
                    "server_cert_domain_san": f"id-{one}",
                },
            )
            for one in addresses
        ],
        key=RecordKey(host),
    )


class TestGorouter(RegistryConformance):
    """Routes that a certificate protects: they stay through outages longer than they count."""

    kind = GOROUTER
    capabilities = (
        "garble",
        "outage",
        "writes_in_outage",
        "truncate",
        "silence",
        "slow",
        "credentials",
        "wipe",
        "attempts",
    )
    changes = 2000
    latency = 8.0
    outage = 2.5  # longer than a registration counts

    def config(self, backend):
        """Impatient settings, so that tests take seconds."""
        return meshregistry_cloudfoundry.GorouterConfig(
            servers=(f"nats://{backend.proxy.address}",),
            user="mesh",
            password=Secret("good"),
            connect_timeout=2.0,
            ping_interval=0.5,
            register_interval=0.15,
            stale_threshold=1.5,
            sweep=0.1,
        )

    @pytest.fixture
    def backend(self):
        """A double for each test."""
        return NatsBackend()


class CapiBackend:
    """The double of the Cloud Controller behind a proxy."""

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        self.capi = await self._stack.enter_async_context(FakeCapi())
        self.proxy = await self._stack.enter_async_context(TcpProxy("127.0.0.1", self.capi.port))
        return self

    async def __aexit__(self, *exc_info):
        await self._stack.aclose()

    def put(self, record):
        name = str(record.service.host)
        addresses = [one.address for one in record.endpoints]
        self.capi.route(name, self.capi.push(name, *addresses))
        return listed(name, *addresses)

    def remove(self, key):
        self.capi.routes.pop(f"route-{key}", None)

    def garble(self, key):
        self.capi.routes[f"route-{key}"]["destinations"] = "nonsense"

    def break_(self):
        self.proxy.break_()

    def truncate(self):
        self.proxy.truncate(600)

    def silence(self):
        self.proxy.silence()

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def refuse_credentials(self):
        self.capi.password = "other"
        self.capi.refresh_tokens.clear()
        self.capi.tokens.clear()

    def heal(self):
        self.capi.password = "good"
        self.proxy.heal()

    def wipe(self):
        self.capi.clear()

    def attempts(self):
        return self.proxy.connections


def listed(name, *addresses):
    """What the adapter makes of an app with a route of its name."""
    host = f"{name}.apps.example"
    return ServiceRecord(
        Service(
            host,
            ports=[Port("http", 80, Protocol.HTTP)],
            labels={"apps": name, "space_name": "prod", "organization_name": "shop"},
        ),
        [
            Endpoint(
                address=one,
                port=61001,
                service_port="http",
                labels={
                    "app": f"app-{name}",
                    "app_name": name,
                    "organization_name": "shop",
                    "private_instance_id": f"instance-{name}-{index}",
                    "private_instance_index": str(index),
                    "process_type": "web",
                    "space_name": "prod",
                    "tls": "false",
                },
            )
            for index, one in enumerate(addresses)
        ],
        key=RecordKey(host),
    )


class TestCapiOnADouble(RegistryConformance):
    """Not a real server: none can be had. The double speaks as the documentation says."""

    kind = CAPI
    capabilities = (
        "garble",
        "outage",
        "writes_in_outage",
        "truncate",
        "silence",
        "slow",
        "credentials",
        "wipe",
        "attempts",
        "atomic",
    )
    changes = 300
    slowness = 0.3

    @pytest.fixture
    def backend(self):
        """A double for each test."""
        return CapiBackend()

    def config(self, backend):
        """Impatient settings, so that tests take seconds."""
        return meshregistry_cloudfoundry.CapiConfig(
            api=f"http://{backend.proxy.address}",
            user="admin",
            password=Secret("good"),
            endpoints="instances",
            interval=0.15,
            timeout=2.0,
            per_page=3,
        )
