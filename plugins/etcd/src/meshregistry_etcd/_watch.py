"""A watch of one prefix, which notices when nothing comes any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc

from meshregistry.errors import RegistryError, RegistryUnavailable
from meshregistry_etcd._errors import Compacted, error_of, is_cancelled, mapped
from meshregistry_etcd._messages import PROGRESS_REQUEST, rpc

if TYPE_CHECKING:
    from meshregistry_etcd._client import EtcdClient

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs do not know it
"""What ends a stream."""

_AHEAD = 16  # responses that may wait to be taken in


class Watch:
    """One watch of one prefix; an async context manager.

    Args:
        client: gives endpoint, connection and credentials.
        folder: the prefix.
        revision: the first one to be told of.
    """

    def __init__(self, client: EtcdClient, folder: str, revision: int) -> None:
        self._client = client
        self._target = client.target
        self._range = prefix_range(folder)
        self._revision = revision
        self._call: Any = None
        self._pump: asyncio.Task[None] | None = None
        self._arrived: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)

    async def __aenter__(self) -> Self:
        # A member that has lost its leader then ends the stream instead of going silent.
        metadata = (*await self._client.metadata(), ("hasleader", "true"))
        key, end = self._range
        create = rpc.WatchCreateRequest(
            key=key, range_end=end, start_revision=self._revision, progress_notify=True
        )
        try:
            with mapped(self._target):
                channel = self._client.channel(self._target)
                self._call = rpc.WatchStub(channel).Watch(metadata=metadata)
                self._pump = asyncio.create_task(_pump(self._call, self._arrived, self._target))
                await self._client.write(self._call, rpc.WatchRequest(create_request=create))
            while not (await self.responses()).created:
                pass
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(self, _kind: object, error: object, _trace: object) -> None:
        pump, self._pump = self._pump, None
        # A connection stays open for as long as anybody holds one of its calls.
        call, self._call = self._call, None
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        if call is not None:
            call.cancel()
        if isinstance(error, RegistryUnavailable) and not isinstance(error, Compacted):
            await self._client.give_up(self._target)

    async def responses(self) -> Any:
        """The next response; one without events is a sign of life.

        After `probe_interval` without any, etcd is asked for one.

        Raises:
            Compacted: if the revision is no longer there.
            RegistryUnavailable: if the stream ends or the server is silent.
            RegistryAuthError: if the watch is not permitted.
        """
        config = self._client.config
        response = await self._within(config.probe_interval)
        if response is None:
            with mapped(self._target):
                await self._client.write(self._call, PROGRESS_REQUEST)
            response = await self._within(config.timeout)
        if response is None:
            msg = f"etcd at {self._target} is silent; the connection is made anew"
            raise RegistryUnavailable(msg)
        if isinstance(response, RegistryError):
            raise response
        if response.canceled:
            raise self._cancelled(response)
        return response

    async def _within(self, seconds: float) -> Any:
        """What arrives within a time, or None."""
        if not self._arrived.empty():
            return self._arrived.get_nowait()
        arriving = asyncio.ensure_future(self._arrived.get())
        waiting = asyncio.ensure_future(self._client.clock.sleep(seconds))
        try:
            await asyncio.wait({arriving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            return arriving.result() if arriving.done() else None
        finally:
            waiting.cancel()
            arriving.cancel()

    def _cancelled(self, response: Any) -> Exception:
        reason = response.cancel_reason
        if response.compact_revision:
            return Compacted(
                f"etcd at {self._target} has compacted revision {self._revision}; listing again"
            )
        if not reason:
            msg = f"etcd at {self._target} cancelled the watch without a reason; it is made anew"
            return RegistryUnavailable(msg)
        return error_of(grpc.StatusCode.UNKNOWN, reason, self._target)


async def _pump(call: Any, arrived: asyncio.Queue[Any], target: str) -> None:
    """Hand on what a call reads; its end as an error, which is the last thing.

    A task of its own, because cancelling a read ends the call.
    """
    try:
        while (response := await call.read()) is not EOF:
            await arrived.put(response)
    except grpc.aio.AioRpcError as error:
        fault = error_of(error.code(), error.details() or "", target)
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        fault = RegistryUnavailable(f"the connection to etcd at {target} was closed")
    else:
        fault = RegistryUnavailable(
            f"etcd at {target} ended the watch; see whether it has a leader"
        )
    await arrived.put(fault)


def prefix_range(folder: str) -> tuple[bytes, bytes]:
    """Key and range end of everything under a prefix that ends in a slash.

    The end is the prefix with its last byte incremented; a slash is never 0xff.
    """
    key = folder.encode()
    return key, key[:-1] + bytes([key[-1] + 1])
