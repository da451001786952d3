"""Waiting until every stream of a group holds what was published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.ads import TypeState
from meshregistry.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Hashable

    from meshregistry.server._hub import Hub
    from meshregistry.server._stream import Stream

_SHOWN = 5


async def acknowledged(
    hub: Hub,
    key: Hashable,
    timeout: float | None,
) -> int:
    """Wait until the streams that a group has now hold its set, or a newer one.

    A stream that ends meanwhile is no longer waited for.

    Returns:
        How many streams the group had at the call; 0 at once if none.

    Raises:
        Rejected: if one of them refuses what it is sent.
        TimeoutError: after `timeout` seconds, naming those that are not there yet.
    """
    streams = hub.streams(key)
    pending = set(streams)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(stream: Stream) -> None:
        if stream not in pending or done.done():
            return
        if stream.is_open:
            refusal = _refusal(hub, stream)
            if refusal is not None:
                done.set_exception(refusal)
                return
            if not hub.holds_current(stream):
                return
        pending.discard(stream)
        if not pending:
            done.set_result(None)

    stop = hub.watch(look)
    try:
        for stream in streams:
            look(stream)
        if pending or done.done():
            async with asyncio.timeout(timeout):
                await done
    except TimeoutError:
        raise TimeoutError(_laggards(key, pending, timeout)) from None
    finally:
        stop()
    return len(streams)


def _refusal(hub: Hub, stream: Stream) -> Rejected | None:
    if not hub.is_current(stream):
        return None  # what it refused is not what it will be sent next
    for status in stream.status().types:
        if status.state is TypeState.REJECTED:
            node = stream.status().node.id
            return Rejected(
                f"{node!r} refused {status.type_url} {status.version_sent}: {status.error}; "
                "publish resources that it accepts",
                node=node,
                type_url=status.type_url,
                version=status.version_sent,
            )
    return None


def _laggards(key: Hashable, pending: set[Stream], timeout: float | None) -> str:
    names = sorted(stream.status().node.id for stream in pending)
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"{shown}{more} of the group {key!r} did not acknowledge within {timeout} s; "
        "see server.proxies() for what they hold"
    )
