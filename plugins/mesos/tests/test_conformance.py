"""The rules for adapters, on a Mesos master and a Marathon that live in the test."""

from __future__ import annotations

import fake_marathon
import fake_mesos
import pytest

import meshregistry_mesos
from meshregistry.spi import Secret
from meshregistry.testing import RegistryConformance, TcpProxy


class MesosBackend:
    """The double behind a proxy that breaks, slows and silences it."""

    async def __aenter__(self):
        self.master = await fake_mesos.FakeMaster(heartbeat=0.4).__aenter__()
        self.proxy = await TcpProxy("127.0.0.1", self.master.port).__aenter__()
        self.master.password = "mesh:good"
        return self

    async def __aexit__(self, *exc_info):
        await self.proxy.__aexit__(*exc_info)
        await self.master.__aexit__(*exc_info)

    def put(self, record):
        """Tasks that are needed first, so that the service is never without one."""
        name = str(record.service.host)
        addresses = [one.address for one in record.endpoints]
        self._set(
            name,
            {f"{name}.{one}": fake_mesos.task(f"{name}.{one}", name, ip=one) for one in addresses},
        )
        return fake_mesos.published(name, *addresses)

    def remove(self, key):
        self._set(key.removeprefix("marathon/"), {})

    def garble(self, key):
        name = key.removeprefix("marathon/")
        self._set(
            name, {f"{name}.bad": fake_mesos.task(f"{name}.bad", name, ports=[(70_000, "http")])}
        )

    def _set(self, name, tasks):
        had = [id_ for id_, one in self.master.tasks.items() if one["name"] == name]
        self.master.add(*(one for id_, one in tasks.items() if id_ not in had))
        self.master.kill(*(id_ for id_ in had if id_ not in tasks))

    def break_(self):
        self.proxy.break_()

    def truncate(self):
        self.proxy.truncate(300)

    def silence(self):
        self.proxy.silence()

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def refuse_credentials(self):
        self.master.password = "mesh:other"
        self.master.close_streams()

    def heal(self):
        self.master.password = "mesh:good"
        self.proxy.heal()

    def wipe(self):
        # What comes back at the same address is the agent, without what it knew.
        self.master.fail_over(agents=[fake_mesos.agent("S1")])

    def attempts(self):
        return self.proxy.connections


class TestMesosOnADouble(RegistryConformance):
    """The kind `mesos`; integration/test_mesos.py has the same on a real master."""

    kind = meshregistry_mesos.meshregistry_register_registries()[0]
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
    promptness = 0.5
    outage = 0.8
    settle = 0.2

    @pytest.fixture
    def backend(self):
        """A double for each test."""
        return MesosBackend()

    def config(self, backend):
        """Impatient settings, so that tests take seconds."""
        return meshregistry_mesos.MesosConfig(
            masters=(f"http://{backend.proxy.address}",),
            username="mesh",
            password=Secret("good"),
            heartbeats=2,
            timeout=1.5,
        )


class MarathonBackend:
    """The double behind a proxy that breaks, slows and silences it."""

    async def __aenter__(self):
        self.marathon = await fake_marathon.FakeMarathon().__aenter__()
        self.proxy = await TcpProxy("127.0.0.1", self.marathon.port).__aenter__()
        self.marathon.password = "mesh:good"
        return self

    async def __aexit__(self, *exc_info):
        await self.proxy.__aexit__(*exc_info)
        await self.marathon.__aexit__(*exc_info)

    def put(self, record):
        id_ = f"/{record.service.host}"
        addresses = [one.address for one in record.endpoints]
        self.marathon.set(
            fake_marathon.app(
                id_, *(fake_marathon.task(f"{id_}.{one}", ip=one) for one in addresses)
            )
        )
        return fake_marathon.published(id_, *addresses)

    def remove(self, key):
        self.marathon.remove(key)

    def garble(self, key):
        self.marathon.set(fake_marathon.app(key, fake_marathon.task("bad", ip="not an address")))

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


class TestMarathonOnADouble(RegistryConformance):
    """The kind `marathon`, for which there is nothing else: no Marathon can be had.

    What the double takes from the documentation is what the adapter was written after, too.
    """

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
        return MarathonBackend()

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
