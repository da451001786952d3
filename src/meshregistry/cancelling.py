"""What reaches foreign code from outside, and whose cancellation it is."""

from __future__ import annotations

import asyncio

__all__ = ["FROM_OUTSIDE", "is_being_cancelled"]

FROM_OUTSIDE = (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What reaches an adapter from outside, and so is no fault of its own.

Everything else that it raises is, whatever its base: libraries call `sys.exit`, or tell of a panic
of their own in a class that is no `Exception`.
"""


def is_being_cancelled() -> bool:
    """Whether the running task has been told to end.

    If not, a `CancelledError` in it has leaked: something that it waited for was cancelled.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
