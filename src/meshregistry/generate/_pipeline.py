"""From a world and a proxy key to a resource set: generators, their memo, shared parts.

Two sorts of generators stand in two tables, which callers may extend. A service generator
makes the resources of one service; it runs again when that service or its endpoints have
changed. A scope generator makes what depends on all services together, but not on their
endpoints; it runs again when a service of its scope has changed. Both are pure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from attrs import field, frozen

from meshregistry.errors import GenerationError
from meshregistry.generate._clusters import passthrough_cluster, service_clusters
from meshregistry.generate._edge import edge_listeners, edge_routes
from meshregistry.generate._extensions import Extensions, without_clashes
from meshregistry.generate._facts import Facts
from meshregistry.generate._listeners import inbound, outbound_listeners
from meshregistry.generate._memo import Fragments, Memo
from meshregistry.generate._mixer import mixer_clusters
from meshregistry.generate._output import Generated
from meshregistry.generate._parts import OfService, Products, Reach, revised
from meshregistry.generate._patching import Patched, Patching
from meshregistry.generate._routes import outbound_routes
from meshregistry.generate._ruling import (
    Policies,
    Routing,
)
from meshregistry.generate._tracing import tracing_cluster
from meshregistry.generate._world import (
    Scope,
    View,
    World,
)
from meshregistry.model import (
    Catalog,
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
    from meshregistry.model import CatalogEntry, Proxy, ResourceGenerator
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
            ScopeGenerator(mixer_clusters, reads=()),
            ScopeGenerator(
                edge_listeners,
                reads=("scope", "routing", "connections", "policies", "gateways"),
            ),
            ScopeGenerator(edge_routes, reads=("scope", "routing", "policies", "gateways")),
        ),
        ProxyRole.SIDECAR: (
            ScopeGenerator(tracing_cluster, reads=()),
            ScopeGenerator(mixer_clusters, reads=()),
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
        extensions: Extensions | None = None,
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
        own = extensions or Extensions()
        self._added = tuple(
            (one, ScopeGenerator(own.guarded(one), reads=one.reads)) for one in own.generators
        )
        self._patching = Patching(own.patches, own.encode, self._pooled)

    def proxy_key(self, world: World, proxy: Proxy) -> ProxyKey:
        """What of a proxy can matter in this world; see `Facts.proxy_key`."""
        return self._facts(world).proxy_key(proxy)

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
        mesh, facts = self._facts(world).of(key)
        scope = facts["scope"]
        reach = self._reach(world, scope, facts["policies"], key)
        made = [self._made(mesh, generator, facts) for generator in generators]
        parts = [reach.part, *(one.part for one in made)]
        faults = [scope.faults, reach.faults, *(one.faults for one in made)]
        for own, generator in self._added:
            if key.role in own.roles:
                added = self._made(mesh, generator, facts)
                part, clashes = self._memo.get(
                    ("added", generator, key),
                    (added.part, *parts),
                    partial(_alone, own, added.part, tuple(parts)),
                )
                parts.append(part)
                faults += (added.faults, clashes)
        # Outside of the memo below: what is not asked for would be forgotten.
        patched = (
            [
                self._patching.patched(self._memo, place, part, key)
                for place, part in enumerate(parts)
            ]
            if self._patching.patches
            else []
        )
        return self._memo.get(
            ("derived", key),
            (*parts, *faults),
            lambda _: _derived(parts, faults, patched),
        )

    def _facts(self, world: World) -> Facts:
        return Facts(self._memo, world, self._shape, self._patching.patches)

    def view(self, world: World, key: ProxyKey) -> View:
        """All that generators may read of a world for a proxy key."""
        self._advance(world)
        mesh, facts = self._facts(world).of(key)
        return View(mesh=mesh, **facts)

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


def _alone(
    own: ResourceGenerator, part: ResourcePart, others: tuple[ResourcePart, ...], _former: object
) -> tuple[ResourcePart, Faults]:
    return without_clashes(own, part, others)


def _derived(
    parts: Iterable[ResourcePart], faults: Iterable[Faults], patched: Iterable[Patched]
) -> Derived:
    """Put parts together, as patches of plugins made them if there are any."""
    resources = ResourceSet(tuple(one.part for one in patched) or tuple(parts))
    every = [fault for some in faults for fault in some]
    for one in patched:
        every += (*one.faults, *one.missing(resources))
    return Derived(resources, tuple(every))


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
