"""The rules for adapters: gorouter's feed on a real NATS, the Cloud Controller on a double."""

from __future__ import annotations

import signal
import sys
from contextlib import AsyncExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Self

import pytest

import meshregistry_cloudfoundry
from meshregistry.model import Endpoint, Locality, Port, Protocol, RecordKey, Service, ServiceRecord
from meshregistry.spi import Secret
from meshregistry.testing import RegistryConformance, TcpProxy
from servers.nats import Nats, RouteEmitter, registration

DOUBLE = Path(__file__).parents[1] / "plugins" / "cloudfoundry" / "tests" / "test_conformance.py"
GOROUTER, _ = meshregistry_cloudfoundry.meshregistry_register_registries()


class RealBackend:
    """A real NATS behind a proxy, and an emitter that goes on whatever happens to the proxy."""

    def __init__(self, folder: Path, data: Path) -> None:
        self._server = Nats(folder, data, user="mesh", password="good")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        server = await self._stack.enter_async_context(self._server)
        self._emitter = await self._stack.enter_async_context(RouteEmitter(server, interval=0.1))
        self.proxy = await self._stack.enter_async_context(TcpProxy("127.0.0.1", server.port))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def put(self, record: ServiceRecord) -> ServiceRecord:
        host = str(record.service.host)
        addresses = [one.address for one in record.endpoints]
        await self._emitter.set(host, *(registration(host, one) for one in addresses))
        endpoints = [
            Endpoint(
                address=one,
                port=8080,
                locality=Locality("", "z1"),
                labels={
                    "app": "app-1",
                    "component": "route-emitter",
                    "private_instance_id": f"instance-{one}-8080",
                    "private_instance_index": "0",
                    "server_cert_domain_san": f"instance-{one}-8080",
                    "tls": "true",
                },
            )
            for one in addresses
        ]
        service = Service(host, ports=[Port("http", 80, Protocol.HTTP)])
        return ServiceRecord(service, endpoints, key=RecordKey(host))

    async def remove(self, key: str) -> None:
        await self._emitter.set(key)

    def garble(self, key: str) -> None:
        self._emitter.garble(key, registration(key, "not an address"))

    def break_(self) -> None:
        self.proxy.break_()

    def truncate(self) -> None:
        self.proxy.truncate(200)

    def silence(self) -> None:
        self.proxy.silence()

    def slow(self, seconds: float) -> None:
        self.proxy.slow(seconds)

    async def refuse_credentials(self) -> None:
        self._server.password = "other"
        await self._server.reload()

    async def heal(self) -> None:
        self.proxy.heal()
        if self._server.password != "good":
            self._server.password = "good"
            await self._server.reload()

    async def wipe(self) -> None:
        self._emitter.forget()
        await self._server.stop(signal.SIGKILL)
        await self._server.start()
        await self._emitter.connected()

    def attempts(self) -> int:
        return self.proxy.connections


class TestConformanceGorouter(RegistryConformance):
    """The rules for adapters on the real server."""

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
    latency = 10.0
    changes = 2000
    outage = 2.5  # longer than a registration counts

    @pytest.fixture
    def backend(self, nats_folder: Path, tmp_path: Path) -> RealBackend:
        """A server for each test."""
        return RealBackend(nats_folder, tmp_path)

    def config(self, backend: RealBackend) -> meshregistry_cloudfoundry.GorouterConfig:
        """Impatient settings, so that tests take seconds."""
        return meshregistry_cloudfoundry.GorouterConfig(
            servers=(f"nats://{backend.proxy.address}",),
            user="mesh",
            password=Secret("good"),
            connect_timeout=2.0,
            ping_interval=0.5,
            register_interval=0.2,
            stale_threshold=2.0,
            sweep=0.1,
        )


def _rules_on_the_double() -> type:
    """The test class of the plugin, with its double."""
    spec = spec_from_file_location("cloudfoundry_conformance", DOUBLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.path.append(str(DOUBLE.parent))
    spec.loader.exec_module(module)
    found: type = module.TestCapiOnADouble
    return found


class TestConformanceCapiOnADouble(_rules_on_the_double()):  # type: ignore[misc]
    """The same rules for `capi`, for which no real server can be had."""

    def test_on_a_real_server(self) -> None:
        """Skipped, so that every run says what has not been proved."""
        pytest.skip(
            "capi: the Cloud Controller cannot be had as a server; the kit has run on the double "
            "plugins/cloudfoundry/tests/fake_capi.py instead"
        )
