"""Where the server listens; that an address cannot be bound is said once, with its reason."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from meshregistry.mixer.server._tls import MixerServerTls, credentials

if TYPE_CHECKING:
    import grpc

_UNIX = "unix:"


async def bind(server: grpc.aio.Server, address: str, tls: MixerServerTls | None) -> str:
    """Let a server listen at an address, and give it with the real port.

    Args:
        server: is not started yet.
        address: ``host:port``, where port 0 lets the system choose, or ``unix:///path``.
        tls: certificates; None: plain text.

    Raises:
        OSError: if the address cannot be bound; it names the address.
        ConfigError: if a certificate cannot be used.
    """
    secured = None if tls is None else credentials(tls)
    await _try(address)
    try:
        port = (
            server.add_insecure_port(address)
            if secured is None
            else server.add_secure_port(address, secured)
        )
    except RuntimeError as error:
        # gRPC does not say why; most likely somebody was quicker than we.
        raise _fault(address, errno.EADDRINUSE, "it is in use") from error
    if address.startswith(_UNIX):
        return address
    return f"{address.rpartition(':')[0]}:{port}"


async def _try(address: str) -> None:
    """Find out why an address cannot be bound, which gRPC would only write to standard error."""
    if address.startswith(_UNIX):
        return
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host.removeprefix("[").removesuffix("]"),
            int(port),
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        why = error.strerror or str(error)
        raise _fault(address, error.errno or errno.EINVAL, why) from error


def _fault(address: str, number: int, why: str) -> OSError:
    return OSError(number, f"cannot listen on {address}: {why}; choose a free address or port 0")
