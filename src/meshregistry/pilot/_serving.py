"""The serve column of a pilot: streams to groups, worlds to sets, HTTP; needs ``[server]``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from meshregistry.aggregate import News
from meshregistry.errors import RemoteAdsError
from meshregistry.model import (
    TYPE_TRAITS,
    Endpoint,
    Metric,
    ProxyKey,
    ProxyRole,
    type_traits,
)
from meshregistry.pilot._admission import review
from meshregistry.pilot._decisions import decisions_document
from meshregistry.pilot._derivation import resources_document
from meshregistry.pilot._documents import catalog_document, rules_document, sources_document
from meshregistry.pilot._drained import DrainWait, drained_document
from meshregistry.pilot._listeners import grpc_listener, http_contexts
from meshregistry.pilot._peers import Peers
from meshregistry.pilot._proxies import proxies_document, proxy_metrics
from meshregistry.server import (
    Assignment,
    Holders,
    HttpListeners,
    Hub,
    Limits,
    MetricsCollector,
    Observers,
    admin_routes,
    document_route,
    probe_routes,
    webhook_routes,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

    from meshregistry.ads import Acked, Nacked
    from meshregistry.errors import GenerationError
    from meshregistry.loader import Plugins
    from meshregistry.model import Catalog, Node, Peer, Proxy, ResourceSet, SourceId
    from meshregistry.pilot._agent_registrations import Registrations
    from meshregistry.pilot._derivation import Derivation
    from meshregistry.pilot._peers import PeerAnswer
    from meshregistry.pilot._pilot import Pilot
    from meshregistry.pilot._waiting import Waiting
    from meshregistry.rules import MeshSettings, RuleSet
    from meshregistry.server import Stream
    from meshregistry.settings import ServerSettings
    from meshregistry.spi import Clock

_log = logging.getLogger("meshregistry.pilot")


class Serving:
    """Serves the current world of a pilot to proxies, and its state to people.

    Args:
        pilot: whose state is shown.
        settings: where to listen, and how.
        plugins: identify and admit proxies.
        derivation: gives resource sets.
        domain: of the mesh.
        clock: paces what is asked of other replicas.
        registrations: takes in registrations; None if nobody may register.
    """

    def __init__(
        self,
        pilot: Pilot,
        settings: ServerSettings,
        plugins: Plugins,
        derivation: Derivation,
        *,
        domain: str,
        clock: Clock,
        registrations: Registrations | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._pilot = pilot
        self._settings = settings
        self._peers = Peers(settings.peers, clock)
        self._plugins = plugins
        self._derivation = derivation
        self._domain = domain
        self._faults: dict[ProxyKey, tuple[GenerationError, ...]] = {}
        self._news = News()
        self._told: frozenset[str] = frozenset()
        self._hub = Hub(
            self._assign,
            clock=loop,
            wanted=self._wanted,
            unwanted=self._unwanted,
            observers=Observers(acked=self._acked, nacked=self._nacked, closed=self._closed),
            limits=Limits(streams=settings.max_streams),
        )
        self._grpc = grpc_listener(self._hub, settings)
        self._registrations = registrations
        self._http = HttpListeners(self._http_groups(), http_contexts(settings))

    # --- Life ---------------------------------------------------------------------

    async def start(self) -> None:
        """Bind every listener.

        Raises:
            OSError: if an address cannot be bound; names it.
        """
        await self._http.start()
        if self._grpc is not None:
            await self._grpc.start()

    async def close(self, drain_timeout: float) -> None:
        """Close the streams over that many seconds, then everything."""
        try:
            if self._grpc is not None:
                await self._grpc.close(drain_timeout)
        finally:
            # Also when somebody has no more patience and cancels the drain.
            self._hub.close()
            await self._http.close()

    def addresses(self) -> dict[str, str]:
        """Every listener by name, with the real port."""
        found = {name: self._http.address(name) for name in self._http_names()}
        return {"xds": self._grpc.address, **found} if self._grpc is not None else found

    # --- Streams and worlds -------------------------------------------------------

    def publish(
        self,
        catalog: Catalog,
        mesh: MeshSettings,
        source_order: tuple[SourceId, ...],
        rules: RuleSet,
    ) -> None:
        """Make a world current: every live stream's key is found anew, every set derived."""
        self._derivation.renew(catalog, mesh, source_order, rules)
        self._hub.reassign(lambda stream: self._derivation.key(stream.proxy))
        for key in self._hub.keys():  # noqa: SIM118 - a hub is no mapping
            if isinstance(key, ProxyKey):
                self._hub.publish(key, self._derive(key))
        now = frozenset(str(fault) for faults in self._faults.values() for fault in faults)
        for gone in self._told - now:
            self._news.forget(gone)
        self._told = now

    def _assign(self, node: Node, peer: Peer) -> Assignment:
        """Identify and admit the client of a new stream.

        Contracts, "Gate, timing, publication": before the start gate opens, no empty
        answer is given, since a proxy would drop working configuration.
        """
        reasons = self._pilot.readiness()
        if reasons:
            msg = f"not ready: {'; '.join(reasons)}"
            raise RemoteAdsError(msg, status="UNAVAILABLE")
        proxy = self._plugins.identify(node)
        verdict = self._plugins.admit(proxy, peer)
        if not verdict.is_allowed:
            raise RemoteAdsError(verdict.reason, status="PERMISSION_DENIED")
        if proxy.role is ProxyRole.PROXYLESS:
            msg = "proxyless gRPC clients are not served yet; use an Envoy beside the program"
            raise RemoteAdsError(msg, status="UNIMPLEMENTED")
        return Assignment(self._derivation.key(proxy), proxy)

    def _wanted(self, key: Hashable) -> ResourceSet | None:
        return self._derive(key) if isinstance(key, ProxyKey) else None

    def _unwanted(self, key: Hashable) -> None:
        self._hub.withdraw(key)
        if isinstance(key, ProxyKey):
            self._faults.pop(key, None)

    def _derive(self, key: ProxyKey) -> ResourceSet:
        derived = self._derivation.derive(key)
        self._faults[key] = derived.faults
        for fault in derived.faults:
            if self._news.is_new(str(fault), "", self._now()):
                _log.warning("left out: %s", fault)
        return derived.resources

    def _acked(self, stream: Stream, event: Acked) -> None:
        self._news.forget((stream.id, event.type_url))

    def _closed(self, stream: Stream, reason: str) -> None:
        for type_url in TYPE_TRAITS:
            self._news.forget((stream.id, type_url))
        _log.debug("the stream of %s has ended: %s", stream.proxy.node_id, reason)

    def _nacked(self, stream: Stream, event: Nacked) -> None:
        proxy: Proxy = stream.proxy
        is_new = self._news.is_new((stream.id, event.type_url), event.error, self._now())
        _log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "the proxy %s refused %s version %s: %s",
            proxy.node_id,
            type_traits(event.type_url).name,
            event.version,
            event.error,
        )
        self._plugins.resources_rejected(proxy, event.type_url, event.version, event.error)

    # --- What people see ----------------------------------------------------------

    def _http_names(self) -> tuple[str, ...]:
        names = ("http", "admin", "probes", "webhook", "registration")
        return tuple(name for name in names if getattr(self._settings, name))

    def _http_groups(self) -> Mapping[str, Any]:
        routes: dict[str, list[Any]] = {
            # Names of proxies are for other replicas only, where there are any.
            "http": [document_route("/v1/drained", self._drained_here)]
            if self._settings.peers
            else [],
            "admin": admin_routes(
                {
                    "catalog": lambda _: catalog_document(self._pilot.catalog),
                    "sources": lambda _: sources_document(self._pilot.sources()),
                    "rules": lambda _: self._rules(),
                    "proxies": lambda _: self.proxies_document(),
                    "resources": self._resources,
                    "explain": self._explain,
                    "diff": self._diff,
                    "identity": lambda _: self._pilot.identity_document(),
                    "drained": self._drained,
                }
            ),
            "probes": probe_routes(
                health=self._pilot.health,
                readiness=self._pilot.readiness,
                remarks=self._pilot.remarks,
                collector=MetricsCollector(self._pilot.statistics),
            ),
            "registration": [] if self._registrations is None else self._registrations.routes(),
            "webhook": webhook_routes(lambda asked: review(asked, self._domain)),
        }
        own = self._settings.webhook
        addresses = {name: getattr(self._settings, name) for name in self._http_names()}
        if own is not None:
            addresses["webhook"] = own.address
        registration = self._settings.registration
        if registration is not None:
            addresses["registration"] = registration.address or self._settings.http
        return {name: (str(address), routes[name]) for name, address in addresses.items()}

    def _rules(self) -> Any:
        pilot = self._pilot
        document = rules_document(pilot.rule_sources())
        document["decisions"] = decisions_document(
            pilot.decisions, pilot.source_order(), pilot.catalog
        )
        return document

    def _resources(self, query: Mapping[str, str]) -> Any:
        node = query.get("node")
        if not node:
            raise ValueError("name a proxy: /debug/resources?node=NODE_ID")
        for status in self._hub.status():
            if status.node.id == node and isinstance(status.key, ProxyKey):
                derived = self._derivation.derive(status.key)
                return resources_document(derived.resources, derived.faults, query.get("type"))
        return self._pilot.resources_document(node, query.get("type"))

    def _explain(self, query: Mapping[str, str]) -> Any:
        host = query.get("host")
        if not host:
            raise ValueError("name a host: /debug/explain?host=HOST")
        return self._pilot.explain(host, query.get("proxy"), query.get("request"))

    def _diff(self, query: Mapping[str, str]) -> Any:
        first, second = query.get("first"), query.get("second")
        if not first or not second:
            raise ValueError("name two sources: /debug/diff?first=SOURCE&second=SOURCE")
        return self._pilot.diff(first, second)

    def _drained_here(self, query: Mapping[str, str]) -> Any:
        return self._how_drained(_endpoint_of(query), ())

    async def _drained(self, query: Mapping[str, str]) -> Any:
        endpoint = _endpoint_of(query)
        return self._how_drained(endpoint, await self._peers.ask(endpoint))

    def _how_drained(self, endpoint: Endpoint, peers: Sequence[PeerAnswer]) -> dict[str, Any]:
        holders = self._holders(endpoint)
        holders.look()
        return drained_document(
            endpoint,
            self._pilot.serving(endpoint),
            holders.nodes,
            peers,
            is_published=self._is_published(),
        )

    def _is_published(self) -> bool:
        return self._pilot.catalog.generation > 0

    def _holders(self, endpoint: Endpoint) -> Holders:
        def is_looked_at(stream: Stream) -> bool:
            # Other networks may have the same address.
            network = stream.proxy.network
            return not endpoint.network or not network or network == endpoint.network

        return Holders(
            self._hub,
            endpoint.address,
            endpoint.port,
            # What leads a sidecar to its own workload is no way to it for others.
            is_meant=lambda name: not name.startswith("inbound|"),
            is_looked_at=is_looked_at,
        )

    def drain_wait(
        self,
        endpoint: Endpoint,
        waiting: Waiting,
        news: Callable[[], Awaitable[bool]],
        said: Callable[[], Awaitable[None]],
    ) -> DrainWait:
        """Whoever waits until no proxy is led to an endpoint."""
        return DrainWait(
            endpoint,
            hub=self._hub,
            holders=self._holders(endpoint),
            waiting=waiting,
            services=lambda: self._pilot.serving(endpoint),
            is_published=self._is_published,
            news=news,
            said=said,
            peers=self._peers,
        )

    def proxies_document(self) -> dict[str, Any]:
        """Connected proxies and what each holds of each type."""
        return proxies_document(self._hub.status())

    def metrics(self) -> tuple[Metric, ...]:
        """The figures of the serve side, as plain values."""
        faults = sum(len(faults) for faults in self._faults.values())
        return proxy_metrics(self._hub.statistics(), faults)


def _endpoint_of(query: Mapping[str, str]) -> Endpoint:
    address, port = query.get("address"), query.get("port", "0")
    if not address or not port.isdecimal():
        raise ValueError("name an endpoint: ?address=ADDRESS&port=PORT")
    return Endpoint(address=address, port=int(port), network=query.get("network", ""))
