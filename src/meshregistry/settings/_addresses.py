"""Addresses to listen on."""

from __future__ import annotations

from typing import Self

from meshregistry.model import AddressKind, address_kind, canonical_address

_HIGHEST_PORT = 65535
_FORM = "write host:port, [::1]:port or unix:///path"


class Address(str):
    """``host:port``, ``[::1]:port`` or ``unix:///path``; port 0 lets the system choose.

    It is a ``str``, so it prints and compares as one.

    Raises:
        ValueError: if the text is none of these.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Validate and bring into the one canonical spelling."""
        if text.startswith("unix:"):
            return super().__new__(cls, canonical_address(text))
        host, colon, port = text.rpartition(":")
        if not (colon and host):
            msg = f"{text!r} is not an address: {_FORM}"
            raise ValueError(msg)
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            msg = f"{text!r} is not an address: write an IPv6 address in brackets, as [::1]:80"
            raise ValueError(msg)
        if not (port.isascii() and port.isdigit() and int(port) <= _HIGHEST_PORT):
            msg = f"{port!r} is not a port: write a number from 0 to {_HIGHEST_PORT}"
            raise ValueError(msg)
        canonical = canonical_address(host.strip("[]"))
        shown = f"[{canonical}]" if ":" in canonical else canonical
        return super().__new__(cls, f"{shown}:{int(port)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The same as calling the class."""
        return cls(text)

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket."""
        return self.startswith("unix:")

    @property
    def host(self) -> str:
        """Without brackets; empty for a Unix socket."""
        return "" if self.is_unix else self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """0 if the system chooses, and for a Unix socket."""
        return 0 if self.is_unix else int(self.rpartition(":")[2])

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can reach it.

        A name counts only if it is ``localhost`` (RFC 6761, section 6.3): what any other
        resolves to is not ours to say.
        """
        if self.is_unix or self.host == "localhost":
            return True
        if address_kind(self.host) is not AddressKind.IP:
            return False
        return self.host.startswith("127.") or self.host in {"::1", "::ffff:127.0.0.1"}
