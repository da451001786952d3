"""From a world and a proxy key to a resource set: generators, their memo, shared parts.

Two sorts of generators stand in two tables, which callers may extend. A service generator
makes the resources of one service; it runs again when that service or its endpoints have
changed. A scope generator makes what depends on all services together, but not on their
endpoints; it runs again when a service of its scope has changed. Both are pure.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from attrs import evolve, field, frozen

from meshregistry.errors import GenerationError
from meshregistry.generate._bindings import sidecar_bindings
from meshregistry.generate._clusters import passthrough_cluster, service_clusters
from meshregistry.generate._connections import is_for_sidecars
from meshregistry.generate._edge import edge_listeners, edge_routes
from meshregistry.generate._isolation import Isolation, present
from meshregistry.generate._listeners import inbound, outbound_listeners
from meshregistry.generate._memo import Fragments, Memo
from meshregistry.generate._output import Generated
from meshregistry.generate._parts import OfService, Products, Reach, revised
from meshregistry.generate._routes import outbound_routes
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
from meshregistry.generate._tracing import tracing_cluster
from meshregistry.generate._world import (
    OwnPort,
    Scope,
    View,
    World,
    deciding_namespaces,
    own_places,
    own_ports,
    visible,
)
from meshregistry.model import (
    Catalog,
    Labels,
    Locality,
    ProxyKey,
    ProxyRole,
    Resource,
    ResourcePart,
    ResourceSet,
    ServiceKey,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.generate._locality import Whereabouts
    from meshregistry.model import CatalogEntry, Proxy
    from meshregistry.rules import DestinationPolicy, MeshSettings

    ServiceGenerator = Callable[
        [CatalogEntry, str, MeshSettings, DestinationPolicy | None, Whereabouts], Generated
    ]
    Faults = tuple[GenerationError, ...]


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


@frozen(eq=False)
class ScopeGenerator:
    """A generator of what depends on all services that a proxy may see, or on the proxy.

    Attributes:
        generate: makes resources from a view, and from nothing else.
        reads: the facts that it reads, as `View` names them: of ``scope``, ``routing``,
            ``connections``, ``policies``, ``gateways``, ``namespace``, ``own`` and ``taken``; the others are blank. Proxies that do not differ in them
            share the result, and it is made again when one of them is another.
    """

    generate: Callable[[View], Generated]
    reads: tuple[str, ...] = field(default=("scope",), converter=_names)


SERVICE_GENERATORS: tuple[ServiceGenerator, ...] = (service_clusters,)
"""What each visible service gives every proxy."""

SCOPE_GENERATORS: Mapping[ProxyRole, tuple[ScopeGenerator, ...]] = MappingProxyType(
    {
        ProxyRole.ROUTER: (
            ScopeGenerator(tracing_cluster, reads=()),
            ScopeGenerator(
                edge_listeners,
                reads=("scope", "routing", "connections", "policies", "gateways"),
            ),
            ScopeGenerator(edge_routes, reads=("scope", "routing", "policies", "gateways")),
        ),
        ProxyRole.SIDECAR: (
            ScopeGenerator(tracing_cluster, reads=()),
            ScopeGenerator(passthrough_cluster, reads=()),
            ScopeGenerator(outbound_listeners, reads=("scope", "connections", "policies", "taken")),
            ScopeGenerator(outbound_routes, reads=("scope", "namespace", "routing", "policies")),
            ScopeGenerator(inbound, reads=("own",)),
        ),
    }
)
"""What all visible services together give a proxy of a role; one part of its set each."""


@frozen(eq=False)
class Derived:
    """What one proxy key is sent.

    Attributes:
        resources: consistent; made of parts that other proxies share.
        faults: what could not be generated, or was decided against.
    """

    resources: ResourceSet = field(factory=ResourceSet)
    faults: tuple[GenerationError, ...] = ()


class Pipeline:
    """Derives resource sets, and remembers what it derived for the newest world.

    Worlds are to be made from one another (`Catalog.updated`), so that what did not change
    stays the same object: then a change costs what changed. Any other order of worlds gives
    the same results, only later. Not thread-safe; several pipelines share nothing.
    """

    def __init__(
        self,
        *,
        service_generators: Iterable[ServiceGenerator] = SERVICE_GENERATORS,
        scope_generators: Mapping[ProxyRole, tuple[ScopeGenerator, ...]] = SCOPE_GENERATORS,
    ) -> None:
        self._service_generators = tuple(service_generators)
        self._scope_generators = dict(scope_generators)
        self._world: World | None = None
        self._shape = object()
        self._memo = Memo()
        self._services: dict[ServiceKey, OfService] = {}
        self._reached: set[tuple[str, Locality, Policies]] = set()
        self._held: frozenset[tuple[str, Locality, Policies]] = frozenset()
        self._pool: WeakValueDictionary[tuple[str, str, str], Resource] = WeakValueDictionary()

    def proxy_key(self, world: World, proxy: Proxy) -> ProxyKey:
        """What of a proxy can matter in this world.

        A router sees the mesh from no namespace. A sidecar keeps the addresses at which the
        world knows an endpoint; those that only call others thereby share one key. Labels
        and locality are kept as far as some rule goes by them.
        """
        by_route, by_policy = self._audiences(world)
        by_scope = {key: proxy.labels[key] for key in self._scope_keys(world) & proxy.labels.keys()}
        labels = Labels(
            {**by_route.reduced(proxy.labels), **by_policy.reduced(proxy.labels), **by_scope}
        )
        locality = proxy.locality if by_policy.is_locality_read else Locality()
        if proxy.role is not ProxyRole.SIDECAR:
            return ProxyKey(
                role=proxy.role, network=proxy.network, labels=labels, locality=locality
            )
        return ProxyKey(
            role=proxy.role,
            namespace=proxy.namespace,
            addresses=tuple(a for a in proxy.addresses if world.catalog.at_address(a)),
            network=proxy.network,
            labels=labels,
            locality=locality,
        )

    def derive(self, world: World, key: ProxyKey) -> Derived:
        """The resource set of a proxy key. It never fails: faults are part of the result."""
        self._advance(world)
        generators = self._scope_generators.get(key.role)
        if generators is None:
            return Derived(
                faults=(
                    GenerationError(
                        f"nothing is generated for the role {key.role}; connect an Envoy"
                    ),
                )
            )
        own_sight = self._sight(world, key)
        scope = self._scope(world, key.namespace, own_sight)
        facts = self._facts(world, scope, key, own_sight)
        mesh = self._mesh(world, own_sight)
        reach = self._reach(world, scope, facts["policies"], key)
        made = [self._made(mesh, generator, facts) for generator in generators]
        parts = (reach.part, *(one.part for one in made))
        faults = (scope.faults, reach.faults, *(one.faults for one in made))
        return self._memo.get(
            ("derived", key),
            (*parts, *faults),
            lambda _: Derived(
                ResourceSet(parts), tuple(fault for some in faults for fault in some)
            ),
        )

    def view(self, world: World, key: ProxyKey) -> View:
        """All that generators may read of a world for a proxy key."""
        self._advance(world)
        own_sight = self._sight(world, key)
        scope = self._scope(world, key.namespace, own_sight)
        facts = self._facts(world, scope, key, own_sight)
        return View(mesh=self._mesh(world, own_sight), **facts)

    def _advance(self, world: World) -> None:
        """Make this the current world; forget what the last one did not use."""
        last, self._world = self._world, world
        if last is world:
            return
        if last is None or last.mesh != world.mesh or last.source_order != world.source_order:
            self._shape, self._memo = object(), Memo()
            self._services.clear()
            self._reached.clear()
            return
        self._memo.turn()
        for service in self._services.values() if self._reached != self._held else ():
            service.retain({service.standpoint(*reached) for reached in self._reached})
        self._held = frozenset(self._reached)
        self._reached.clear()
        diff = self._diff(last.catalog, world.catalog)
        for key in diff.removed:
            self._services.pop(key, None)
        if diff.is_other_set or any(
            world.catalog[key].service != last.catalog[key].service
            or world.rank(world.catalog[key]) != world.rank(last.catalog[key])
            for key in diff.changed
        ):
            self._shape = object()

    def _diff(self, older: Catalog, newer: Catalog) -> _Diff:
        """What changed between two catalogs; many scopes ask for the same two."""

        def make(_former: _Diff | None) -> _Diff:
            diff = newer.diff(older)
            return _Diff(diff.changed, diff.removed, bool(diff.added or diff.removed))

        return self._memo.get("diff", (older, newer), make)

    def _scope_keys(self, world: World) -> frozenset[str]:
        """The label keys that some scope selects workloads by."""
        return self._memo.get(
            "scope keys",
            (world.rules,),
            lambda _: frozenset(
                key
                for scope in world.rules.scopes
                if scope.selector is not None
                for key in scope.selector.labels
            ),
        )

    @staticmethod
    def _sight(world: World, key: ProxyKey) -> Sight | None:
        """What narrows the sight of a sidecar."""
        if key.role is not ProxyRole.SIDECAR:
            return None
        return sight(world.rules.scopes, key.namespace, key.labels, world.mesh.root_namespace)

    def _mesh(self, world: World, own_sight: Sight | None) -> MeshSettings:
        """The settings of the mesh, with what a scope says instead."""
        outbound = None if own_sight is None else own_sight.scope.outbound
        if outbound is None or outbound is world.mesh.outbound_traffic_policy:
            return world.mesh
        return self._memo.get(
            ("mesh", outbound),
            (world.mesh,),
            lambda _: evolve(world.mesh, outbound_traffic_policy=outbound),
        )

    def _scope(self, world: World, namespace: str, own_sight: Sight | None) -> Scope:
        """What proxies of a namespace may see; one object for all that see the same."""
        whole = self._whole_scope(world, namespace)
        if own_sight is None or not own_sight.scope.egress:
            return whole

        def make(former: Scope | None) -> Scope:
            scope = own_sight.narrowed(whole, world.rules.routes)
            return former if former is not None and former.is_same(scope) else scope

        return self._memo.get(("seen", own_sight), (whole, world.rules), make)

    def _whole_scope(self, world: World, namespace: str) -> Scope:
        deciding = self._memo.get(
            "deciding", (self._shape,), lambda _: deciding_namespaces(world.catalog.by_key.values())
        )
        seen_from = namespace if namespace in deciding else None

        def make(former: Scope | None) -> Scope:
            scope = visible(world, world.catalog.by_key.values(), seen_from)
            return former if former is not None and former.is_same(scope) else scope

        return self._memo.get(("scope", seen_from), (self._shape,), make)

    def _audiences(self, world: World) -> tuple[Audience, Audience]:
        """What the world's route rules, and its policies, ask of proxies."""

        def make(_former: object) -> tuple[Audience, Audience]:
            root = world.mesh.root_namespace
            return route_audience(world.rules), policy_audience(world.rules, root)

        return self._memo.get("audiences", (world.rules, world.mesh), make)

    def _ruling(
        self, world: World, key: ProxyKey, own_sight: Sight | None
    ) -> dict[str, Routing | Policies]:
        """The rules that hold for a proxy; the same objects as long as they say the same."""
        by_route, by_policy = self._audiences(world)
        caller = by_route.caller(key.namespace, key.labels)
        client = by_policy.caller(key.namespace, key.labels)
        isolation = self._isolation(world)

        if own_sight is not None and own_sight.scope.egress:
            caller = evolve(caller, sight=own_sight)

        def routes(former: Routing | None) -> Routing:
            made = routing(world.rules, caller, isolation)
            return former if former is not None and former.is_same(made) else made

        routes_of_caller = self._memo.get(("routing", caller), (world.rules, isolation), routes)

        def connections(former: Routing | None) -> Routing:
            made = Routing(
                caller=caller, rules=tuple(filter(is_for_sidecars, routes_of_caller.rules))
            )
            return former if former is not None and former.is_same(made) else made

        def of_hosts(former: Policies | None) -> Policies:
            made = policies(world.rules, client, world.mesh.root_namespace, isolation)
            return former if former is not None and former.is_same(made) else made

        return {
            "routing": routes_of_caller,
            "connections": self._memo.get(
                ("connections", caller), (routes_of_caller,), connections
            ),
            "policies": self._memo.get(("policies", client), (world.rules, isolation), of_hosts),
        }

    def _isolation(self, world: World) -> Isolation:
        """The test environments; the same object as long as they have the same hosts."""
        environments = world.rules.environments

        def of_service(key: ServiceKey) -> frozenset[tuple[str, str]]:
            entry = world.catalog[key]
            return self._memo.get(
                ("present", key, environments),
                (entry,),
                lambda _: frozenset(present(environments, (entry,))),
            )

        def make(former: Isolation | None) -> Isolation:
            keys = world.catalog.by_key if environments else ()
            there = frozenset(pair for key in keys for pair in of_service(key))
            made = Isolation(environments=environments, present=there)
            return former if former == made else made

        slot_facts = (world.rules, world.catalog) if environments else (world.rules,)
        return self._memo.get("isolation", slot_facts, make)

    def _facts(
        self, world: World, scope: Scope, key: ProxyKey, own_sight: Sight | None
    ) -> dict[str, Any]:
        """The facts that generators may read, reduced to what can matter."""
        places = self._memo.get(
            ("places", scope.name), (scope,), lambda _: sidecar_bindings(scope).places
        )
        at = tuple(
            entry for address in key.addresses for entry in world.catalog.at_address(address)
        )
        own: tuple[OwnPort, ...] = self._memo.get(
            ("own", key.addresses, key.network),
            at,
            lambda _: own_ports(world, key.addresses, key.network),
        )
        if own_sight is not None:
            own = said_ports(own_sight.scope, key.addresses, own)
        return {
            "scope": scope,
            **self._ruling(world, key, own_sight),
            "gateways": tuple(
                gateway
                for gateway in world.rules.gateways
                if key.role is ProxyRole.ROUTER and gateway.selector.is_match(key.labels)
            ),
            "namespace": key.namespace if key.namespace in scope.homes else "",
            "own": own,
            "taken": tuple(sorted(own_places(own) & places)),
        }

    def _made(self, mesh: MeshSettings, generator: ScopeGenerator, facts: dict[str, Any]) -> _Made:
        """The part that a generator makes of the facts that it reads."""
        read = {name: facts[name] for name in generator.reads}

        def make(former: _Made | None) -> _Made:
            fragments = Fragments(former.fragments if former else None)
            generated = generator.generate(View(mesh=mesh, keep=fragments.keep, **read))
            fragments.close()
            resources = [self._pooled(resource) for resource in generated.resources]
            part = revised(former.part if former else ResourcePart(), resources)
            return _Made(part, generated.faults, fragments)

        # Facts that are renewed with the world have a slot by whom they are for.
        objects = tuple(fact for fact in read.values() if isinstance(fact, _RENEWED))
        words = (
            fact.name
            if isinstance(fact, Scope)
            else fact.caller
            if isinstance(fact, Routing | Policies)
            else fact
            for fact in read.values()
        )
        outbound = mesh.outbound_traffic_policy
        return self._memo.get((generator, outbound, *words), (*objects, mesh), make)

    def _reach(self, world: World, scope: Scope, policies: Policies, key: ProxyKey) -> Reach:
        """The clusters and assignments of all visible services, for proxies like this one."""
        place = (key.network, key.locality, policies)
        self._reached.add(place)
        catalog = world.catalog

        def make(former: Reach | None) -> Reach:
            if former is None:
                former = Reach(Catalog(), Scope(), policies, ResourcePart(), {}, ())
            if former.scope is scope and former.policies is policies:
                changed = self._diff(former.catalog, catalog).changed
                keys = tuple(key for key in changed if key in former.products)
                gone: set[ServiceKey] = set()
            else:
                keys = scope.keys
                gone = former.products.keys() - set(keys)
            news = {key: self._service(key, world, place) for key in keys}
            return former.updated(catalog, scope, policies, news, gone)

        slot = ("reach", scope.name, policies.caller, key.network, key.locality)
        return self._memo.get(slot, (scope, catalog, policies), make)

    def _service(
        self, key: ServiceKey, world: World, place: tuple[str, Locality, Policies]
    ) -> Products:
        """What one service gives proxies at a place, made once for all scopes."""
        entry = world.catalog[key]
        held = self._services.get(key)
        if held is None or (held.entry is not entry and held.entry != entry):
            held = self._services[key] = OfService(entry)
        standpoint = held.standpoint(*place)
        products = held.products.get(standpoint)
        if products is None:
            network, policy, place_of = (
                standpoint.network,
                standpoint.policy,
                standpoint.whereabouts,
            )
            generated = [
                make(entry, network, world.mesh, policy, place_of)
                for make in self._service_generators
            ]
            products = held.products[standpoint] = Products(
                tuple(self._pooled(one) for some in generated for one in some.resources),
                tuple(fault for some in generated for fault in some.faults),
            )
        return products

    def _pooled(self, resource: Resource) -> Resource:
        """The one object for this content, however many parts hold it."""
        key = (resource.type_url, resource.name, resource.digest)
        return self._pool.setdefault(key, resource)


_RENEWED = (Scope, Routing, Policies)


@frozen(eq=False)
class _Diff:
    """The keys that differ between two catalogs."""

    changed: tuple[ServiceKey, ...]
    removed: tuple[ServiceKey, ...]
    is_other_set: bool


@frozen(eq=False)
class _Made:
    """The part of one scope generator."""

    part: ResourcePart
    faults: Faults
    fragments: Fragments
