"""One blocking query, asked again and again by the rules of `_index`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

from meshregistry_consul._index import Cursor, herd_pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshregistry.spi import RegistryContext
    from meshregistry_consul._client import Answer
    from meshregistry_consul._index import Pace


async def follow_news(
    ask: Callable[[Cursor], Awaitable[Answer]],
    told: Callable[[Answer, bool], None],
    *,
    context: RegistryContext,
    pace: Pace,
    cursor: Cursor,
) -> Never:
    """Ask until cancelled, and tell each answer with whether its index has moved.

    Args:
        ask: puts the query.
        told: is told each answer that counts.
        context: of the source.
        pace: how fast answers may follow each other.
        cursor: where to begin.

    Raises:
        RegistryError: what `ask` raises.
    """
    while True:
        await context.clock.sleep(pace.take(context.clock.now()))
        answer = await ask(cursor)
        if cursor.went_back(answer.index):
            # Asked anew without an index before anything of it is believed.
            context.count("index_resets")
            cursor = Cursor()
            await context.clock.sleep(herd_pause(context.random))
            continue
        following = cursor.after(answer.index, answer.content_hash)
        has_moved, cursor = following != cursor, following
        told(answer, has_moved)
