"""Routing documents in a real Consul, a real etcd and a real Kubernetes, followed by a pilot."""

from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest
import yaml

from meshregistry import Pilot, Settings
from meshregistry.aggregate import SystemClock
from meshregistry.errors import RegistryProtocolError
from meshregistry.pilot import decision_writer
from meshregistry.rules import RULE_KINDS, DrainPhase
from meshregistry.spi import Condition, OutgoingDocument
from servers.consul import Consul, find_consul
from servers.etcd import Etcd, install_etcd
from servers.kubernetes import Kubernetes, missing_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

for plugin in ("consul", "etcd", "kubernetes"):
    pytest.importorskip(
        f"meshregistry_{plugin}",
        reason=f"the plugin is not installed: pip install ./plugins/{plugin}",
    )

from meshregistry_kubernetes.definitions import KINDS, definitions  # noqa: E402 - after the check

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: shop}}
spec: {{host: {host}}}
"""


class Store(Protocol):
    """A backend with rules in it, which can be killed and comes back with its data."""

    settings: dict[str, Any]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def put(self, name: str, text: str) -> None: ...

    async def delete(self, name: str) -> None: ...

    async def kill(self) -> None: ...

    async def restart(self) -> None: ...


class ConsulStore:
    """Keys under a prefix of Consul."""

    def __init__(self, folder: Path) -> None:
        binary = find_consul()
        if binary is None:
            pytest.skip("there is no Consul: `make servers` builds it")
        self._server = Consul(binary, folder)
        self.settings = {
            "sources": [{"id": "dc1", "kind": "consul", "address": self._server.address}],
            "rules": [{"kind": "consul", "source": "dc1", "prefix": "mesh/rules/"}],
        }

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def put(self, name: str, text: str) -> None:
        value = base64.b64encode(text.encode()).decode()
        operation = {"KV": {"Verb": "set", "Key": f"mesh/rules/{name}", "Value": value}}
        await self._server.put("/v1/txn", [operation])

    async def delete(self, name: str) -> None:
        await self._server.delete(f"/v1/kv/mesh/rules/{name}")

    async def kill(self) -> None:
        await self._server.stop(9)

    async def restart(self) -> None:
        await self._server.start()


class EtcdStore:
    """Keys under a prefix of etcd, by the options of the rule source itself."""

    def __init__(self, folder: Path) -> None:
        try:
            self._server = Etcd(install_etcd(), folder)
        except RuntimeError as error:
            pytest.skip(str(error))
        self.settings = {
            "rules": [
                {"kind": "etcd", "endpoints": [self._server.endpoint], "prefix": "/mesh/rules"}
            ],
        }
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def _ask(self, method: str, request: Any) -> None:
        from meshregistry_etcd import EtcdConfig  # noqa: PLC0415 - after the check that it is there
        from meshregistry_etcd._client import EtcdClient  # noqa: PLC0415 - the same

        config = EtcdConfig(endpoints=(self._server.endpoint,))
        async with EtcdClient(
            config, clock=SystemClock(), random=Random(1), user_agent="test"
        ) as client:
            await client.ask(method, request)

    async def put(self, name: str, text: str) -> None:
        from meshregistry_etcd._messages import rpc  # noqa: PLC0415 - the same

        key = f"/mesh/rules/{name}".encode()
        await self._ask("KV.Put", rpc.PutRequest(key=key, value=text.encode()))

    async def delete(self, name: str) -> None:
        from meshregistry_etcd._messages import rpc  # noqa: PLC0415 - the same

        await self._ask(
            "KV.DeleteRange", rpc.DeleteRangeRequest(key=f"/mesh/rules/{name}".encode())
        )

    async def kill(self) -> None:
        await self._server.kill()

    async def restart(self) -> None:
        await self._server.start()


class KubernetesStore:
    """Custom resources of a cluster."""

    def __init__(self, folder: Path) -> None:
        absent = missing_program()
        if absent is not None:
            pytest.skip(f"there is no {absent}: `make servers` builds it")
        self.server = Kubernetes(folder)
        self.settings: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        try:
            await self.server.call("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
            await self.define("DestinationRule", "destinationrules")
        except BaseException:
            await self.server.__aexit__()
            raise
        self.settings = {
            "sources": [
                {"id": "k8s", "kind": "kubernetes", "kubeconfig": str(self.server.kubeconfig())}
                | {"retry_max": "1s"}
            ],
            "rules": [{"kind": "kubernetes", "source": "k8s", "discovery_interval": "200ms"}],
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.__aexit__()

    async def define(self, kind: str, plural: str) -> None:
        """Install a definition of custom resources without a schema."""
        group = "networking.istio.io"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True}
        document = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind},
                "versions": [version | {"schema": {"openAPIV3Schema": schema}}],
            },
        }
        await self.install(document)

    async def install(self, document: dict[str, Any]) -> None:
        """Install a definition, and wait until the server serves it."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await self.server.call("POST", path, document)
        async with asyncio.timeout(20):
            while True:
                found = await self.server.call("GET", f"{path}/{document['metadata']['name']}")
                conditions = (found.get("status") or {}).get("conditions") or []
                if any(
                    one["type"] == "Established" and one["status"] == "True" for one in conditions
                ):
                    return
                await asyncio.sleep(0.05)

    async def put(self, name: str, text: str) -> None:
        document = yaml.safe_load(text)
        plural = f"{document['kind'].lower()}s"
        path = f"/apis/networking.istio.io/v1/namespaces/shop/{plural}"
        own = document["metadata"]["name"]
        self._names[name] = f"{path}/{own}"
        try:
            await self.server.call("POST", path, document)
        except RuntimeError as error:
            if "409" not in str(error):
                raise
            change = {"spec": document["spec"]}
            await self.server.call("PATCH", f"{path}/{own}", change, patch="merge-patch+json")

    async def delete(self, name: str) -> None:
        await self.server.call("DELETE", self._names.pop(name))

    async def kill(self) -> None:
        await self.server.kill()

    async def restart(self) -> None:
        await self.server.start_server()


async def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


def hosts(pilot: Pilot) -> dict[str, str]:
    """The rules in force: the host of each."""
    return {policy.name: str(policy.host) for policy in pilot.rules.policies}


@pytest.mark.parametrize("make", [ConsulStore, EtcdStore, KubernetesStore])
def test_rules_are_followed(run_async, tmp_path: Path, make: Callable[[Path], Store]):
    """From before the start; new, changed, broken and deleted ones; through the end of the server."""

    async def main() -> None:
        async with make(tmp_path) as store:
            await store.put("one", RULE.format(name="one", host="a.example"))
            settings = Settings.from_dict(store.settings)
            async with Pilot(settings, serve=False) as pilot:
                await pilot.synced(30)
                assert hosts(pilot) == {"one": "a.example"}
                await store.put("two", RULE.format(name="two", host="b.example"))
                await until(lambda: hosts(pilot) == {"one": "a.example", "two": "b.example"})
                await store.put("two", RULE.format(name="two", host="c.example"))
                await until(lambda: hosts(pilot)["two"] == "c.example")
                await store.put("two", RULE.format(name="two", host="''"))
                await until(lambda: pilot.rule_sources()[0].errors)
                (error,) = pilot.rule_sources()[0].errors
                assert (error.field, "two" in (error.file or "")) == ("spec.host", True)
                assert hosts(pilot)["two"] == "c.example"
                await store.kill()
                await until(lambda: pilot.rule_sources()[0].condition is Condition.STALE)
                assert hosts(pilot) == {"one": "a.example", "two": "c.example"}
                await store.restart()
                await until(lambda: pilot.rule_sources()[0].condition is Condition.SYNCED)
                assert hosts(pilot) == {"one": "a.example", "two": "c.example"}
                await store.delete("two")
                await until(lambda: hosts(pilot) == {"one": "a.example"})

    run_async(main(), timeout=120)


def test_a_definition_that_comes_later_is_followed(run_async, tmp_path: Path):
    """Without a restart; a cluster without any definition is synced, too."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(KubernetesStore(tmp_path))
            settings = Settings.from_dict(store.settings)
            async with Pilot(settings, serve=False) as pilot:
                await pilot.synced(30)
                assert not pilot.rules
                await store.define("Gateway", "gateways")
                servers = "[{port: {number: 80, protocol: HTTP}, hosts: ['*']}]"
                await store.put(
                    "edge",
                    "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
                    f"metadata: {{name: edge, namespace: shop}}\nspec: {{servers: {servers}}}\n",
                )
                await until(lambda: [one.name for one in pilot.rules.gateways] == ["edge"])
                (gateway,) = pilot.rules.gateways
                assert gateway.created > 0

    run_async(main(), timeout=120)


def drain(phase: str = "DRAINING", **more: Any) -> OutgoingDocument:
    """A decision."""
    spec = {"host": "a.b", "address": "10.0.0.1", "port": 80, "phase": phase, **more}
    return OutgoingDocument(
        group="meshregistry.dev", version="v1", kind="Drain", name="a.b-10.0.0.1-80", spec=spec
    )


@pytest.mark.parametrize("make", [ConsulStore, EtcdStore, KubernetesStore])
def test_decisions_are_written(run_async, tmp_path: Path, make: Callable[[Path], Store]):
    """By one program and read by another; a new version is the whole of it; taken away once."""

    async def main() -> None:
        async with make(tmp_path) as store:
            settings = Settings.from_dict(store.settings)
            async with AsyncExitStack() as stack:
                source, writer = await stack.enter_async_context(decision_writer(settings))
                if isinstance(store, KubernetesStore):
                    with pytest.raises(RegistryProtocolError, match="does not know Drain"):
                        await writer.put(drain())
                    for one in definitions()["items"]:
                        await store.install(one)
                pilot = await stack.enter_async_context(Pilot(settings, serve=False))
                await pilot.synced(30)
                await writer.put(drain(reason="new disk"))
                await until(lambda: pilot.decisions.drains)
                (found,) = pilot.decisions.drains
                assert (found.phase, found.reason) == (DrainPhase.DRAINING, "new disk")
                await writer.put(drain("REMOVED"))
                await until(lambda: pilot.decisions.drains[0].phase is DrainPhase.REMOVED)
                assert pilot.decisions.drains[0].reason == ""
                (status,) = pilot.rule_sources()
                assert (status.id, status.errors, status.warnings) == (source, (), ())
                assert await writer.delete(drain())
                assert not await writer.delete(drain())
                await until(lambda: not pilot.decisions)

    run_async(main(), timeout=120)


def test_every_kind_of_ours_has_a_definition():
    """Else its decisions could not be written into a cluster."""
    ours = {one.kind for one in RULE_KINDS if one.group == "meshregistry.dev"}
    assert set(KINDS) == ours
    listed = definitions()["items"]
    assert [one["metadata"]["name"] for one in listed] == [
        f"{plural}.meshregistry.dev" for plural in KINDS.values()
    ]
