"""Other replicas of this pilot, asked over HTTP how far an endpoint is drained there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.model import Endpoint
    from meshregistry.spi import Clock

_TIMEOUT = aiohttp.ClientTimeout(total=3.0)
_INTERVAL = 0.25


@frozen(kw_only=True)
class PeerAnswer:
    """What one replica says.

    Attributes:
        url: of the replica.
        is_drained: whether none of its proxies is led to the endpoint.
        proxies: ids of those that are.
        error: why it did not say; empty if it did.
    """

    url: str
    is_drained: bool = False
    proxies: tuple[str, ...] = ()
    error: str = ""


class Peers:
    """The other replicas.

    Args:
        urls: of their ``http`` listeners.
        clock: paces the questions.
    """

    def __init__(self, urls: Sequence[str], clock: Clock) -> None:
        self._urls = tuple(one.rstrip("/") for one in urls)
        self._clock = clock

    async def ask(self, endpoint: Endpoint) -> tuple[PeerAnswer, ...]:
        """What each says at this moment, in order of the settings."""
        if not self._urls:
            return ()
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            asked = (_ask(http, url, endpoint) for url in self._urls)
            return tuple(await asyncio.gather(*asked))

    async def pause(self) -> None:
        """Wait before asking again."""
        await self._clock.sleep(_INTERVAL)


async def _ask(http: aiohttp.ClientSession, url: str, endpoint: Endpoint) -> PeerAnswer:
    query = {
        "address": endpoint.address,
        "port": str(endpoint.port),
        "network": endpoint.network,
    }
    try:
        async with http.get(f"{url}/v1/drained", params=query) as answer:
            if answer.status == 404:  # noqa: PLR2004 - HTTP's own number
                return PeerAnswer(url=url, error="it names no replicas in its server.peers")
            if answer.status != 200:  # noqa: PLR2004 - the same
                return PeerAnswer(url=url, error=f"it answers {answer.status} {answer.reason}")
            document = await answer.json()
            return PeerAnswer(
                url=url,
                is_drained=document["is_drained"] is True,
                proxies=tuple(map(str, document["proxies"])),
                error="" if document["is_published"] else "it has published nothing yet",
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return PeerAnswer(
            url=url, error=f"it does not answer: {str(error) or type(error).__name__}"
        )
    except (ValueError, KeyError, TypeError):
        return PeerAnswer(url=url, error="it is no meshregistry server of this version")
