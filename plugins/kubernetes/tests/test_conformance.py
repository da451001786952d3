"""The rules for adapters, on the API server that lives in the test."""

from __future__ import annotations

import pytest
from fake_api_server import FakeApiServer, endpoint, service, slice_

import meshregistry_kubernetes
from meshregistry.model import ServiceRecord
from meshregistry.testing import RegistryConformance, TcpProxy


class Backend:
    """The double behind a proxy that breaks, slows and silences it."""

    def __init__(self, folder):
        self.folder = folder

    async def __aenter__(self):
        self.server = await FakeApiServer().__aenter__()
        self.proxy = await TcpProxy("127.0.0.1", self.server.port).__aenter__()
        self.server.token = "good"
        self.kubeconfig = self.server.kubeconfig(self.folder / "kubeconfig", port=self.proxy.port)
        return self

    async def __aexit__(self, *exc_info):
        await self.proxy.__aexit__(*exc_info)
        await self.server.__aexit__(*exc_info)

    def put(self, record):
        name = str(record.service.host)
        self.server.put(
            "endpointslices", slice_(name, *(endpoint(e.address) for e in record.endpoints))
        )
        self.server.put("services", service(name))
        return ServiceRecord(
            ServiceRecord.parse(
                f"{name}.default.svc.mesh.local", port=8080, port_name="http", namespace="default"
            ).service,
            record.endpoints,
            key=f"default/{name}",
        )

    def remove(self, key):
        name = key.partition("/")[2]
        self.server.remove("services", name)
        self.server.remove("endpointslices", f"{name}-1")

    def garble(self, key):
        self.server.put("services", service(key.partition("/")[2], ports=[{"port": "many"}]))

    def break_(self):
        self.proxy.break_()

    def truncate(self):
        self.proxy.truncate(300)

    def silence(self):
        self.proxy.silence()

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def refuse_credentials(self):
        self.server.token = "other"
        self.server.close_watches()

    def heal(self):
        self.server.token = "good"
        self.proxy.heal()

    def wipe(self):
        self.server.wipe()

    def attempts(self):
        return self.proxy.connections


class TestConformance(RegistryConformance):
    """Services, slices, pods and nodes through the official client."""

    kind = meshregistry_kubernetes.meshregistry_register_registries()
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
    latency = 15.0  # a silent watch is given up after twice its time
    changes = 6000

    @pytest.fixture
    def backend(self, tmp_path):
        """A double for each test."""
        return Backend(tmp_path)

    def config(self, backend):
        """Impatient settings, so that tests take seconds."""
        return meshregistry_kubernetes.KubernetesConfig(
            kubeconfig=backend.kubeconfig, watch_timeout=5.0, request_timeout=1.2, retry_max=1.0
        )
