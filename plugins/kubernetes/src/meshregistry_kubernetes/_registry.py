"""The run of one source: a list-watch for each collection, one store, one sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.errors import RecordError
from meshregistry_kubernetes._client import ClusterClient
from meshregistry_kubernetes._collection import Collection, in_namespaces
from meshregistry_kubernetes._convert import Conversion
from meshregistry_kubernetes._keeping import KEEPERS, key_of, uid_of
from meshregistry_kubernetes._listwatch import Follower
from meshregistry_kubernetes._objects import SERVICE_NAME
from meshregistry_kubernetes._progress import ListPage, Progress
from meshregistry_kubernetes._status import NOT_FOUND, Refused
from meshregistry_kubernetes._store import Gone, Store

if TYPE_CHECKING:
    from meshregistry.errors import RegistryUnavailable
    from meshregistry.model import ServiceRecord
    from meshregistry.spi import Registry, RegistryContext, Sink
    from meshregistry_kubernetes._config import KubernetesConfig
    from meshregistry_kubernetes._listwatch import Transport

SPACING = 0.02
"""Seconds between two publications: a burst makes one record for each service, not hundreds."""


def collections(config: KubernetesConfig, *, has_slices: bool) -> list[Collection]:
    """What to follow, chosen on the server's side as far as it can choose."""
    outside = ",".join(f"metadata.namespace!={name}" for name in config.exclude_namespaces)
    living = "status.phase!=Succeeded,status.phase!=Failed"
    services = Collection(
        resource="services", label_selector=config.label_selector, field_selector=outside
    )
    if has_slices:
        backends = Collection(
            group="discovery.k8s.io",
            resource="endpointslices",
            label_selector=SERVICE_NAME,
            field_selector=outside,
        )
    else:
        backends = Collection(resource="endpoints", field_selector=outside)
    pods = Collection(
        resource="pods",
        label_selector=config.pod_label_selector,
        field_selector=f"{living},{outside}" if outside else living,
    )
    inside = [services, backends, *([pods] if config.pods else [])]
    found = [one for part in inside for one in in_namespaces(part, config.namespaces)]
    if config.reads_nodes:
        # The addresses of nodes are in their status; without need for them metadata suffices.
        found.append(Collection(resource="nodes", is_metadata=config.addresses == "pods"))
    if config.namespace_selector:
        selected = config.namespace_selector
        found.append(Collection(resource="namespaces", label_selector=selected, is_metadata=True))
    return found


class KubernetesRegistry:
    """Follows one cluster (`spi.Registry`).

    Args:
        config: the options of the source.
        context: of the source.
    """

    def __init__(self, config: KubernetesConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context

    async def run(self, sink: Sink) -> None:
        """Follow the cluster until cancelled.

        Complete means: every collection has been listed. From then on an outage is bridged
        here; before, and for refused credentials, the core starts the run again.

        Raises:
            RegistryError: of the kind that says how to retry.
        """
        connections = 4 + 4 * max(1, len(self._config.namespaces))
        async with ClusterClient(self._config, self._context, connections=connections) as client:
            has_slices = await self._has_slices(client)
            followed = collections(self._config, has_slices=has_slices)
            mirror = _Mirror(self._config, self._context, sink, followed)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(mirror.publish())
                for collection in followed:
                    progress = Progress(
                        random=self._context.random,
                        page_size=self._config.page_size,
                        watch_timeout=self._config.watch_timeout,
                        retry_max=self._config.retry_max,
                    )
                    view = _View(mirror, collection, self._context.count)
                    follower = Follower(collection, progress, client, view, self._context.clock)
                    tasks.create_task(follower.run())

    async def _has_slices(self, transport: Transport) -> bool:
        """Whether the server knows discovery.k8s.io/v1, which came with Kubernetes 1.21."""
        if self._config.endpoints != "auto":
            return self._config.endpoints == "slices"
        name = self._config.namespaces[0] if self._config.namespaces else ""
        slices = Collection(group="discovery.k8s.io", resource="endpointslices", namespace=name)
        try:
            await transport.list(slices, ListPage(1).query)
        except Refused as refused:
            if refused.status.code == NOT_FOUND:
                return False
            raise refused.status.error(slices, "list") from None
        return True


class _Mirror:
    """The store of a run, and what the sink has been told of it."""

    def __init__(
        self,
        config: KubernetesConfig,
        context: RegistryContext,
        sink: Sink,
        followed: list[Collection],
    ) -> None:
        domain = config.cluster_domain or context.mesh_domain
        conversion = Conversion(
            domain=domain,
            trust_domain=config.trust_domain or domain,
            addresses=config.addresses,
            ip_family=config.ip_family,
        )
        self.store = Store(
            conversion,
            pod_wait=config.pod_wait if config.pods else None,
            selects_namespaces=bool(config.namespace_selector),
        )
        self._clock = context.clock
        self._sink = sink
        self._unlisted = set(followed)
        self._broken: set[Collection] = set()
        self._is_told = False
        self._is_confirming = False
        self._news = asyncio.Event()

    # --- What the followers say -----------------------------------------------------

    def listed(self, collection: Collection) -> None:
        """A collection is complete."""
        self._unlisted.discard(collection)
        self.alive(collection)

    def alive(self, collection: Collection) -> None:
        """A collection is being followed; once all are, what is held is current."""
        self._broken.discard(collection)
        self._is_confirming = not self._broken
        self._news.set()

    def broken(self, collection: Collection, error: RegistryUnavailable) -> None:
        """A collection has no answer.

        Raises:
            RegistryUnavailable: before the first publication.
        """
        if not self._is_told:
            raise error
        self._broken.add(collection)
        self._is_confirming = False
        self._sink.degrade(error)

    def touched(self) -> None:
        """Something in the store may have changed."""
        self._news.set()

    # --- What the sink is told ------------------------------------------------------

    async def publish(self) -> None:
        """Tell the sink, at once and then at most every `SPACING` seconds."""
        while True:
            await self._await_news()
            self._news.clear()
            if self._unlisted:
                continue
            now = self._clock.now()
            if self._is_told:
                self._publish_changes(now)
            else:
                self._publish_all(now)
            if self._is_confirming:
                self._is_confirming = False
                self._sink.confirm()
            await self._clock.sleep(SPACING)

    async def _await_news(self) -> None:
        deadline = self.store.next_deadline
        if deadline is None or self._unlisted:
            await self._news.wait()
            return
        sleep = asyncio.ensure_future(self._clock.sleep(max(0.0, deadline - self._clock.now())))
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({sleep, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            news.cancel()

    def _publish_all(self, now: float) -> None:
        records: list[ServiceRecord] = []
        faulty: list[RecordError] = []
        for outcome in self.store.take_all(now):
            if isinstance(outcome, RecordError):
                faulty.append(outcome)
            elif not isinstance(outcome, Gone):
                records.append(outcome)
        self._sink.replace(records, faulty=faulty)
        self._is_told = True

    def _publish_changes(self, now: float) -> None:
        for outcome in self.store.take(now):
            if isinstance(outcome, RecordError):
                self._sink.degrade(outcome)
            elif isinstance(outcome, Gone):
                self._sink.remove(outcome.key)
            else:
                self._sink.upsert(outcome)


@frozen
class _View:
    """What one collection shows of the cluster; an `Observer` of the list-watch."""

    mirror: _Mirror
    collection: Collection
    count: Callable[[str], None]

    def listed(self, objects: list[Any]) -> None:
        store, what = self.mirror.store, self.collection
        # More than one for each collection means that history was lost: a figure to watch.
        self.count("listings")
        store.replace(what.resource, what.namespace, objects)
        self.mirror.listed(what)

    def changed(self, document: Any) -> None:
        self.mirror.store.put(self.collection.resource, self.keep(document))
        self.mirror.touched()

    def removed(self, document: Any) -> None:
        self.mirror.store.remove(self.collection.resource, key_of(document))
        self.mirror.touched()

    def keep(self, document: Any) -> Any:
        return KEEPERS[self.collection.resource](document)

    def is_held(self, document: Any | None) -> bool:
        key = None if document is None else key_of(document)
        uid = "" if document is None else uid_of(document)
        what = self.collection
        return self.mirror.store.holds(what.resource, what.namespace, key, uid)

    def alive(self) -> None:
        self.mirror.alive(self.collection)

    def broken(self, error: RegistryUnavailable) -> None:
        self.mirror.broken(self.collection, error)


def open_registry(config: KubernetesConfig, context: RegistryContext) -> Registry:
    """Give the registry of one source; the work begins when the core runs it."""
    return KubernetesRegistry(config, context)
