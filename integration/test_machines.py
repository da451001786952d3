"""Machines: probed from outside, through a real Envoy."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meshregistry import Pilot, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import ProxyRole
from servers.backends import Backend, Traffic, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
ADDRESSES = ("127.0.0.1", "127.0.0.2")
DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews, namespace: shop}}
spec:
  hosts: [reviews.shop.svc.mesh.local]
  ports: [{{number: {called}, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{app: reviews}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {{name: reviews, namespace: shop}}
spec:
  metadata: {{labels: {{app: reviews}}}}
  template: {{ports: {{http: {port}}}}}
  probe: {{httpGet: {{port: {probed}, path: /healthz}}, periodSeconds: 1, failureThreshold: 2}}
"""
MEMBER = """
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: vm-{address}
  namespace: shop
  annotations: {{istio.io/autoRegistrationGroup: reviews}}
spec: {{address: {address}}}
"""


class Checked(Backend):
    """What a machine answers to a probe: its health, which the test sets."""

    is_well = True

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.path == "/healthz"
        return web.Response(status=200 if self.is_well else 503)


def port_of_both() -> int:
    """A port that is free at every address."""
    while True:
        port = free_port()
        try:
            for address in ADDRESSES:
                with socket.socket() as one:
                    one.bind((address, port))
        except OSError:
            continue
        return port


def test_a_probe_takes_a_machine_out_and_brings_it_back(
    run_async, envoy: MakeEnvoy, tmp_path: Path
):
    """While requests flow and none fails."""

    async def main() -> None:
        called, port, probed = free_port(), port_of_both(), port_of_both()
        text = DOCUMENTS.format(called=called, port=port, probed=probed)
        path = tmp_path / "machines.yaml"
        path.write_text(text + "".join(MEMBER.format(address=one) for one in ADDRESSES))
        settings = Settings.from_dict(
            {
                "sources": [{"id": "machines", "kind": "file", "path": str(path)}],
                "server": {"xds": "127.0.0.1:0"},
            }
        )
        async with AsyncExitStack() as stack:
            for address in ADDRESSES:
                await stack.enter_async_context(Backend(address, address=address, port=port))
            checked = [
                await stack.enter_async_context(Checked("", address=address, port=probed))
                for address in ADDRESSES
            ]
            pilot = await stack.enter_async_context(Pilot(settings))
            node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
            document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
            await stack.enter_async_context(envoy(document))
            url = f"http://127.0.0.1:{called}/"
            await first_answer(url, host="reviews")
            traffic = await stack.enter_async_context(Traffic(url, host="reviews"))
            await traffic.only(*ADDRESSES)
            checked[1].is_well = False
            await traffic.only(ADDRESSES[0])
            checked[1].is_well = True
            await traffic.only(*ADDRESSES)
            assert [] == traffic.failures

    run_async(main())
