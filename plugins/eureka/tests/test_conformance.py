"""The rules for adapters, on the Eureka that lives in the test."""

from __future__ import annotations

import pytest
from fake_eureka import FakeEureka, instance, published

import meshregistry_eureka
from meshregistry.spi import Secret
from meshregistry.testing import RegistryConformance, TcpProxy


class Backend:
    """The double behind a proxy that breaks, slows and silences it."""

    async def __aenter__(self):
        self.eureka = await FakeEureka().__aenter__()
        self.proxy = await TcpProxy("127.0.0.1", self.eureka.port).__aenter__()
        self.eureka.credentials = "me:good"
        return self

    async def __aexit__(self, *exc_info):
        await self.proxy.__aexit__(*exc_info)
        await self.eureka.__aexit__(*exc_info)

    def put(self, record):
        name = str(record.service.host)
        self.eureka.set(name, *(instance(name, one.address, one.port) for one in record.endpoints))
        # A delta forgets in time; here, before it gets long.
        del self.eureka.deltas[:-50]
        return published(name, *(one.address for one in record.endpoints))

    def remove(self, key):
        self.eureka.set(key)

    def garble(self, key):
        self.eureka.set(key, instance(key, "not an address"))

    def break_(self):
        self.proxy.break_()

    def truncate(self):
        self.proxy.truncate(300)

    def silence(self):
        self.proxy.silence()

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def refuse_credentials(self):
        self.eureka.credentials = "me:other"

    def heal(self):
        self.eureka.credentials = "me:good"
        self.proxy.heal()

    def wipe(self):
        self.eureka.wipe()

    def attempts(self):
        return self.proxy.connections


class Conformance(RegistryConformance):
    __test__ = False

    kind = meshregistry_eureka.meshregistry_register_registries()
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
    changes = 1000
    promptness = 0.5
    outage = 0.8
    settle = 0.2
    disable_delta = False

    @pytest.fixture
    def backend(self):
        """A double for each test."""
        return Backend()

    def config(self, backend):
        """Impatient settings, so that tests take seconds."""
        return meshregistry_eureka.EurekaConfig(
            eureka_server=Secret(f"http://me:good@{backend.proxy.address}/eureka"),
            registry_fetch_interval=0.01,
            disable_delta=self.disable_delta,
            timeout=1.5,
        )


class TestDeltas(Conformance):
    """Everything once, then deltas."""

    __test__ = True


class TestFull(Conformance):
    """Always everything."""

    __test__ = True

    disable_delta = True
