"""Lists of texts, addresses and patterns: read from bodies, asked for values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Literal

import yaml

from meshregistry.mixer._patterns import linear
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.spi import text_of

EntryType = Literal["STRINGS", "CASE_INSENSITIVE_STRINGS", "IP_ADDRESSES", "REGEX"]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Contains = Callable[[str], bool]
"""Whether a list has a value; raises ValueError for a value that it cannot have."""

_NOT_YAML = (yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for bodies of others; the last three for a tag with an odd text behind it."""
_PACKED = (4, 16)
_FORM = "write whitelist: [10.0.0.0/8, 192.0.2.1]"
_MAPPED_BITS = 96
"""Of an IPv4 address in the form for IPv6: those before it (RFC 4291, section 2.5.5.2)."""


def entries_of(body: str, entry_type: EntryType) -> tuple[str, ...]:
    """The entries of a body: lines; of addresses, YAML with a list below ``whitelist``.

    Raises:
        ValueError: if it is not of this form.
    """
    if entry_type != "IP_ADDRESSES":
        return tuple(line for one in body.splitlines() if (line := one.strip()))
    try:
        document = yaml.safe_load(body)
    except _NOT_YAML as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the body is not YAML: {reason}; {_FORM}") from error
    listed = document.get("whitelist") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError(f"the body has no list below whitelist:; {_FORM}")  # noqa: TRY004 - of a body
    # Nested entries are none, and aliases could make them endless.
    if not all(isinstance(one, str) for one in listed):
        raise ValueError(f"the body has an entry that is no text; {_FORM}")
    return tuple(listed)


def contains(entries: Iterable[str], entry_type: EntryType) -> Contains:
    """A function that tells whether a value is in the list.

    Raises:
        ValueError: if an entry cannot be read; names it.
    """
    return _MAKERS[entry_type](entries)


def _texts(entries: Iterable[str]) -> Contains:
    return frozenset(entries).__contains__


def _folded(entries: Iterable[str]) -> Contains:
    known = frozenset(one.casefold() for one in entries)
    return lambda value: value.casefold() in known


def _addresses(entries: Iterable[str]) -> Contains:
    """Networks by version and length of prefix: the cost of a question is that of the lengths."""
    known: dict[tuple[int, int], set[int]] = {}
    for one in entries:
        try:
            network = _unmapped(ip_network(one, strict=False))
        except ValueError as error:
            raise ValueError(f"{one!r} is neither an address nor a network") from error
        shift = network.max_prefixlen - network.prefixlen
        numbers = known.setdefault((network.version, shift), set())
        numbers.add(int(network.network_address) >> shift)

    def has(value: str) -> bool:
        address = _address(value)
        number = int(address)
        return any(
            version == address.version and number >> shift in numbers
            for (version, shift), numbers in known.items()
        )

    return has


def _unmapped(network: Network) -> Network:
    """A network of IPv4, if it is one in the form for IPv6: values are looked for as such."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


def _address(value: str) -> Address:
    try:
        address = ip_address(value)
    except ValueError as error:
        raise ValueError(f"{value} is not a valid IP address") from error
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _patterns(entries: Iterable[str]) -> Contains:
    imported("re2", "mixer-server")
    compiled = [linear(one) for one in entries]
    return lambda value: any(pattern.search(value) is not None for pattern in compiled)


_MAKERS: dict[EntryType, Callable[[Iterable[str]], Contains]] = {
    "STRINGS": _texts,
    "CASE_INSENSITIVE_STRINGS": _folded,
    "IP_ADDRESSES": _addresses,
    "REGEX": _patterns,
}


def symbol(value: object) -> str | None:
    """The value that is looked for, as text; None if it is neither a text nor an address."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes) and len(value) in _PACKED:
        return text_of(value)
    return None
