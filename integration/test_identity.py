"""One service that three registries call differently, through a real Envoy."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Health, Port, Protocol, ProxyRole, Service
from servers.backends import Backend, Traffic, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.cluster.local"
HOSTS = {
    "k8s": f"reviews.{DOMAIN}",
    "consul": "reviews.service.consul",
    "eureka": "reviews",
}
SETTINGS = {
    "sources": [
        {"id": "k8s", "kind": "memory", "namespace": "shop"},
        {"id": "consul", "kind": "memory"},
        {"id": "eureka", "kind": "memory"},
    ],
    "identity": {
        "templates": [
            {
                "pattern": "{name}.service.consul",
                "host": f"{{name}}.{DOMAIN}",
                "namespace": "shop",
                "sources": ["consul"],
            }
        ],
        "aliases": {f"shop/{HOSTS['k8s']}": ["eureka/REVIEWS"]},
    },
    "mesh": {"domain": "cluster.local"},
    "server": {"xds": "127.0.0.1:0"},
}


def test_every_name_leads_to_the_endpoints_of_all(run_async, envoy: MakeEnvoy):
    """Also when the registry that knows the name has none left; no request fails."""

    async def main() -> None:
        port = free_port()
        async with AsyncExitStack() as stack:
            pilot = await stack.enter_async_context(Pilot(Settings.from_dict(SETTINGS)))
            backends = {name: await stack.enter_async_context(Backend(name)) for name in HOSTS}

            def say(source: str, health: Health = Health.HEALTHY) -> None:
                service = Service(HOSTS[source], ports=[Port("http", port, Protocol.HTTP)])
                endpoint = Endpoint(address="127.0.0.1", port=backends[source].port, health=health)
                pilot.memory(source).upsert(ServiceRecord(service, [endpoint]))

            for source in HOSTS:
                say(source)
            await pilot.published()
            node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
            await stack.enter_async_context(
                envoy(bootstrap(node=node, cluster="web", xds=pilot.xds_address))
            )
            url = f"http://127.0.0.1:{port}/"
            callers = []
            for host in HOSTS.values():
                await first_answer(url, host=host)
                callers.append(await stack.enter_async_context(Traffic(url, host=host)))
            for caller in callers:
                await caller.only(*HOSTS)
            for source in HOSTS:
                say(source, Health.UNHEALTHY)
                for caller in callers:
                    await caller.only(*(set(HOSTS) - {source}))
                say(source)
            for caller in callers:
                await caller.only(*HOSTS)
                assert caller.failures == []
            assert pilot.resources_document(node)["faults"] == []

    run_async(main(), timeout=100)
