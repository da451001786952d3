"""HTTP listeners: groups of routes, bound to addresses that they may share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from meshregistry.http_log import HttpLogger
from meshregistry.server._extra import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

_SHUTDOWN = 2.0
_UNIX = "unix:"


class HttpListeners:
    """Serves named groups of routes, each on its address.

    Groups with the same address text share one listener, also when its port is 0.

    Args:
        groups: for each group its address (``host:port`` or ``unix:///path``) and routes.
        tls: the context of each group that speaks TLS; such a group shares no listener.
    """

    def __init__(
        self,
        groups: Mapping[str, tuple[str, Iterable[web.RouteDef]]],
        tls: Mapping[str, ssl.SSLContext] = MappingProxyType({}),
    ) -> None:
        self._tls = dict(tls)
        self._groups = {name: (address, list(routes)) for name, (address, routes) in groups.items()}
        self._runners: list[web.AppRunner] = []
        self._bound: dict[tuple[str, str], str] = {}

    def address(self, group: str) -> str:
        """The address in use, with the real port.

        Raises:
            KeyError: if the group is not bound.
        """
        return self._bound[self._place(group)]

    def _place(self, group: str) -> tuple[str, str]:
        """The address of a group, and the group itself if it keeps it to itself."""
        return self._groups[group][0], group if group in self._tls else ""

    async def start(self) -> None:
        """Bind every address, or none.

        Raises:
            OSError: if an address cannot be bound; names it.
        """
        try:
            for place in dict.fromkeys(map(self._place, self._groups)):
                await self._bind(*place)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening and end what is still being answered, within two seconds."""
        runners, self._runners = self._runners, []
        await asyncio.gather(*(runner.cleanup() for runner in runners))
        _remove_sockets(address for address, _ in self._bound)
        self._bound.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _bind(self, address: str, alone: str) -> None:
        app = web.Application()
        for group, (_, routes) in self._groups.items():
            if self._place(group) == (address, alone):
                app.add_routes(routes)
        runner = web.AppRunner(
            app, access_log=None, logger=HttpLogger(), shutdown_timeout=_SHUTDOWN
        )
        await runner.setup()
        self._runners.append(runner)
        site: web.BaseSite
        if address.startswith(_UNIX):
            site = web.UnixSite(runner, _path(address))
        else:
            host, _, port = address.rpartition(":")
            context = self._tls.get(alone)
            site = web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot listen for HTTP on {address}: {error.strerror or error}; "
                "choose a free address or port 0",
            ) from error
        self._bound[address, alone] = _shown(address, runner)


def _remove_sockets(addresses: Iterable[str]) -> None:
    for address in addresses:
        if address.startswith(_UNIX):
            # Python removes them only since 3.13.
            Path(_path(address)).unlink(missing_ok=True)


def _path(address: str) -> str:
    return address.removeprefix(_UNIX).removeprefix("//")


def _shown(address: str, runner: web.AppRunner) -> str:
    if address.startswith(_UNIX):
        return address
    host = address.rpartition(":")[0]
    return f"{host}:{runner.addresses[0][1]}"
