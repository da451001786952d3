"""The rules for adapters, on the Consul that lives in the test."""

from __future__ import annotations

import pytest
from fake_consul import FakeConsul, instance, published

import meshregistry_consul
from meshregistry.spi import Secret
from meshregistry.testing import RegistryConformance, TcpProxy


class Backend:
    """The double behind a proxy that breaks, slows and silences it."""

    async def __aenter__(self):
        self.consul = await FakeConsul().__aenter__()
        self.proxy = await TcpProxy("127.0.0.1", self.consul.port).__aenter__()
        self.consul.token = "good"
        return self

    async def __aexit__(self, *exc_info):
        await self.proxy.__aexit__(*exc_info)
        await self.consul.__aexit__(*exc_info)

    def put(self, record):
        name = str(record.service.host)
        self.consul.set(name, *(instance(name, one.address, one.port) for one in record.endpoints))
        return published(name, *(one.address for one in record.endpoints))

    def remove(self, key):
        self.consul.set(key)

    def garble(self, key):
        self.consul.set(key, instance(key, "not an address"))

    def break_(self):
        self.proxy.break_()

    def truncate(self):
        self.proxy.truncate(300)

    def silence(self):
        self.proxy.silence()

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def refuse_credentials(self):
        self.consul.token = "other"
        self.consul.wake()
        self.consul.set("consul-is-told")

    def heal(self):
        self.consul.token = "good"
        self.proxy.heal()

    def wipe(self):
        self.consul.wipe()

    def attempts(self):
        return self.proxy.connections


class Conformance(RegistryConformance):
    __test__ = False

    kind = meshregistry_consul.meshregistry_register_registries()
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
    changes = 2000
    promptness = 0.5
    outage = 0.8
    settle = 0.2
    max_watches = 100

    @pytest.fixture
    def backend(self):
        """A double for each test."""
        return Backend()

    def config(self, backend):
        """Impatient settings, so that tests take seconds."""
        return meshregistry_consul.ConsulConfig(
            address=f"http://{backend.proxy.address}",
            token=Secret("good"),
            wait=1.0,
            timeout=1.5,
            min_interval=0.0,
            max_watches=self.max_watches,
            refresh=0.2,
        )


class TestWatching(Conformance):
    """A query that waits for each service."""

    __test__ = True


class TestSweeping(Conformance):
    """Queries for whole tables."""

    __test__ = True

    max_watches = 0
