"""Routing documents that are custom resources: one list-watch for each kind that is installed.

What is installed is asked for again from time to time, so that a definition which comes
later is followed without a restart (API concepts of Kubernetes, API discovery).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from attrs import define, field

from meshregistry.spi import RuleUnit
from meshregistry_kubernetes._client import ClusterClient
from meshregistry_kubernetes._collection import Collection, in_namespaces
from meshregistry_kubernetes._keeping import key_of, uid_of
from meshregistry_kubernetes._listwatch import Follower
from meshregistry_kubernetes._progress import Progress
from meshregistry_kubernetes._status import NOT_FOUND, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.errors import RegistryUnavailable
    from meshregistry.spi import RuleContext, RuleName, RuleSink
    from meshregistry_kubernetes._config import KubernetesConfig, KubernetesRulesConfig
    from meshregistry_kubernetes._listwatch import Transport

_KEPT = {"name", "namespace", "uid", "creationTimestamp", "labels", "annotations"}


class KubernetesRules:
    """Follows the custom resources of one cluster (`spi.RuleSource`).

    Args:
        config: what the user wrote for the rules.
        context: of the rule source; its registry's configuration says where the cluster is.
    """

    def __init__(self, config: KubernetesRulesConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._registry: KubernetesConfig = context.registry_config

    async def run(self, sink: RuleSink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: of the kind that says how to retry.
        """
        namespaces = self._registry.namespaces
        connections = 4 + 2 * len(self._context.rule_names) * max(1, len(namespaces))
        documents = _Documents(sink)
        async with (
            ClusterClient(self._registry, self._context, connections=connections) as client,
            asyncio.TaskGroup() as tasks,
        ):
            followed: set[tuple[str, str]] = set()
            while True:
                fresh = [
                    (collection, name)
                    for collection, name in await self._installed(client)
                    if (collection.group, collection.resource) not in followed
                ]
                for collection, name in fresh:
                    followed.add((collection.group, collection.resource))
                    for one in in_namespaces(collection, namespaces):
                        documents.expect(one)
                        tasks.create_task(self._follower(one, name, client, documents).run())
                documents.publish()
                await self._context.clock.sleep(self._config.discovery_interval)

    def _follower(
        self, collection: Collection, name: RuleName, client: ClusterClient, documents: _Documents
    ) -> Follower:
        progress = Progress(
            random=self._context.random,
            page_size=self._registry.page_size,
            watch_timeout=self._registry.watch_timeout,
            retry_max=self._registry.retry_max,
        )
        view = _View(documents, collection, name.kind)
        return Follower(collection, progress, client, view, self._context.clock)

    async def _installed(self, client: Transport) -> list[tuple[Collection, RuleName]]:
        """The kinds that the server knows, each in the first version of ours that it serves."""
        outside = ",".join(
            f"metadata.namespace!={one}" for one in self._registry.exclude_namespaces
        )
        resources: dict[tuple[str, str], dict[str, str]] = {}
        found = []
        for name in self._context.rule_names:
            for version in name.versions:
                place = (name.group, version)
                if place not in resources:
                    resources[place] = await resources_of(client, *place)
                plural = resources[place].get(name.kind)
                if plural:
                    collection = Collection(
                        resource=plural, group=name.group, version=version, field_selector=outside
                    )
                    found.append((collection, name))
                    break
        return found


async def resources_of(client: Transport, group: str, version: str) -> dict[str, str]:
    """The plural of each kind of a version of an API group; empty if the server lacks it."""
    place = Collection(resource="", group=group, version=version)
    try:
        document = await client.list(place, {})
    except Refused as refused:
        if refused.status.code == NOT_FOUND:
            return {}
        raise refused.status.error(place, "list") from None
    listed = document.get("resources") if isinstance(document, dict) else None
    return {
        str(one.get("kind")): str(one.get("name"))
        for one in listed or ()
        if isinstance(one, dict) and "/" not in str(one.get("name"))
    }


class _Documents:
    """What all collections hold, and what the sink has been told of it."""

    def __init__(self, sink: RuleSink) -> None:
        self._sink = sink
        self._units: dict[Collection, dict[str, RuleUnit]] = {}
        self._unlisted: set[Collection] = set()
        self._broken: set[Collection] = set()
        self._is_told = False

    def expect(self, collection: Collection) -> None:
        """Wait for a collection before anything is told; a later one adds to what is known."""
        if not self._is_told:
            self._unlisted.add(collection)

    def publish(self) -> None:
        """Tell everything, once every collection has been listed."""
        if not self._is_told and not self._unlisted:
            self._is_told = True
            self._sink.replace(self._every())

    def _every(self) -> Iterator[RuleUnit]:
        for units in self._units.values():
            yield from units.values()

    def listed(self, collection: Collection, units: dict[str, RuleUnit]) -> None:
        """Take a collection as a whole."""
        former = self._units.get(collection, {})
        self._units[collection] = units
        self._unlisted.discard(collection)
        if not self._is_told:
            self.publish()
            return
        for name in former.keys() - units.keys():
            self._sink.remove(name)
        for unit in units.values():
            self._sink.put(unit)

    def changed(self, collection: Collection, unit: RuleUnit) -> None:
        """Take one object."""
        self._units.setdefault(collection, {})[unit.name] = unit
        if self._is_told:
            self._sink.put(unit)

    def removed(self, collection: Collection, name: str) -> None:
        """One object is gone."""
        self._units.get(collection, {}).pop(name, None)
        if self._is_told:
            self._sink.remove(name)

    def alive(self, collection: Collection) -> None:
        """A collection is being followed; once all are, what is held is current."""
        self._broken.discard(collection)
        if self._is_told and not self._broken:
            self._sink.confirm()

    def broken(self, collection: Collection, error: RegistryUnavailable) -> None:
        """A collection has no answer.

        Raises:
            RegistryUnavailable: before anything has been told.
        """
        if not self._is_told:
            raise error
        self._broken.add(collection)
        self._sink.degrade(error)


@define
class _View:
    """What one collection shows of the cluster; an `Observer` of the list-watch."""

    documents: _Documents
    collection: Collection
    kind: str
    _uids: dict[str, str] = field(factory=dict, init=False)

    def listed(self, objects: list[Any]) -> None:
        self._uids.clear()
        units = (self._unit(one) for one in objects)
        self.documents.listed(self.collection, {unit.name: unit for unit in units})

    def changed(self, document: Any) -> None:
        self.documents.changed(self.collection, self._unit(document))

    def removed(self, document: Any) -> None:
        name = self._name(document)
        self._uids.pop(name, None)
        self.documents.removed(self.collection, name)

    def keep(self, document: Any) -> Any:
        """Without what servers and controllers write; items of a listing lack their kind."""
        collection = self.collection
        metadata = {
            key: value for key, value in document.get("metadata", {}).items() if key in _KEPT
        }
        others = {key: value for key, value in document.items() if key != "status"}
        version = f"{collection.group}/{collection.version}"
        return {**others, "apiVersion": version, "kind": self.kind, "metadata": metadata}

    def is_held(self, document: Any | None) -> bool:
        if document is None:
            return not self._uids
        return self._uids.get(self._name(document)) == uid_of(document)

    def alive(self) -> None:
        self.documents.alive(self.collection)

    def broken(self, error: RegistryUnavailable) -> None:
        self.documents.broken(self.collection, error)

    def _unit(self, document: Any) -> RuleUnit:
        name = self._name(document)
        self._uids[name] = uid_of(document)
        return RuleUnit.of_object(name, self.keep(document))

    def _name(self, document: Any) -> str:
        namespace, name = key_of(document)
        # Two groups may call different resources by one plural, such as gateways.
        resource = f"{self.collection.resource}.{self.collection.group}"
        return f"kubernetes:{resource}/{namespace}/{name}"
