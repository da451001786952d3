"""Whose forwarded attributes are believed. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Self

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _networks(values: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(one) for one in values)


@frozen(kw_only=True)
class Trust:
    """Callers that are believed what they forward in ``x-istio-attributes``; by default nobody.

    Anybody can write a header, so these are callers that Envoy has authenticated, or
    machines that nobody else can send from.

    Attributes:
        principals: identities of client certificates, without ``spiffe://``; one that ends
            with ``*`` stands for all that begin so.
        networks: of the addresses of callers, such as ``10.0.0.0/8``. An address is that of
            the connection, or what Envoy was told to believe instead
            (``use_remote_address``).

    Raises:
        ValueError: if a network is none.
    """

    principals: tuple[str, ...] = field(default=(), converter=_texts)
    networks: tuple[IPv4Network | IPv6Network, ...] = field(default=(), converter=_networks)

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """Read networks and identities as somebody types them.

        Raises:
            ValueError: if a word is an address with another prefix than a network has.
        """
        given = tuple(words)
        networks = tuple(word for word in given if _is_address(word.partition("/")[0]))
        return cls(principals=(word for word in given if word not in networks), networks=networks)

    def covers(self, principal: str | None, address: bytes | None) -> bool:
        """Whether a caller is one of them."""
        return (
            principal is not None and any(_is_like(one, principal) for one in self.principals)
        ) or (address is not None and any(ip_address(address) in one for one in self.networks))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_like(pattern: str, principal: str) -> bool:
    if pattern.endswith("*"):
        return principal.startswith(pattern[:-1])
    return principal == pattern
