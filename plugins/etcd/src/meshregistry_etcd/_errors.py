"""From gRPC's errors to ours: who should do what about it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc

from meshregistry.errors import (
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPACTED = "has been compacted"
# etcd says these with INVALID_ARGUMENT, UNAUTHENTICATED or PERMISSION_DENIED, by version.
_STALE = ("invalid auth token", "revision of auth store is old", "revision in header is old")
_REFUSED = (
    "authentication failed",
    "user name is empty",
    "user name not found",
    "permission denied",
)
_SOON = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class Compacted(RegistryUnavailable):
    """The revision that was asked for is gone: list again."""


class StaleToken(RegistryAuthError):
    """The token is not known (any more): authenticate again."""


class NotThere(RegistryProtocolError):
    """What was asked for does not exist, such as a lease."""


class AuthOff(RegistryProtocolError):
    """The server has no authentication switched on."""


def error_of(  # noqa: PLR0911 - one for each meaning
    code: grpc.StatusCode, details: str, endpoint: str
) -> RegistryError:
    """What an answer means; pure."""
    said = f"etcd at {endpoint} says: {details or code.name}"
    lower = details.lower()
    if _COMPACTED in lower:
        return Compacted(f"{said}; the keys are listed again")
    if any(words in lower for words in _STALE):
        return StaleToken(f"{said}; if it stays, correct user and password")
    if "authentication is not enabled" in lower:
        return AuthOff(f"{said}; leave out user and password")
    if any(words in lower for words in _REFUSED) or code in {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }:
        return RegistryAuthError(
            f"{said}; give a user and password with read access to the whole prefix"
        )
    if code in _SOON:
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            said = f"etcd at {endpoint} did not answer in time"
        return RegistryUnavailable(f"{said}; see whether it runs and has a leader")
    if code is grpc.StatusCode.NOT_FOUND:
        return NotThere(said)
    return RegistryProtocolError(f"{said} ({code.name}); see whether this is etcd 3.4 or later")


@contextlib.contextmanager
def mapped(endpoint: str) -> Iterator[None]:
    """Turn what the client library raises into errors of ours.

    Raises:
        RegistryError: of the kind that says what to do.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        fault = error_of(error.code(), error.details() or "", endpoint)
        # The frames of the cause hold its call, and a call holds its connection open for as
        # long as somebody remembers the error.
        raise fault from error.with_traceback(None)
    except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
        # The channel was given up by another call that found the endpoint dead.
        msg = f"the connection to etcd at {endpoint} was closed; it is made anew"
        raise RegistryUnavailable(msg) from error
    except TimeoutError as error:
        msg = f"etcd at {endpoint} took nothing in for too long; the connection is made anew"
        raise RegistryUnavailable(msg) from error
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        # Not this task was cancelled but its call, by the closing of the channel.
        msg = f"the connection to etcd at {endpoint} was closed; it is made anew"
        raise RegistryUnavailable(msg) from error


def is_cancelled() -> bool:
    """Whether the running task is being cancelled, and not only a call of it.

    A function of its own: a frame that knew its task would be a cycle with its error, and
    keep the call, hence the connection, until the next collection.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
