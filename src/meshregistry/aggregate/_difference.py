"""What two sources say differently of the same services; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

from meshregistry.model import Endpoint, Service, ServiceKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.model import ServiceRecord


@frozen(kw_only=True)
class Difference:
    """One thing that two sources do not say alike.

    Attributes:
        service: of which they say it.
        what: ``service``, ``endpoint ADDRESS:PORT``, or a field of either, such as ``labels``
            or ``endpoint 10.0.0.1:80 weight``.
        first, second: what each says, as text; empty where it does not know the thing.
    """

    service: ServiceKey
    what: str
    first: str
    second: str


class _Place(NamedTuple):
    """Where an endpoint is: what two registries that know it agree on."""

    network: str
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}" + (f" on {self.network}" if self.network else "")


@frozen
class _Said:
    """All records of one source for one service, as one."""

    service: Service
    endpoints: Mapping[_Place, tuple[str, Endpoint]]


def differences(
    first: Iterable[ServiceRecord], second: Iterable[ServiceRecord]
) -> tuple[Difference, ...]:
    """Compare the records of two sources, service by service.

    Names of ports are each registry's own and are not compared; endpoints are matched by
    network, address and port, and the port that they serve is compared by its number.

    Args:
        first: all records of one source.
        second: all records of the other.
    """
    one, other = _said(first), _said(second)
    found: list[Difference] = []
    for key in sorted(one.keys() | other.keys()):
        found += _of_service(key, one.get(key), other.get(key))
    return tuple(found)


def _said(records: Iterable[ServiceRecord]) -> dict[ServiceKey, _Said]:
    by_service: dict[ServiceKey, list[ServiceRecord]] = {}
    for record in sorted(records, key=lambda record: record.key):
        by_service.setdefault(record.service.key, []).append(record)
    return {key: _united(some) for key, some in by_service.items()}


def _united(records: list[ServiceRecord]) -> _Said:
    endpoints: dict[_Place, tuple[str, Endpoint]] = {}
    for record in records:
        for endpoint in record.endpoints:
            port = record.service.port(endpoint.service_port)
            serves = endpoint.service_port if port is None else str(port.number)
            place = _Place(endpoint.network, endpoint.address, endpoint.port)
            endpoints.setdefault(place, (serves, endpoint))
    return _Said(records[0].service, endpoints)


def _of_service(key: ServiceKey, one: _Said | None, other: _Said | None) -> Iterator[Difference]:
    if one is None or other is None:
        yield Difference(service=key, what="service", first=_size(one), second=_size(other))
        return
    fields = zip(_service_fields(one.service), _service_fields(other.service), strict=True)
    yield from _of_fields(key, "", fields)
    for place in sorted(one.endpoints.keys() | other.endpoints.keys()):
        what, mine, theirs = (
            f"endpoint {place}",
            one.endpoints.get(place),
            other.endpoints.get(place),
        )
        if mine is None or theirs is None:
            yield Difference(
                service=key, what=what, first=_presence(mine), second=_presence(theirs)
            )
        else:
            both = zip(_endpoint_fields(*mine), _endpoint_fields(*theirs), strict=True)
            yield from _of_fields(key, f"{what} ", both)


def _of_fields(
    key: ServiceKey, prefix: str, fields: Iterable[tuple[tuple[str, str], tuple[str, str]]]
) -> Iterator[Difference]:
    for (name, mine), (_, theirs) in fields:
        if mine != theirs:
            yield Difference(service=key, what=f"{prefix}{name}", first=mine, second=theirs)


def _size(said: _Said | None) -> str:
    return "" if said is None else f"{len(said.endpoints)} endpoints"


def _presence(endpoint: tuple[str, Endpoint] | None) -> str:
    return "" if endpoint is None else str(endpoint[1].health)


def _service_fields(service: Service) -> Iterator[tuple[str, str]]:
    yield "ports", " ".join(f"{port.number}/{port.protocol}" for port in service.ports)
    yield "resolution", str(service.resolution)
    yield "addresses", " ".join(service.addresses)
    yield "labels", _labels(service.labels)
    yield "alias_of", str(service.alias_of or "")
    yield "is_external", str(service.is_external).lower()
    yield "export_to", " ".join(service.export_to)


def _endpoint_fields(serves: str, endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    yield "service_port", serves
    yield "health", str(endpoint.health)
    yield "weight", str(endpoint.weight)
    yield "locality", str(endpoint.locality)
    yield "cluster", endpoint.cluster
    yield "workload_identity", endpoint.workload_identity
    yield "labels", _labels(endpoint.labels)


def _labels(labels: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items()))
