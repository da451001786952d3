"""Parts of resource sets, made from former parts so that what is the same stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.generate._locality import ANYWHERE, Whereabouts, whereabouts_for
from meshregistry.generate._ruling import Policies
from meshregistry.generate._world import Scope
from meshregistry.model import (
    Catalog,
    Locality,
    Reference,
    Resource,
    ResourcePart,
    ServiceKey,
)
from meshregistry.rules import DestinationPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.errors import GenerationError
    from meshregistry.model import CatalogEntry

    Faults = tuple[GenerationError, ...]


@frozen(eq=False)
class Products:
    """What a service gives proxies."""

    resources: tuple[Resource, ...]
    faults: Faults


@frozen(cache_hash=True)
class Standpoint:
    """From where a service is looked at, as far as it plays a part.

    Attributes:
        network: of the proxy, if the service has endpoints on networks.
        whereabouts: of the proxy, as far as the policy goes by them.
        policy: that holds for the proxy.
    """

    network: str = ""
    whereabouts: Whereabouts = ANYWHERE
    policy: DestinationPolicy | None = None


class OfService:
    """A service as it is now, and what it gives, by standpoint."""

    def __init__(self, entry: CatalogEntry) -> None:
        self.entry = entry
        self.is_on_networks = any(endpoint.network for endpoint in entry.endpoints)
        self.products: dict[Standpoint, Products] = {}

    def standpoint(self, network: str, locality: Locality, policies: Policies) -> Standpoint:
        """The standpoint of proxies that go by these policies."""
        policy = policies.of(self.entry.service)
        return Standpoint(
            network=network if self.is_on_networks else "",
            whereabouts=whereabouts_for(policy, locality, policies.caller.labels),
            policy=policy,
        )

    def retain(self, standpoints: set[Standpoint]) -> None:
        """Forget what was made for other standpoints."""
        for standpoint in self.products.keys() - standpoints:
            del self.products[standpoint]


@frozen(eq=False)
class Reach:
    """The part of all service generators, and what each service gave to it."""

    catalog: Catalog
    scope: Scope
    policies: Policies
    part: ResourcePart
    products: dict[ServiceKey, Products]
    faults: Faults

    def updated(
        self,
        catalog: Catalog,
        scope: Scope,
        policies: Policies,
        news: dict[ServiceKey, Products],
        gone: set[ServiceKey],
    ) -> Reach:
        """The part after some services gave something else, and some are gone."""
        products = dict(self.products)
        lost: set[Reference] = set()
        found: dict[Reference, Resource] = {}
        is_fault_changed = False
        for key in (*gone, *news):
            old, new = products.pop(key, _NOTHING), news.get(key, _NOTHING)
            if old is not new:
                lost.update(resource.key for resource in old.resources)
                found.update((resource.key, resource) for resource in new.resources)
                is_fault_changed = is_fault_changed or bool(old.faults or new.faults)
        products.update(news)
        part = changed_part(self.part, lost, found)
        if not is_fault_changed:
            return Reach(catalog, scope, policies, part, products, self.faults)
        faulty = sorted(key for key, some in products.items() if some.faults)
        faults = tuple(fault for key in faulty for fault in products[key].faults)
        return Reach(catalog, scope, policies, part, products, faults)


_NOTHING = Products((), ())


def revised(former: ResourcePart, resources: Iterable[Resource]) -> ResourcePart:
    """A part of these resources, which is the former one as far as they are the same."""
    old = {Reference(url, name) for url, group in former.groups.items() for name in group.by_name}
    return changed_part(former, old, {resource.key: resource for resource in resources})


def changed_part(
    part: ResourcePart, lost: set[Reference], found: dict[Reference, Resource]
) -> ResourcePart:
    """The part without what is lost, with what is found; the same object if that is nothing."""
    removed = lost - found.keys()
    changed = [
        resource
        for (url, name), resource in found.items()
        if url not in part.groups or part.groups[url].by_name.get(name) is not resource
    ]
    return part.updated(changed, removed) if changed or removed else part
