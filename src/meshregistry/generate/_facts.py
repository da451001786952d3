"""What generators may read of a world for one proxy key, reduced to what can matter.

What many proxies share is one object for all of them, and stays the same object as long as it
says the same: on that the memo rests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from meshregistry.generate._bindings import sidecar_bindings
from meshregistry.generate._connections import is_for_sidecars
from meshregistry.generate._isolation import Isolation, present
from meshregistry.generate._ruling import (
    Audience,
    Policies,
    Routing,
    policies,
    policy_audience,
    route_audience,
    routing,
)
from meshregistry.generate._said_ports import said_ports
from meshregistry.generate._sight import Sight, sight
from meshregistry.generate._world import (
    OwnPort,
    Scope,
    World,
    deciding_namespaces,
    own_places,
    own_ports,
    visible,
)
from meshregistry.model import Labels, Locality, ProxyKey, ProxyRole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.generate._memo import Memo
    from meshregistry.model import Proxy, ResourcePatch, ServiceKey
    from meshregistry.rules import MeshSettings


class Facts:
    """The facts of one world.

    Args:
        memo: remembers them from world to world.
        world: whose facts they are.
        shape: the same object as long as no service has come, gone or changed, whatever
            its endpoints did.
        patches: of plugins, which read facts of proxies, too.
    """

    def __init__(
        self, memo: Memo, world: World, shape: object, patches: Iterable[ResourcePatch] = ()
    ) -> None:
        self._memo = memo
        self._world = world
        self._shape = shape
        self._patches = tuple(patches)

    def proxy_key(self, proxy: Proxy) -> ProxyKey:
        """What of a proxy can matter in this world.

        A router sees the mesh from no namespace. A sidecar keeps the addresses at which the
        world knows an endpoint; those that only call others thereby share one key. Labels
        and locality are kept as far as some rule goes by them.
        """
        by_route, by_policy = self._audiences()
        others = self._scope_keys().union(*(patch.labels for patch in self._patches))
        by_others = {key: proxy.labels[key] for key in others & proxy.labels.keys()}
        labels = Labels(
            {**by_route.reduced(proxy.labels), **by_policy.reduced(proxy.labels), **by_others}
        )
        is_locality_read = by_policy.is_locality_read or any(
            "locality" in patch.reads for patch in self._patches
        )
        locality = proxy.locality if is_locality_read else Locality()
        if proxy.role is not ProxyRole.SIDECAR:
            return ProxyKey(
                role=proxy.role, network=proxy.network, labels=labels, locality=locality
            )
        return ProxyKey(
            role=proxy.role,
            namespace=proxy.namespace,
            addresses=tuple(a for a in proxy.addresses if self._world.catalog.at_address(a)),
            network=proxy.network,
            labels=labels,
            locality=locality,
        )

    def of(self, key: ProxyKey) -> tuple[MeshSettings, dict[str, Any]]:
        """The settings of the mesh and all other facts, by the names of `View`."""
        own_sight = self._sight(key)
        scope = self._scope(key.namespace, own_sight)
        return self._mesh(own_sight), self._facts(scope, key, own_sight)

    def _scope_keys(self) -> frozenset[str]:
        """The label keys that some scope selects workloads by."""
        return self._memo.get(
            "scope keys",
            (self._world.rules,),
            lambda _: frozenset(
                key
                for scope in self._world.rules.scopes
                if scope.selector is not None
                for key in scope.selector.labels
            ),
        )

    def _sight(self, key: ProxyKey) -> Sight | None:
        """What narrows the sight of a sidecar."""
        if key.role is not ProxyRole.SIDECAR:
            return None
        return sight(
            self._world.rules.scopes, key.namespace, key.labels, self._world.mesh.root_namespace
        )

    def _mesh(self, own_sight: Sight | None) -> MeshSettings:
        """The settings of the mesh, with what a scope says instead."""
        outbound = None if own_sight is None else own_sight.scope.outbound
        if outbound is None or outbound is self._world.mesh.outbound_traffic_policy:
            return self._world.mesh
        return self._memo.get(
            ("mesh", outbound),
            (self._world.mesh,),
            lambda _: evolve(self._world.mesh, outbound_traffic_policy=outbound),
        )

    def _scope(self, namespace: str, own_sight: Sight | None) -> Scope:
        """What proxies of a namespace may see; one object for all that see the same."""
        whole = self._whole_scope(namespace)
        if own_sight is None or not own_sight.scope.egress:
            return whole

        def make(former: Scope | None) -> Scope:
            scope = own_sight.narrowed(whole, self._world.rules.routes)
            return former if former is not None and former.is_same(scope) else scope

        return self._memo.get(("seen", own_sight), (whole, self._world.rules), make)

    def _whole_scope(self, namespace: str) -> Scope:
        deciding = self._memo.get(
            "deciding",
            (self._shape,),
            lambda _: deciding_namespaces(self._world.catalog.by_key.values()),
        )
        seen_from = namespace if namespace in deciding else None

        def make(former: Scope | None) -> Scope:
            scope = visible(self._world, self._world.catalog.by_key.values(), seen_from)
            return former if former is not None and former.is_same(scope) else scope

        return self._memo.get(("scope", seen_from), (self._shape,), make)

    def _audiences(self) -> tuple[Audience, Audience]:
        """What the world's route rules, and its policies, ask of proxies."""

        def make(_former: object) -> tuple[Audience, Audience]:
            root = self._world.mesh.root_namespace
            return route_audience(self._world.rules), policy_audience(self._world.rules, root)

        return self._memo.get("audiences", (self._world.rules, self._world.mesh), make)

    def _ruling(self, key: ProxyKey, own_sight: Sight | None) -> dict[str, Routing | Policies]:
        """The rules that hold for a proxy; the same objects as long as they say the same."""
        by_route, by_policy = self._audiences()
        caller = by_route.caller(key.namespace, key.labels)
        client = by_policy.caller(key.namespace, key.labels)
        isolation = self._isolation()

        if own_sight is not None and own_sight.scope.egress:
            caller = evolve(caller, sight=own_sight)

        def routes(former: Routing | None) -> Routing:
            made = routing(self._world.rules, caller, isolation)
            return former if former is not None and former.is_same(made) else made

        routes_of_caller = self._memo.get(
            ("routing", caller), (self._world.rules, isolation), routes
        )

        def connections(former: Routing | None) -> Routing:
            made = Routing(
                caller=caller, rules=tuple(filter(is_for_sidecars, routes_of_caller.rules))
            )
            return former if former is not None and former.is_same(made) else made

        def of_hosts(former: Policies | None) -> Policies:
            made = policies(self._world.rules, client, self._world.mesh.root_namespace, isolation)
            return former if former is not None and former.is_same(made) else made

        return {
            "routing": routes_of_caller,
            "connections": self._memo.get(
                ("connections", caller), (routes_of_caller,), connections
            ),
            "policies": self._memo.get(
                ("policies", client), (self._world.rules, isolation), of_hosts
            ),
        }

    def _isolation(self) -> Isolation:
        """The test environments; the same object as long as they have the same hosts."""
        environments = self._world.rules.environments

        def of_service(key: ServiceKey) -> frozenset[tuple[str, str]]:
            entry = self._world.catalog[key]
            return self._memo.get(
                ("present", key, environments),
                (entry,),
                lambda _: frozenset(present(environments, (entry,))),
            )

        def make(former: Isolation | None) -> Isolation:
            keys = self._world.catalog.by_key if environments else ()
            there = frozenset(pair for key in keys for pair in of_service(key))
            made = Isolation(environments=environments, present=there)
            return former if former == made else made

        slot_facts = (
            (self._world.rules, self._world.catalog) if environments else (self._world.rules,)
        )
        return self._memo.get("isolation", slot_facts, make)

    def _facts(self, scope: Scope, key: ProxyKey, own_sight: Sight | None) -> dict[str, Any]:
        """The facts that generators may read, reduced to what can matter."""
        places = self._memo.get(
            ("places", scope.name), (scope,), lambda _: sidecar_bindings(scope).places
        )
        at = tuple(
            entry for address in key.addresses for entry in self._world.catalog.at_address(address)
        )
        own: tuple[OwnPort, ...] = self._memo.get(
            ("own", key.addresses, key.network),
            at,
            lambda _: own_ports(self._world, key.addresses, key.network),
        )
        if own_sight is not None:
            own = said_ports(own_sight.scope, key.addresses, own)
        return {
            "scope": scope,
            **self._ruling(key, own_sight),
            "gateways": tuple(
                gateway
                for gateway in self._world.rules.gateways
                if key.role is ProxyRole.ROUTER and gateway.selector.is_match(key.labels)
            ),
            "namespace": key.namespace if key.namespace in scope.homes else "",
            "own": own,
            "taken": tuple(sorted(own_places(own) & places)),
        }
