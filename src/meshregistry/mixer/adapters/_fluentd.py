"""``fluentd``: log entries for Fluentd and Fluent Bit, by the forward protocol."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._lines import address_faults, host_and_port
from meshregistry.mixer.adapters._outbox import Outbox, Unavailable
from meshregistry.mixer.spi import (
    LOG_ENTRY,
    Handler,
    HandlerContext,
    LogEntry,
    MixerAdapter,
    StringMap,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshregistry.mixer.spi import InstanceTypes, Value

_TAG = "tag"
_ANSWERS = 1 << 16
"""Bytes of acknowledgements that are read at once."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
_EVENT_TIME = 0
"""The type of the extension of msgpack."""
_LAST_SECOND = 2**32 - 1


@frozen(kw_only=True)
class FluentdConfig:
    """Parameters of ``fluentd``.

    Attributes:
        address: of the receiver.
        integer_duration: durations as milliseconds; else as texts such as ``1.5s``.
        instance_buffer_size: records that may wait; more are dropped and counted. Half of
            them is sent early.
        max_batch_size_bytes: of one push; a record that is larger is dropped and counted.
        push_interval_duration: how long a record may wait for others.
        push_timeout_duration: of one push, and of the last ones when the handler is closed.
        require_ack: records are kept until the receiver has acknowledged them. Else what is on
            its way when the receiver fails is lost, and counted as sent. A receiver that never
            acknowledges gets them again and again.
    """

    address: str = "localhost:24224"
    integer_duration: bool = False
    instance_buffer_size: int = 1024
    max_batch_size_bytes: int = 8 * 1024 * 1024
    push_interval_duration: Seconds = Seconds(60.0)
    push_timeout_duration: Seconds = Seconds(60.0)
    require_ack: bool = False


def _faults(config: FluentdConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    yield from address_faults("address", config.address)
    for name in ("instance_buffer_size", "max_batch_size_bytes"):
        if getattr(config, name) < 1:
            yield f"{name}: must be at least 1"
    for name in ("push_interval_duration", "push_timeout_duration"):
        if getattr(config, name) <= 0:
            yield f"{name}: must be more than 0"


@frozen
class Packed:
    """A message of the forward protocol.

    Attributes:
        data: as it is sent.
        chunk: what the receiver acknowledges it by; empty: it is not asked to.
    """

    data: bytes
    chunk: str


@define(eq=False)
class FluentdHandler(Handler):
    """Pushes records over one connection, which is opened again when it is lost."""

    _config: FluentdConfig
    _context: HandlerContext
    _msgpack: Any
    _outbox: Outbox[Packed] = field(init=False)
    _reader: asyncio.StreamReader | None = field(default=None, init=False)
    _writer: asyncio.StreamWriter | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        config = self._config
        self._outbox = Outbox(
            self._context,
            self._push,
            capacity=config.instance_buffer_size,
            batch=max(1, config.instance_buffer_size // 2),
            interval=config.push_interval_duration,
            timeout=config.push_timeout_duration,
            max_weight=config.max_batch_size_bytes,
            weigh=lambda one: len(one.data),
        )

    async def start(self) -> None:
        await self._outbox.start()

    async def close(self) -> None:
        await self._outbox.close()
        await self._disconnect()

    async def report(self, instances: Sequence[LogEntry]) -> None:
        for instance in instances:
            chunk = self._chunk() if self._config.require_ack else ""
            packed = Packed(self._msgpack.packb(self._message(instance, chunk)), chunk)
            if len(packed.data) > self._config.max_batch_size_bytes:
                self._context.count("dropped")
            else:
                self._outbox.put(packed)

    def _chunk(self) -> str:
        """128 random bits in base 64, as the protocol has them."""
        return b64encode(self._context.random.randbytes(16)).decode()

    def _message(self, instance: LogEntry, chunk: str) -> list[Any]:
        """A message of the forward protocol: tag, time, record, option."""
        record = {name: self._plain(value) for name, value in instance.variables.items()}
        tag = instance.name
        if _TAG in record:
            tag = str(record.pop(_TAG))
            record["name"] = instance.name
        record["severity"] = instance.severity
        when = instance.timestamp or self._context.wall_time()
        return [tag, self._time(when), record, {"chunk": chunk} if chunk else {}]

    def _time(self, when: datetime) -> Any:
        """Seconds and nanoseconds, as the protocol has them since Fluentd 0.14 (EventTime)."""
        seconds, rest = divmod(when - _EPOCH, _SECOND)
        if not 0 <= seconds <= _LAST_SECOND:
            return seconds
        nanos = rest // _MICROSECOND * 1_000
        return self._msgpack.ExtType(_EVENT_TIME, struct.pack(">II", seconds, nanos))

    def _plain(self, value: Value) -> Any:
        match value:
            case timedelta() if self._config.integer_duration:
                return value // timedelta(milliseconds=1)
            case StringMap():
                return dict(value)
            case bytes() | datetime() | timedelta():
                return text_of(value)
        return value

    async def _push(self, messages: list[Packed]) -> None:
        if self._reader is not None and self._reader.at_eof():
            await self._disconnect()  # what is written now would be lost
        if self._reader is None or self._writer is None:
            host, port = host_and_port(self._config.address)
            self._reader, self._writer = await asyncio.open_connection(host, port)
        chunks = {one.chunk for one in messages if one.chunk}
        try:
            self._writer.write(b"".join(one.data for one in messages))
            # Both at once: a receiver whose acknowledgements nobody takes stops to read.
            await asyncio.gather(self._writer.drain(), self._acknowledged(self._reader, chunks))
        except BaseException:
            # Half a message would spoil what follows on this connection.
            self._writer.transport.abort()
            self._reader = self._writer = None
            raise

    async def _acknowledged(self, reader: asyncio.StreamReader, chunks: set[str]) -> None:
        """Wait until the receiver has acknowledged all of these."""
        unpacker = self._msgpack.Unpacker(max_buffer_size=2 * _ANSWERS)
        while chunks:
            data = await reader.read(_ANSWERS)
            if not data:
                raise Unavailable(f"{len(chunks)} were not acknowledged before the end")
            try:
                unpacker.feed(data)
                answers = list(unpacker)
            except (ValueError, self._msgpack.UnpackException) as error:
                raise Unavailable(f"no acknowledgement of the forward protocol: {error}") from error
            chunks.difference_update(
                one["ack"]
                for one in answers
                if isinstance(one, dict) and isinstance(one.get("ack"), str)
            )

    async def _disconnect(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            try:
                await asyncio.wait_for(writer.wait_closed(), self._config.push_timeout_duration)
            except OSError:  # as TimeoutError is
                writer.transport.abort()


def _open(config: FluentdConfig, context: HandlerContext) -> Handler:
    return FluentdHandler(config, context, imported("msgpack", "mixer-fluentd"))


FLUENTD: Final = MixerAdapter(
    name="fluentd",
    config_class=FluentdConfig,
    templates=(LOG_ENTRY,),
    open=_open,
    check=_faults,
    summary="log entries for Fluentd and Fluent Bit, by the forward protocol",
)
