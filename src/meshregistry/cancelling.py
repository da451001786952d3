"""Whose cancellation it is: that of the running task, or of something that it waited for."""

from __future__ import annotations

import asyncio

__all__ = ["is_being_cancelled"]


def is_being_cancelled() -> bool:
    """Whether the running task has been told to end.

    If not, a `CancelledError` in it has leaked: something that it waited for was cancelled.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
