"""The rules for adapters on a Marathon that lives in the test.

There is no Marathon to be had to run them on; what the double takes from the documentation is
what the adapter was written after, too.
"""

from __future__ import annotations

import pytest
from fake_marathon import FakeMarathon, app, published, task

import meshregistry_mesos
from meshregistry.spi import Secret
from meshregistry.testing import RegistryConformance, TcpProxy


class Backend:
    """The double behind a proxy that breaks, slows and silences it."""

    async def __aenter__(self):
        self.marathon = await FakeMarathon().__aenter__()
        self.proxy = await TcpProxy("127.0.0.1", self.marathon.port).__aenter__()
        self.marathon.password = "mesh:good"
        return self

    async def __aexit__(self, *exc_info):
        await self.proxy.__aexit__(*exc_info)
        await self.marathon.__aexit__(*exc_info)

    def put(self, record):
        id_ = f"/{record.service.host}"
        addresses = [one.address for one in record.endpoints]
        self.marathon.set(app(id_, *(task(f"{id_}.{one}", ip=one) for one in addresses)))
        return published(id_, *addresses)

    def remove(self, key):
        self.marathon.remove(key)

    def garble(self, key):
        self.marathon.set(app(key, task("bad", ip="not an address")))

    def break_(self):
        self.proxy.break_()

    def truncate(self):
        self.proxy.truncate(300)

    def silence(self):
        self.proxy.silence()

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def refuse_credentials(self):
        self.marathon.password = "mesh:other"
        self.marathon.close_streams()

    def heal(self):
        self.marathon.password = "mesh:good"
        self.proxy.heal()

    def wipe(self):
        self.marathon.apps.clear()
        self.marathon.close_streams()

    def attempts(self):
        return self.proxy.connections


class TestMarathonDouble(RegistryConformance):
    """The kind `marathon`, on a double."""

    kind = meshregistry_mesos.meshregistry_register_registries()[1]
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

    @pytest.fixture
    def backend(self):
        """A double for each test."""
        return Backend()

    def config(self, backend):
        """Impatient settings, so that tests take seconds."""
        return meshregistry_mesos.MarathonConfig(
            masters=(f"http://{backend.proxy.address}",),
            username="mesh",
            password=Secret("good"),
            debounce=0.01,
            silence=1.5,
            timeout=1.5,
        )
