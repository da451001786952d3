"""Batches by HTTP POST, with what an answer means for the next attempt."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp

from meshregistry.mixer.adapters._outbox import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_AGAIN = frozenset({408, 429, 502, 503, 504})
"""Answers after which the same request may be sent again (OTLP, section OTLP/HTTP Response)."""
_OK = range(200, 300)
_SHOWN = 200


class Poster:
    """Posts to one server, over connections that stay open.

    Args:
        ca_file: certificates of those who may vouch for it; None: those of the system.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Send one; what was answered.

        Raises:
            Unavailable: if it may be sent again.
            Refused: if it need not be.
            OSError: if the certificates cannot be read.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=self._connector())
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                said = await answer.read()
        except aiohttp.ClientError as error:
            raise Unavailable(f"{url}: {error}") from error
        if answer.status in _OK:
            return said
        text = f"{url} answered {answer.status}: {said[:_SHOWN].decode(errors='replace')}"
        raise (Unavailable if answer.status in _AGAIN else Refused)(text)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _connector(self) -> aiohttp.TCPConnector:
        if self._ca_file is None:
            return aiohttp.TCPConnector()
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"caFile: {self._ca_file} cannot be read: {reason}") from error
        return aiohttp.TCPConnector(ssl=context)
