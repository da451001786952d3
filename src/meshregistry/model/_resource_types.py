"""Types of xDS resources: their URLs, and what the protocol says of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "type.googleapis.com/"

CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SCOPED_ROUTE = _PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
VIRTUAL_HOST = _PREFIX + "envoy.config.route.v3.VirtualHost"
SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
RUNTIME = _PREFIX + "envoy.service.runtime.v3.Runtime"
EXTENSION_CONFIG = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"


class TypeTraits(NamedTuple):
    """What the xDS protocol says of one resource type.

    Attributes:
        type_url: the type.
        name: the short name that people use, such as ``cds``.
        is_full_state: a state-of-the-world response carries every subscribed resource,
            and absence deletes; the first request may name nothing and mean everything.
        push_rank: types are sent in rising order (make before break).
    """

    type_url: str
    name: str
    is_full_state: bool
    push_rank: int


TYPE_TRAITS: Mapping[str, TypeTraits] = {
    traits.type_url: traits
    for traits in (
        TypeTraits(CLUSTER, "cds", is_full_state=True, push_rank=0),
        TypeTraits(ENDPOINT, "eds", is_full_state=False, push_rank=1),
        TypeTraits(LISTENER, "lds", is_full_state=True, push_rank=2),
        TypeTraits(SCOPED_ROUTE, "srds", is_full_state=True, push_rank=3),
        TypeTraits(ROUTE, "rds", is_full_state=False, push_rank=4),
        TypeTraits(VIRTUAL_HOST, "vhds", is_full_state=False, push_rank=5),
        TypeTraits(SECRET, "sds", is_full_state=False, push_rank=6),
        TypeTraits(EXTENSION_CONFIG, "ecds", is_full_state=False, push_rank=7),
        TypeTraits(RUNTIME, "rtds", is_full_state=False, push_rank=8),
    )
}
"""The one table of traits (xDS protocol, "Resource Types", "Wildcard", "Eventual consistency")."""

_LAST = 9


def type_traits(type_url: str) -> TypeTraits:
    """The traits of a type; one that is not in the table is served by name, and last."""
    return TYPE_TRAITS.get(type_url) or TypeTraits(
        type_url, type_url.removeprefix(_PREFIX), is_full_state=False, push_rank=_LAST
    )


def type_url(name: str) -> str:
    """The type URL for a short name such as ``cds``, or for a URL itself.

    Raises:
        ValueError: if it is neither.
    """
    for traits in TYPE_TRAITS.values():
        if name.lower() == traits.name:
            return traits.type_url
    if name.startswith(_PREFIX):
        return name
    known = ", ".join(traits.name for traits in TYPE_TRAITS.values())
    msg = f"{name!r} is not a resource type: use one of {known} or a whole type URL"
    raise ValueError(msg)
