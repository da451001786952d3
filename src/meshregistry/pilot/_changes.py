"""Following the catalog: each step gives what changed since the consumer last looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from meshregistry.model import Catalog, CatalogDiff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class CatalogChanges:
    """An async iterator of `CatalogDiff`; nothing is lost by coalescing.

    A slow consumer sees fewer, larger differences. It is an object with `aclose`, not a
    generator, so that leaving a loop early leaves nothing suspended.

    Args:
        newer: waits until the published catalog is another one than the argument and
            gives it; None when there will be no more.
        since: what the consumer already knows.
    """

    def __init__(
        self, newer: Callable[[Catalog], Awaitable[Catalog | None]], since: Catalog | None
    ) -> None:
        self._newer = newer
        self._seen = Catalog() if since is None else since
        self._is_closed = False

    @property
    def catalog(self) -> Catalog:
        """The catalog up to which this consumer has been told."""
        return self._seen

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CatalogDiff:
        """Wait for the next difference.

        Raises:
            PilotFailed: if the core has failed.
        """
        while not self._is_closed:
            catalog = await self._newer(self._seen)
            if catalog is None or self._is_closed:
                break
            diff = catalog.diff(self._seen)
            self._seen = catalog
            if diff:
                return diff
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration; a step that is waiting ends with it at the next change."""
        self._is_closed = True
