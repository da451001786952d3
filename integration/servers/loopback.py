"""Kubernetes for real proxies on this machine: its pods are backends on loopback addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from meshregistry import Pilot
from meshregistry.model import ServiceRecord
from meshregistry.spi import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.spi import Registry, RegistryContext, RegistryKind, Sink

# No pod can have a loopback address: the API server refuses it.
POD = "10.244.0.1"


def loopback_of(pod: str) -> str:
    """Where the backend of a pod with this address really listens; others stay as they are."""
    return pod.replace("10.244.0.", "127.0.0.", 1) if pod.startswith("10.244.0.") else pod


class _OnLoopback:
    """A sink that says a loopback address for a pod's, where its backend really listens."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def replace(self, records: Iterable[ServiceRecord], **more: Any) -> None:
        self._sink.replace([_on_loopback(record) for record in records], **more)

    def upsert(self, record: ServiceRecord) -> None:
        self._sink.upsert(_on_loopback(record))

    def part(self, name: str) -> _OnLoopback:
        return _OnLoopback(self._sink.part(name))


def _on_loopback(record: ServiceRecord) -> ServiceRecord:
    endpoints = [evolve(one, address=loopback_of(one.address)) for one in record.endpoints]
    return ServiceRecord(record.service, endpoints, key=record.key)


class _Run:
    """The real adapter, with such a sink."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def run(self, sink: Sink) -> None:
        await self._registry.run(_OnLoopback(sink))


def on_loopback(real: RegistryKind, name: str) -> RegistryKind:
    """The real kind by another name, with loopback addresses for those of pods."""

    def open_registry(config: Any, context: RegistryContext) -> _Run:
        return _Run(real.open(config, context))

    return evolve(real, name=name, open=open_registry)


class LoopbackKubernetes:
    """A plugin: the kind ``kubernetes`` for a cluster whose pods are backends on this machine.

    The kind is called ``kubernetes-on-loopback``; a pod at 10.244.0.N is the backend that
    listens at 127.0.0.N.
    """

    def __init__(self) -> None:
        (self.real,) = (one for one in Pilot.discover().kinds() if one.name == "kubernetes")

    @hookimpl
    def meshregistry_register_registries(self) -> RegistryKind:
        """The real kind, under a name of its own."""
        return on_loopback(self.real, "kubernetes-on-loopback")
