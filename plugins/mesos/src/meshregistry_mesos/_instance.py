"""One running task or pod, as both kinds see it; pure."""

from __future__ import annotations

import re

from attrs import field, frozen

from meshregistry.model import Health, Labels, Locality, Protocol

_VIP = re.compile(r"VIP_\d+")
_NOT_IN_LABELS = re.compile(r"[^a-z0-9-]+")


@frozen
class Vip:
    """A virtual address, as DC/OS has them: a name or an IP, and a port.

    Attributes:
        name: without the slash; empty for an IP.
        address: the IP; empty for a name.
        port: of the virtual address.
    """

    name: str
    address: str
    port: int


@frozen(kw_only=True)
class InstancePort:
    """One port of an instance.

    Attributes:
        name: of the service's port; unique within the instance.
        address: where it answers.
        number: on that address.
        protocol: what it speaks.
        service_number: of the service's port; 0 if nothing says, so that the protocol decides.
        vips: virtual addresses that lead to it.
    """

    name: str
    address: str
    number: int
    protocol: Protocol
    service_number: int = 0
    vips: tuple[Vip, ...] = ()


@frozen(kw_only=True)
class Instance:
    """What matters of one task or pod.

    Attributes:
        id: its own.
        ports: in the order of their declaration.
        health: as the settings have it.
        labels: of it.
        locality: where it runs.
        notes: what of it was not understood.
    """

    id: str
    ports: tuple[InstancePort, ...]
    health: Health = Health.HEALTHY
    labels: Labels = field(factory=Labels)
    locality: Locality = Locality()
    notes: tuple[str, ...] = ()


def vips(labels: dict[str, str]) -> tuple[Vip, ...]:
    """The virtual addresses that the labels ``VIP_0``, ``VIP_1``, ... of a port name.

    Raises:
        ValueError: if one is neither ``/name:port`` nor ``address:port``.
    """
    found: list[Vip] = []
    for key, value in sorted(labels.items()):
        if not _VIP.fullmatch(key):
            continue
        place, _, port = value.rpartition(":")
        if not place or not (port.isascii() and port.isdigit()):
            raise ValueError(f"{key} is {value!r}: write /name:port or address:port")
        if place.startswith("/"):
            found.append(Vip(place.strip("/"), "", int(port)))
        else:
            found.append(Vip("", place.strip("[]"), int(port)))
    return tuple(found)


def spoken(name: str, transport: str, default: str) -> Protocol:
    """What a port speaks: by its name, else by what is said of it, else as the settings say.

    Args:
        name: of the port, whose part before the first hyphen counts.
        transport: ``tcp``, ``udp``, both separated by a comma, or more than that (``http``).
        default: of the settings, for ports of TCP.
    """
    by_name = Protocol.from_port_name(name) if name else Protocol.UNSUPPORTED
    if by_name is not Protocol.UNSUPPORTED:
        return by_name
    words = [word.strip() for word in transport.lower().split(",") if word.strip()]
    if words == ["udp"]:
        return Protocol.UDP
    if len(words) == 1 and words != ["tcp"]:
        try:
            return Protocol.parse(words[0])
        except ValueError:
            pass
    return Protocol.parse(default)


def port_name(name: str, protocol: Protocol, index: int, taken: set[str]) -> str:
    """The name of a port: its own, else of protocol and place; unique, and noted as taken."""
    base = name.lower() or (
        protocol.value.lower() if index == 0 else f"{protocol.value.lower()}-{index}"
    )
    unique = base if base not in taken else f"{base}-{index}"
    taken.add(unique)
    return unique


def dns_label(text: str) -> str:
    """A name as one label of a host name: hyphens for all that such a label may not hold."""
    return _NOT_IN_LABELS.sub("-", text.lower()).strip("-")[:63].rstrip("-")


def dns_path(text: str) -> str:
    """The same for a dotted name, each part a label."""
    return ".".join(filter(None, map(dns_label, text.split("."))))


def preferred(addresses: list[str], family: str) -> str:
    """The first address of that version of IP, else the first of all; empty without any."""
    wanted = [one for one in addresses if (":" in one) == (family == "IPv6")]
    return next(iter([*wanted, *addresses]), "")
