"""``fluentd`` pushes records by the forward protocol."""

from __future__ import annotations

import asyncio
import struct
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgpack
import pytest

from meshregistry.errors import MissingExtraError
from meshregistry.mixer import StringMap
from meshregistry.mixer.spi import LogEntry
from meshregistry.testing import free_port

NAME = "x.instance.ns"
WHEN = datetime(2026, 3, 4, 5, 6, 7, 900_000, tzinfo=UTC)


class Receiver:
    """Reads messages of the forward protocol."""

    def __init__(self):
        self.messages = asyncio.Queue()
        self.answer = None
        self.writers = []
        self.server = None
        # One that nobody is given while it is away.
        self.port = free_port()

    async def listen(self):
        self.server = await asyncio.start_server(self._read, "127.0.0.1", self.port)

    async def stop(self):
        self.server.close()
        for writer in self.writers:
            writer.close()
        self.writers.clear()
        await self.server.wait_closed()

    async def _read(self, reader, writer):
        self.writers.append(writer)
        unpacker = msgpack.Unpacker()
        while data := await reader.read(65536):
            unpacker.feed(data)
            for message in unpacker:
                self.messages.put_nowait(message)
                if self.answer is not None:
                    writer.write(self.answer(message))
                    await writer.drain()
        writer.close()

    def all(self):
        """What has come."""
        return [self.messages.get_nowait() for _ in range(self.messages.qsize())]


@asynccontextmanager
async def receiver():
    """One that listens."""
    made = Receiver()
    await made.listen()
    try:
        yield made
    finally:
        await made.stop()


def entry(severity="info", **variables):
    """A log entry."""
    return LogEntry(name=NAME, timestamp=WHEN, severity=severity, variables=variables)


def params(got, more=""):
    """Parameters for this receiver."""
    return f"{{address: '127.0.0.1:{got.port}'{more}}}"


async def eventually(is_so):
    """Wait until something is so."""
    while not is_so():  # noqa: ASYNC110 - what is awaited happens in the other end's task
        await asyncio.sleep(0.001)


def event_time(seconds, nanos):
    """Fluentd's own form of a time."""
    return msgpack.ExtType(0, struct.pack(">II", seconds, nanos))


@pytest.mark.parametrize(
    ("when", "time"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), event_time(0, 0)),
        (datetime(2106, 2, 7, 6, 28, 15, 1, tzinfo=UTC), event_time(2**32 - 1, 1_000)),
        (datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC), -1),
        (datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC), 2**32),
    ],
)
def test_times_that_have_no_form_are_whole_seconds(adapters, run_async, when, time):
    """Before 1970 and after 2106."""

    async def main():
        async with receiver() as got:
            async with adapters.running("fluentd", params(got)) as (handler, _):
                await handler.report([LogEntry(name=NAME, timestamp=when, severity="info")])
            await eventually(got.messages.qsize)
            ((_, said, _, _),) = got.all()
            assert time == said

    run_async(main())


@pytest.mark.parametrize(("more", "took"), [("", "1.5s"), (", integerDuration: true", 1500)])
def test_a_record_has_variables_and_severity(adapters, run_async, more, took):
    """In message mode: tag, time to the fraction, record, option; closing pushes."""

    async def main():
        async with receiver() as got:
            async with adapters.running("fluentd", params(got, more)) as (handler, context):
                values = {
                    "code": 200,
                    "share": 0.5,
                    "ok": True,
                    "ip": b"\x0a\x00\x00\x01",
                    "took": timedelta(seconds=1.5),
                    "at": WHEN,
                    "labels": StringMap({"a": "1"}),
                    "url": "/ü",
                }
                await handler.report([entry(**values)])
            await eventually(got.messages.qsize)
            plain = {
                "ip": "10.0.0.1",
                "took": took,
                "at": "2026-03-04T05:06:07.900000Z",
                "labels": {"a": "1"},
            }
            time = event_time(int(WHEN.timestamp()), 900_000_000)
            record = {**values, **plain, "severity": "info"}
            assert [[NAME, time, record, {}]] == got.all()
            assert {"sent": 1} == context.counts

    run_async(main())


def test_the_variable_tag_is_the_tag(adapters, run_async):
    """Then the record says which instance it is of."""

    async def main():
        async with receiver() as got:
            async with adapters.running("fluentd", params(got)) as (handler, _):
                await handler.report([entry(tag="access", code=1)])
            await eventually(got.messages.qsize)
            ((tag, _, record, _),) = got.all()
            assert ("access", {"code": 1, "name": NAME, "severity": "info"}) == (tag, record)

    run_async(main())


def test_an_interval_gathers_records(adapters, run_async):
    """And half a buffer is pushed before it is over."""

    async def main():
        async with receiver() as got:
            more = ", pushIntervalDuration: 10s, instanceBufferSize: 8"
            async with adapters.running("fluentd", params(got, more)) as (handler, context):
                await handler.report([entry(n=1)])
                await context.clock.advance(9.0)
                assert 0 == context.counts["sent"]
                await context.clock.advance(1.0)
                await eventually(lambda: got.messages.qsize() == 1)
                await handler.report([entry(n=n) for n in range(4)])
                await eventually(lambda: got.messages.qsize() == 5)
                await handler.report([entry(n=n) for n in range(10)])
                assert 2 == context.counts["dropped"]

    run_async(main())


def test_a_lost_connection_is_opened_again(adapters, run_async):
    """Records wait for the receiver, and none is written into the void."""

    async def main():
        async with receiver() as got:
            more = ", instanceBufferSize: 2"
            async with adapters.running("fluentd", params(got, more)) as (handler, context):
                await handler.report([entry(n=1)])
                await eventually(lambda: got.messages.qsize() == 1)
                await got.stop()
                await eventually(handler._reader.at_eof)
                await handler.report([entry(n=2)])
                await eventually(lambda: context.counts["send_errors"] == 1)
                await got.listen()
                await context.clock.advance(1.0)
                await eventually(lambda: got.messages.qsize() == 2)
                assert [1, 2] == [record["n"] for _, _, record, _ in got.all()]

    run_async(main())


def acknowledge(message):
    """The answer to a message, as the protocol has it."""
    return msgpack.packb({"ack": message[3]["chunk"]})


ACK = ", requireAck: true"


def test_records_are_kept_until_they_are_acknowledged(adapters, run_async):
    """Each by an id of its own, which it keeps when it is sent again."""

    async def main():
        async with receiver() as got:
            more = f"{ACK}, instanceBufferSize: 4"
            async with adapters.running("fluentd", params(got, more)) as (handler, context):
                await handler.report([entry(n=1), entry(n=2)])
                await eventually(lambda: got.messages.qsize() == 2)
                assert 0 == context.counts["sent"]
                first = got.all()
                await got.stop()
                await eventually(lambda: context.counts["send_errors"])
                got.answer = acknowledge
                await got.listen()
                while context.counts["sent"] < 2:
                    await context.clock.advance(1.0)
                    await asyncio.sleep(0.001)
                assert first == got.all()
                assert 2 == len({option["chunk"] for *_, option in first})
                await handler.report([entry(n=3), entry(n=4)])
                await eventually(lambda: context.counts["sent"] == 4)

    run_async(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"\xc1",
        b"\xdb\xff\xff\xff\xff" + b"x" * 70_000,
        msgpack.packb({"ack": "another"}),
        msgpack.packb({"ack": ["x"]}),
        msgpack.packb([1, {}, None]),
        msgpack.packb({1: 2}),
    ],
)
def test_an_answer_that_acknowledges_nothing_keeps_the_record(adapters, run_async, answer):
    """Whatever it is, the record is sent again."""

    async def main():
        async with receiver() as got:
            got.answer = lambda _: answer
            more = f"{ACK}, instanceBufferSize: 2, pushTimeoutDuration: 100ms"
            async with adapters.running("fluentd", params(got, more)) as (handler, context):
                await handler.report([entry(n=1)])
                await eventually(lambda: context.counts["send_errors"])
                got.answer = acknowledge
                while not context.counts["sent"]:
                    # On a busy machine an attempt may be late, too, and another one follows.
                    await context.clock.advance(1.0)
                    await asyncio.sleep(0.001)
                assert 0 == context.counts["refused"]

    run_async(main())


def test_a_receiver_that_acknowledges_while_it_reads_is_not_held_up(adapters, run_async):
    """Acknowledgements are taken while records are written: more than any buffer holds."""

    async def main():
        async with receiver() as got:

            def answer(message):
                return msgpack.packb({"more": "x" * 10_000}) * 10 + acknowledge(message)

            got.answer = answer
            more = f"{ACK}, instanceBufferSize: 600, maxBatchSizeBytes: 60000000"
            async with adapters.running("fluentd", params(got, more)) as (handler, context):
                await handler.report([entry(text="x" * 60_000) for _ in range(300)])
                await eventually(lambda: context.counts["sent"] == 300)

    run_async(main())


def test_a_receiver_that_does_not_read_is_left(adapters, run_async):
    """After the timeout; half a record would spoil the connection, so it is given up."""

    async def main():
        accepted = []
        server = await asyncio.start_server(
            lambda reader, writer: accepted.append((reader, writer)), "127.0.0.1", 0, limit=1
        )
        port = server.sockets[0].getsockname()[1]
        params = f"{{address: '127.0.0.1:{port}', pushTimeoutDuration: 100ms}}"
        async with adapters.running("fluentd", params) as (handler, context):
            await handler.report([entry(text="x" * 4_000_000) for _ in range(4)])
            await eventually(lambda: context.counts["send_errors"])
            assert handler._writer is None
        assert 4 == context.counts["dropped"]
        server.close()
        for _, writer in accepted:
            writer.transport.abort()
        await server.wait_closed()

    run_async(main())


def test_a_record_that_is_too_large_is_dropped(adapters, run_async):
    """The others are pushed."""

    async def main():
        async with receiver() as got:
            more = ", maxBatchSizeBytes: 100"
            async with adapters.running("fluentd", params(got, more)) as (handler, context):
                await handler.report([entry(text="x" * 100), entry(n=1)])
            await eventually(lambda: got.messages.qsize() == 1)
            assert {"dropped": 1, "sent": 1} == context.counts

    run_async(main())


def test_without_the_extra_it_says_what_to_install(adapters, monkeypatch):
    """The package msgpack has an extra of its own."""
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(MissingExtraError, match=r"meshregistry\[mixer-fluentd\]"):
        adapters.open("fluentd")


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("address: fluentd", "is no address"),
        ("instanceBufferSize: 0", "must be at least 1"),
        ("pushIntervalDuration: 0s", "must be more than 0"),
    ],
)
def test_faults_of_the_configuration(adapters, more, fault):
    """Found before anything is opened."""
    plan, faults = adapters.plan("fluentd", f"{{{more}}}")
    assert plan is None
    assert fault in "; ".join(faults)
