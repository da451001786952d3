"""EDS: who answers for a service's port, by locality, weight and health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from envoy.config.core.v3 import health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from meshregistry.errors import GenerationError
from meshregistry.generate._locality import Group, Preference, grouped
from meshregistry.generate._world import is_reachable
from meshregistry.model import ENDPOINT, AddressKind, Health, Locality, Resolution, Selector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshregistry.model import CatalogEntry, Endpoint, Port

_LARGEST_SUM = 2**32 - 1
_LONGEST_PIPE = 107
_SHOWN = 3


@frozen(kw_only=True, eq=False)
class Assignment:
    """The endpoints of one port, chosen and encoded as a message.

    Attributes:
        is_resolved_by_proxy: whether the proxy has to look up names, so that the message
            goes into its cluster.
        message: a ``ClusterLoadAssignment``.
        faults: endpoints that were left out, and why.
    """

    is_resolved_by_proxy: bool
    message: endpoint_pb2.ClusterLoadAssignment
    faults: tuple[GenerationError, ...]


EVERYTHING = Selector()
"""Chooses all endpoints."""


def assignment(
    name: str,
    entry: CatalogEntry,
    port: Port,
    network: str,
    *,
    chosen: Selector = EVERYTHING,
    apart: Sequence[Selector] = (),
    preference: Preference | None = None,
) -> Assignment:
    """The assignment of a cluster for proxies on a network; possibly empty.

    It has the endpoints whose labels the selector chooses, without those that are set
    apart; the preference decides in which order, and with what shares.

    The kinds of *all* addresses of the port decide who resolves names, whatever their
    health, so that an endpoint that falls ill does not change the cluster's type.
    """
    mine = [endpoint for endpoint in entry.endpoints if endpoint.service_port == port.name]
    kinds = [endpoint.kind for endpoint in mine]
    by_proxy = entry.service.resolution is Resolution.DNS or (
        bool(kinds) and all(kind is AddressKind.DNS for kind in kinds)
    )
    unsendable = AddressKind.UNIX if by_proxy else AddressKind.DNS
    left_out: dict[str, list[Endpoint]] = {}
    by_locality: dict[Locality, list[Endpoint]] = {}
    for endpoint, kind in zip(mine, kinds, strict=True):
        if kind is unsendable:
            reason = _NOT_BY_DNS if by_proxy else _NOT_BY_EDS
        elif not is_reachable(endpoint, network):
            reason = f"{_ELSEWHERE} {endpoint.network!r}"
        elif kind is AddressKind.UNIX and len(_path(endpoint)) > _LONGEST_PIPE:
            reason = _TOO_LONG
        elif not _is_text(endpoint):
            reason = _NOT_TEXT
        else:
            labels = endpoint.labels
            is_apart = any(selector.is_match(labels) for selector in apart)
            if endpoint.is_sent and chosen.is_match(labels) and not is_apart:
                by_locality.setdefault(endpoint.locality, []).append(endpoint)
            continue
        left_out.setdefault(reason, []).append(endpoint)
    return Assignment(
        is_resolved_by_proxy=by_proxy,
        message=_message(name, grouped(by_locality, preference)),
        faults=tuple(_fault(name, reason, some) for reason, some in left_out.items()),
    )


# Why an endpoint is left out, and what to do.
_NOT_BY_EDS = (
    "names in a service that has addresses, too: Envoy takes no names from a control plane; "
    "give all endpoints addresses, or the service the resolution DNS"
)
_NOT_BY_DNS = (
    "Unix sockets in a service that is resolved by DNS; give the service the resolution EDS"
)
_TOO_LONG = f"socket paths longer than {_LONGEST_PIPE} bytes; shorten them"
_NOT_TEXT = "values that are not valid Unicode text; correct them in their registry"
_ELSEWHERE = "only reached through a gateway, and none is known for the network"


def _message(name: str, groups: Sequence[Group]) -> endpoint_pb2.ClusterLoadAssignment:
    scale = _scale(endpoint for group in groups for endpoint in group.endpoints)
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    for one in groups:
        group = message.endpoints.add(priority=one.priority)
        if one.locality != _NOWHERE:
            group.locality.region = one.locality.region
            group.locality.zone = one.locality.zone
            group.locality.sub_zone = one.locality.sub_zone
        total = 0
        for endpoint in one.endpoints:
            weight = max(1, endpoint.weight // scale)
            total += weight
            _fill(group.lb_endpoints.add(), endpoint, weight)
        group.load_balancing_weight.value = total if one.weight is None else one.weight
    return message


_NOWHERE = Locality()


def _scale(endpoints: Iterable[Endpoint]) -> int:
    """What weights are divided by.

    Envoy refuses an assignment in which the weights of a priority's localities, or those
    of a locality's endpoints, add up to more than an unsigned 32-bit number.
    """
    weights = [endpoint.weight for endpoint in endpoints]
    return -(-sum(weights) // (_LARGEST_SUM - len(weights))) or 1


def _fill(message: endpoint_components_pb2.LbEndpoint, endpoint: Endpoint, weight: int) -> None:
    if endpoint.port == 0:
        message.endpoint.address.pipe.path = _path(endpoint)
    else:
        address = message.endpoint.address.socket_address
        address.address = endpoint.address
        address.port_value = endpoint.port
    message.load_balancing_weight.value = weight
    if endpoint.health is Health.DRAINING:
        message.health_status = health_check_pb2.DRAINING


def _path(endpoint: Endpoint) -> str:
    return endpoint.address.removeprefix("unix://")


def _is_text(endpoint: Endpoint) -> bool:
    """Whether Protobuf takes its texts: YAML and JSON can spell lone surrogates."""
    locality = endpoint.locality
    text = endpoint.address + locality.region + locality.zone + locality.sub_zone
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _fault(name: str, reason: str, endpoints: list[Endpoint]) -> GenerationError:
    shown = ", ".join(str(endpoint) for endpoint in endpoints[:_SHOWN])
    more = f" and {len(endpoints) - _SHOWN} more" if len(endpoints) > _SHOWN else ""
    return GenerationError(
        f"the assignment {name} leaves out {shown.encode(errors='replace').decode()}{more}: {reason}",
        type_url=ENDPOINT,
        name=name,
    )
