"""Calls of handlers: each has a deadline, all of one step run side by side, none harms another."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from meshregistry.cancelling import FROM_OUTSIDE, is_being_cancelled
from meshregistry.errors import MixerError
from meshregistry.mixer.config import Builder, Destination, Sent
from meshregistry.mixer.server._deadline import before
from meshregistry.mixer.server._outcome import Failure
from meshregistry.mixer.server._running import LEAKED, HandlerFailed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from meshregistry.mixer.server._running import Running

T = TypeVar("T")

_TOLD = 100
"""Of so many failures of a handler the first is told."""


@frozen
class Call:
    """An instance on its way to a handler."""

    destination: Destination
    sent: Sent
    builder: Builder


class Caller:
    """Calls the handlers of one configuration.

    Args:
        running: the handlers, by the identity of their plans.
        deadline: seconds that one call may take.
        counts: filled: dispatches and errors, by function and handler.
    """

    def __init__(
        self, running: Mapping[int, Running], deadline: float, counts: Counter[tuple[str, str]]
    ) -> None:
        self._running = running
        self._deadline = deadline
        self._counts = counts

    def method(self, destination: Destination, name: str) -> Callable[..., Awaitable[Any]]:
        """A method of the handler that a destination is.

        Raises:
            HandlerFailed: if it could not be opened, or has no such method.
        """
        return self._running[id(destination.plan)].method(name)

    async def each(
        self, calls: Sequence[Call], ask: Callable[[Call], Coroutine[Any, Any, T]]
    ) -> Sequence[T | Failure]:
        """All calls side by side; the results in their order."""
        if len(calls) == 1:
            return [await self.one(calls[0].destination, partial(ask, calls[0]))]
        return await asyncio.gather(
            *(self.one(call.destination, partial(ask, call)) for call in calls)
        )

    async def one(
        self, destination: Destination, ask: Callable[[], Coroutine[Any, Any, T]]
    ) -> T | Failure:
        """One call. It is made in here, since a task may be cancelled before it begins."""
        title = destination.plan.title
        self._counts["dispatch", title] += 1
        deadline = asyncio.timeout(self._deadline)
        try:
            return await before(deadline, ask())
        except MixerError as error:
            reason = str(error)
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            reason = LEAKED
        except FROM_OUTSIDE:
            raise
        except BaseException as error:  # noqa: BLE001 - `failed` logs it with its traceback
            # A handler's own time-outs look the same.
            if deadline.expired():
                reason = f"no answer within {self._deadline:g} s"
            else:
                reason = f"{type(error).__name__}: {error}"
                return self.failed(destination, reason, error)
        return self.failed(destination, reason)

    def failed(
        self, destination: Destination, reason: str, fault: BaseException | None = None
    ) -> Failure:
        """Note that a call failed, or could not be made.

        The log has the first of each hundred, since callers may know the reason and nobody ask
        them; a fault of the adapter itself with its traceback.
        """
        title = destination.plan.title
        number = self._counts["error", title] = self._counts["error", title] + 1
        if number % _TOLD == 1:
            logger = self._running[id(destination.plan)].context.logger
            logger.warning("a call failed (number %d): %s", number, reason, exc_info=fault)
        return Failure(handler=title, reason=reason)


def of_type(kind: type[T], answer: object) -> T:
    """What a handler answered, if it is an answer.

    Raises:
        HandlerFailed: if it is none.
    """
    if not isinstance(answer, kind):
        what = f"{type(answer).__name__} instead of {kind.__name__}"
        raise HandlerFailed(f"it answered {what}; report it to the adapter's author")
    return answer
