"""The names of routes: host and path, the record key, and the host of the service; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from attrs import frozen

from meshregistry.model import Hostname, RecordKey

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = "_path"
"""The label below which services of context paths live; no route of a developer is called so."""

_PLAIN = re.compile(r"[a-z0-9-]")


@frozen(order=True)
class Route:
    """What gorouter looks requests up by.

    Attributes:
        host: of the requests, in lower case; the first label may be ``*``.
        path: of the requests, in lower case, without a slash at its end; empty for all.
    """

    host: Hostname
    path: str = ""

    @classmethod
    def parse(cls, uri: str) -> Route:
        """Read ``host`` or ``host/path``, in any case; a query does not count.

        Raises:
            ValueError: if the host is none.
        """
        host, _, path = uri.lower().partition("?")[0].partition("/")
        path = path.rstrip("/")
        return cls(Hostname(host), f"/{path}" if path else "")

    @property
    def key(self) -> RecordKey:
        """The record key: as Cloud Foundry writes the route."""
        return RecordKey(f"{self.host}{self.path}")

    @property
    def service_host(self) -> Hostname:
        """The host of its service: its own, or below ``_path`` for a context path.

        ``cart.example/v2/api`` has backends of its own, so it is a service of its own,
        ``api.v2._path.cart.example``. Two routes never have one host.

        Raises:
            ValueError: if the path is too long for a host name.
        """
        if not self.path:
            return self.host
        if self.host.is_wildcard:
            # A wildcard may only stand in front, where the path goes.
            labels = [*_labels(self.path), PATHS, "_any", self.host.removeprefix("*.")]
        else:
            labels = [*_labels(self.path), PATHS, self.host]
        return Hostname(".".join(labels))

    def __str__(self) -> str:
        return self.key


def _labels(path: str) -> Iterator[str]:
    """The segments of a path as labels of a host name, innermost first."""
    for segment in reversed(path.removeprefix("/").split("/")):
        yield _label(segment)


def _label(segment: str) -> str:
    """Letters, digits and inner hyphens stay; other bytes become ``_`` and two hex digits."""
    raw = unquote_to_bytes(segment)
    last = len(raw) - 1
    made = ""
    for place, byte in enumerate(raw):
        char = chr(byte)
        is_inner = char != "-" or 0 < place < last
        made += char if _PLAIN.fullmatch(char) and is_inner else f"_{byte:02x}"
    return made or "_"
