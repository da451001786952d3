"""Which services a binding is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.mixer import vocabulary as v
from meshregistry.mixer._attributes import StringMap

if TYPE_CHECKING:
    from meshregistry.mixer._attributes import AttributeBag

EVERY = "*"
_BELOW = "*."


@frozen(kw_only=True)
class ServiceSelector:
    """Services by their host, or by name and namespace (``IstioService``).

    Attributes:
        host: the whole host; ``*``: every service, also one that is not known; ``*.shop.example``:
            every one below. Empty: name and namespace count.
        name: the short name.
        namespace: of the service.
        domain: what follows the namespace in the host, such as ``svc.mesh.local``; empty: anything
            that a host of this name and namespace has there.
        labels: those of the serving instance, all of them; none: any instance.
    """

    host: str = ""
    name: str = ""
    namespace: str = ""
    domain: str = ""
    labels: Mapping[str, str] = field(factory=dict)

    def is_match(self, bag: AttributeBag) -> bool:
        """Whether a request is for such a service, by its attributes ``destination.…``."""
        return self._is_service(bag) and self._has_labels(bag)

    def _is_service(self, bag: AttributeBag) -> bool:
        if self.host == EVERY:
            return True
        said = bag.get(v.DESTINATION_SERVICE_HOST) or bag.get(v.DESTINATION_SERVICE)
        host = said.lower() if isinstance(said, str) else ""
        if self.host.startswith(_BELOW):
            return host.endswith(self.host[1:].lower())
        if self.host:
            return host == self.host.lower()
        short = f"{self.name}.{self.namespace}".lower()
        if self.domain:
            return host == f"{short}.{self.domain.lower()}"
        name, namespace = (
            bag.get(v.DESTINATION_SERVICE_NAME),
            bag.get(v.DESTINATION_SERVICE_NAMESPACE),
        )
        if name is not None and namespace is not None:
            return (name, namespace) == (self.name, self.namespace)
        # Where an Envoy's own configuration states a host and nothing else.
        return host == short or host.startswith(f"{short}.svc.")

    def _has_labels(self, bag: AttributeBag) -> bool:
        if not self.labels:
            return True
        found = bag.get(v.DESTINATION_LABELS)
        return isinstance(found, StringMap) and self.labels.items() <= found.items()


@frozen(kw_only=True)
class Binding:
    """Specs that are for the requests to some services.

    Attributes:
        services: any of them.
        specs: full names.
    """

    services: tuple[ServiceSelector, ...]
    specs: tuple[str, ...]

    def is_match(self, bag: AttributeBag) -> bool:
        """Whether the specs are for a request."""
        return any(one.is_match(bag) for one in self.services)
