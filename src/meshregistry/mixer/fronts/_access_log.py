"""The gRPC service ``envoy.service.accesslog.v3.AccessLogService``: reports of what happened."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from meshregistry.errors import MixerUnavailable
from meshregistry.mixer._status import shortened
from meshregistry.mixer.fronts._ending import until_quiet
from meshregistry.mixer.fronts._extra import als_pb2, grpc
from meshregistry.mixer.fronts._http_log import is_last, request_bag
from meshregistry.mixer.fronts._reporter import Reporter
from meshregistry.mixer.fronts._tcp_log import Connections
from meshregistry.mixer.server import Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from meshregistry.mixer import AttributeBag
    from meshregistry.mixer.fronts._counts import Counts
    from meshregistry.mixer.fronts._options import FrontOptions
    from meshregistry.mixer.server import Mixer

SERVICE = "envoy.service.accesslog.v3.AccessLogService"


class AccessLogFront:
    """Takes the gRPC access logs of Envoys; one message of a stream is one batch of reports.

    The next message of a stream is read when the last one has been reported, so that an Envoy
    that is too fast is held up, and drops entries by its own bound.

    Args:
        mixer: is told.
        options: how entries are read.
        counts: filled.
    """

    def __init__(self, mixer: Mixer, options: FrontOptions, counts: Counts) -> None:
        self._mixer = mixer
        self._options = options
        self._counts = counts
        self._connections = Connections(options.connections, options.wall_time())
        self._ending = asyncio.Event()

    def end(self) -> None:
        """End the streams as soon as they are quiet: an Envoy never ends one by itself."""
        self._ending.set()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on this server."""
        handler = grpc.stream_unary_rpc_method_handler(
            self.stream,
            request_deserializer=als_pb2.StreamAccessLogsMessage.FromString,
            response_serializer=als_pb2.StreamAccessLogsResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": handler}),)
        )

    async def stream(
        self,
        messages: AsyncIterator[Any],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> Any:
        """Report all messages of a stream.

        It ends where there is no configuration for them, and with the server.
        """
        reporter = Reporter()
        async with aclosing(until_quiet(messages, self._ending)) as read:
            async for message in read:
                if message.HasField("identifier"):
                    reporter = Reporter.of(message.identifier)
                try:
                    await self._report(list(self._bags(message, reporter)))
                except MixerUnavailable as error:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, shortened(str(error)))
        return als_pb2.StreamAccessLogsResponse()

    def _bags(self, message: Any, reporter: Reporter) -> Iterator[AttributeBag]:
        for entry in message.http_logs.log_entry:
            if is_last(entry):
                bag, refused = request_bag(entry, reporter)
                yield self._told(self._mixer.services.described(bag), refused)
        now = self._options.wall_time()
        for entry in message.tcp_logs.log_entry:
            bag, refused = self._connections.bag(entry, reporter, now)
            yield self._told(bag, refused)

    def _told(self, bag: AttributeBag, refused: tuple[str, ...]) -> AttributeBag:
        for name in refused:
            self._counts.lament("stated attributes refused", f"{name} is not of its type")
        return bag

    async def _report(self, bags: list[AttributeBag]) -> None:
        if not bags:
            return
        try:
            outcome = await self._mixer.report(bags)
        except Overloaded as error:
            # Nobody waits for an answer who could send them again.
            self._counts.lament("reports dropped", str(error), len(bags))
            return
        except MixerUnavailable as error:
            self._counts.lament("reports dropped", str(error), len(bags))
            raise
        self._counts.add("reports", len(bags))
        for one in outcome.failures:
            self._counts.lament("reports failed", f"{one.handler}: {one.reason}")
