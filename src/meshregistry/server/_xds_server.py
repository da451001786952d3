"""`XdsServer`: an xDS server for resources of the caller's own."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from meshregistry.ads import REMOVAL_GRACE, WARM_TIMEOUT
from meshregistry.errors import RemoteAdsError
from meshregistry.model import Reference, ResourceGroup, ResourcePart, ResourceSet
from meshregistry.server._acknowledgement import acknowledged
from meshregistry.server._consistency import ReferenceIndex
from meshregistry.server._grpc import GrpcListener, discovery_handlers, drain
from meshregistry.server._hub import Hub
from meshregistry.server._items import resource_of
from meshregistry.server._reports import Assignment, ProxyStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from types import TracebackType

    from meshregistry.model import Node, Peer, Verdict
    from meshregistry.server._extra import grpc
    from meshregistry.server._fanout import TimerHandle
    from meshregistry.server._grpc import GrpcLimits
    from meshregistry.server._limits import Limits
    from meshregistry.server._observers import Observers
    from meshregistry.server._reports import HubStatistics
    from meshregistry.server._tls import ServerTls


class XdsServer:
    """Serves each group of proxies the set of resources that was published for it.

    An async context manager: entering binds the address, leaving drains and closes. All
    methods are called on the loop; from another thread they raise RuntimeError.

    Args:
        address: ``host:port`` (port 0: chosen by the system) or ``unix:///path``; None to
            serve only on the server given to `attach`.
        group: says from what a node claims which group it belongs to; None as an answer
            turns it away with PERMISSION_DENIED, and so does a RemoteAdsError, with the
            status in it.
        admit: asked before `group` what to do with a node and its peer; a refusal turns
            the stream away with PERMISSION_DENIED.
        consistent: refuse sets in which a reference leads nowhere.
        external: (type URL, name) pairs that exist elsewhere, such as in the bootstrap.
        tls: certificates; None serves in plain text.
        observers: told of streams, accepted and refused responses.
        limits: what hub and fan-out bear.
        grpc_limits: what the gRPC listener bears.
        drain_timeout: seconds over which streams are ended at most on leaving.
        warm_timeout: seconds that listeners wait for a proxy to accept its clusters.
        removal_grace: seconds that removals wait on separate streams, where no order
            between types can be kept.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        group: Callable[[Node], Hashable],
        admit: Callable[[Node, Peer], Verdict | None] | None = None,
        consistent: bool = True,
        external: Iterable[tuple[str, str]] = (),
        tls: ServerTls | None = None,
        observers: Observers | None = None,
        limits: Limits | None = None,
        grpc_limits: GrpcLimits | None = None,
        drain_timeout: float = 5.0,
        warm_timeout: float = WARM_TIMEOUT,
        removal_grace: float = REMOVAL_GRACE,
    ) -> None:
        self._group_of = group
        self._admit = admit
        self._is_consistent = consistent
        self._external = frozenset(external)
        self._drain_timeout = drain_timeout
        self._indexes: dict[Hashable, ReferenceIndex] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hub = Hub(
            self._assign,
            clock=_RunningLoop(),
            observers=observers,
            limits=limits,
            warm_timeout=warm_timeout,
            removal_grace=removal_grace,
        )
        self._listener = (
            GrpcListener(self._hub, address, tls=tls, limits=grpc_limits) if address else None
        )

    # --- Life. ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Bind and serve.

        Raises:
            OSError: if the address cannot be bound; it names the address.
            ConfigError: if a certificate cannot be used.
        """
        self._on_loop()
        if self._listener is not None:
            await self._listener.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Take no more streams, end those there are, and release the address."""
        self._on_loop()
        if self._listener is not None:
            await self._listener.close(self._drain_timeout)
        else:
            await drain(self._hub, self._drain_timeout)

    def attach(self, grpc_server: grpc.aio.Server) -> None:
        """Serve on a ``grpc.aio`` server of the caller's, which is not started yet.

        Its address, options, credentials and end stay the caller's business.
        """
        self._on_loop()
        grpc_server.add_generic_rpc_handlers(discovery_handlers(self._hub))

    @property
    def address(self) -> str:
        """Where it listens, as ``host:port`` with the real port; empty if nowhere."""
        return self._listener.address if self._listener is not None else ""

    # --- Resources. -------------------------------------------------------------------------

    def publish(
        self, group: Hashable, resources: Iterable[Any], *, version: str | None = None
    ) -> None:
        """Make these the resources of a group, all at once.

        Args:
            group: as `group` of the constructor answers.
            resources: known Envoy messages, or `Resource` values for any type.
            version: a text that peers see as the version; without it, content hashes.

        Raises:
            InconsistentResources: if a reference leads nowhere; nothing is changed.
            TypeError: if an item is not a resource.
            ValueError: if an item has no name, or two of one type share a name.
            RuntimeError: if called from another thread.
        """
        self._on_loop()
        items = [resource_of(item) for item in resources]
        part = ResourcePart.of(items)
        before = self._hub.current(group) or ResourceSet((ResourcePart(),))
        index = ReferenceIndex(self._external)
        if self._is_consistent:
            index.commit(index.check(ResourceSet(), {item.key: item for item in items}, ()))
        touched = {*part.groups, *before.parts[0].groups}
        kept = ResourcePart(
            {url: _same(before.parts[0].groups.get(url), new) for url, new in part.groups.items()}
        )
        self._indexes[group] = index
        self._hub.publish(group, ResourceSet((kept,), _versions(before, touched, version)))

    def update(
        self,
        group: Hashable,
        *,
        changed: Iterable[Any] = (),
        removed: Iterable[tuple[str, str]] = (),
        version: str | None = None,
    ) -> None:
        """Change some resources of a group, all at once; what it costs follows the change.

        Args:
            group: as `group` of the constructor answers.
            changed: resources to add or replace, as for `publish`.
            removed: (type URL, name) pairs; those that do not exist are ignored.
            version: a text that peers see as the version of the types named here.

        Raises:
            KeyError: if nothing was published for the group.
            InconsistentResources: if a reference would lead nowhere; nothing is changed.
            TypeError: if an item is not a resource.
            ValueError: if an item has no name, is named twice, or is removed as well.
            RuntimeError: if called from another thread.
        """
        self._on_loop()
        before = self._published(group)
        items = [resource_of(item) for item in changed]
        gone = [Reference(*pair) for pair in removed]
        named = {item.key: item for item in items}
        if len(named) != len(items) or not named.keys().isdisjoint(gone):
            msg = "an update names a resource twice: give each once, as changed or as removed"
            raise ValueError(msg)
        index = self._indexes[group]
        revision = index.check(before, named, gone) if self._is_consistent else None
        differing = [item for key, item in named.items() if before.get(*key) != item]
        lost = [key for key in gone if before.get(*key) is not None]
        part = before.parts[0].updated(differing, lost)
        touched = {key.type_url for key in (*named, *gone)}
        after = ResourceSet((part,), _versions(before, touched, version))
        if revision is not None:
            index.commit(revision)
        if differing or lost or after.shown_versions != before.shown_versions:
            self._hub.publish(group, after)

    def withdraw(self, group: Hashable) -> None:
        """Take all resources of a group away and end its streams; they wait when they return.

        Raises:
            KeyError: if nothing was published for the group.
            RuntimeError: if called from another thread.
        """
        self._on_loop()
        self._published(group)
        del self._indexes[group]
        self._hub.withdraw(group)

    # --- What proxies hold. -----------------------------------------------------------------

    async def acknowledged(
        self,
        group: Hashable,
        timeout: float | None = None,
    ) -> int:
        """Wait until the streams that the group has now hold its resources.

        Returns:
            How many streams that is; 0 at once if there are none.

        Raises:
            KeyError: if nothing was published for the group.
            Rejected: if one of them refuses what it is sent.
            TimeoutError: after `timeout` seconds, naming those that are not there yet.
            RuntimeError: if called from another thread.
        """
        self._on_loop()
        self._published(group)
        return await acknowledged(self._hub, group, timeout)

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """What each connected proxy wants and holds.

        Raises:
            RuntimeError: if called from another thread.
        """
        self._on_loop()
        found: dict[tuple[Hashable, ...], ProxyStatus] = {}
        for stream in self._hub.status():
            key = (stream.node.id, stream.key, stream.peer.address)
            earlier = found.get(key)
            found[key] = ProxyStatus(
                node_id=stream.node.id,
                group=stream.key,
                address=stream.peer.address,
                is_delta=stream.is_delta,
                types=(*earlier.types, *stream.types) if earlier else stream.types,
                node=stream.node,
            )
        return tuple(found.values())

    def statistics(self) -> HubStatistics:
        """Figures of this moment, as plain values."""
        return self._hub.statistics()

    # --- Inside. ----------------------------------------------------------------------------

    def _published(self, group: Hashable) -> ResourceSet:
        current = self._hub.current(group)
        if current is None:
            msg = f"nothing was published for the group {group!r}: publish first"
            raise KeyError(msg)
        return current

    def _assign(self, node: Node, peer: Peer) -> Assignment:
        verdict = self._admit(node, peer) if self._admit is not None else None
        if verdict is not None and not verdict.is_allowed:
            reason = verdict.reason or "ask the operator why"
            msg = f"the node {node.id!r} is not admitted: {reason}"
            raise RemoteAdsError(msg, status="PERMISSION_DENIED")
        group = self._group_of(node)
        if group is None:
            msg = f"the node {node.id!r} belongs to no group: check what it claims"
            raise RemoteAdsError(msg, status="PERMISSION_DENIED")
        return Assignment(group)

    def _on_loop(self) -> None:
        """The hub is not locked: everything happens on the loop of the first call."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if self._loop is None:
            self._loop = loop
        if loop is None or loop is not self._loop:
            msg = "an XdsServer is used on its own event loop: use loop.call_soon_threadsafe"
            raise RuntimeError(msg)


class _RunningLoop:
    """The running loop as a clock, so that a server may be made before there is one."""

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        # Kept, since the hub asks for the time with each message, and finding the running loop
        # is a system call before Python 3.12. A server stays on its loop (`_on_loop`).
        return asyncio.get_running_loop()

    def time(self) -> float:
        """As of the loop."""
        return self._loop.time()

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """As of the loop."""
        return self._loop.call_soon(callback)

    def call_at(self, when: float, callback: Callable[[], object], /) -> TimerHandle:
        """As of the loop."""
        return self._loop.call_at(when, callback)


def _same(old: ResourceGroup | None, new: ResourceGroup) -> ResourceGroup:
    """The old objects where they are equal, so that what was encoded stays in use."""
    if old is None:
        return new
    if old.digest == new.digest:
        return old
    return ResourceGroup(
        {
            name: held if (held := old.by_name.get(name)) is not None and held == item else item
            for name, item in new.by_name.items()
        }
    )


def _versions(
    before: ResourceSet, touched: Iterable[str], version: str | None
) -> Mapping[str, str]:
    """The texts that peers see: new for the types that were touched, the same for others."""
    shown = dict(before.shown_versions)
    for type_url in touched:
        shown.pop(type_url, None)
        if version:
            shown[type_url] = version
    return shown
