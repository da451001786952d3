"""The ports at which a workload is called, if a document says them instead of its services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.generate._world import OwnPort
from meshregistry.model import Hostname, Port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.rules import SidecarScope


def said_ports(
    scope: SidecarScope, addresses: Iterable[str], own: tuple[OwnPort, ...]
) -> tuple[OwnPort, ...]:
    """The ports of the scope's ingress at each address; without any, those of the services.

    A port that a service of the workload has, too, goes by that service's name.
    """
    if not scope.ingress:
        return own
    by_number = {one.port.number: (one.host, one.namespace) for one in own}
    first = (own[0].host, own[0].namespace) if own else (Hostname(scope.name or "workload"), "")
    return tuple(
        OwnPort(
            address=address,
            number=one.port,
            host=by_number.get(one.port, first)[0],
            namespace=by_number.get(one.port, first)[1],
            port=Port(f"port-{one.port}", one.port, one.protocol),
            target=one.default_endpoint,
        )
        for address in addresses
        for one in scope.ingress
    )
