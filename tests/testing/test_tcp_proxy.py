"""TcpProxy on loopback: it passes bytes, and does each kind of harm until it is healed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from contextlib import asynccontextmanager

import pytest

from meshregistry.testing import TcpProxy, free_port


@asynccontextmanager
async def echoing():
    """A proxy before a server that gives back what it is sent."""
    writers = []

    async def echo(reader, writer):
        writers.append(writer)
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        async with TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            yield proxy
        for writer in writers:
            writer.close()


@asynccontextmanager
async def connected(proxy):
    """A client's reader and writer."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(connection, data, timeout=2.0):
    """What comes back, to the same length or to the end."""
    reader, writer = connection
    writer.write(data)
    async with asyncio.timeout(timeout):
        try:
            return await reader.readexactly(len(data))
        except asyncio.IncompleteReadError as error:
            return error.partial
        except ConnectionError:
            return b""


def test_it_passes_bytes_and_counts(run_async):
    """Both ways, and the end of one way too."""

    async def main():
        async with echoing() as proxy, connected(proxy) as connection:
            assert b"hello" == await answer(connection, b"hello")
            assert f"127.0.0.1:{proxy.port}" == proxy.address
            assert (1, 1, 5, 5) == (
                proxy.connections,
                proxy.open_connections,
                proxy.bytes_up,
                proxy.bytes_down,
            )
            connection[1].write_eof()
            assert b"" == await connection[0].read()

    run_async(main())


def test_breaking_ends_connections_old_and_new(run_async):
    """New ones are counted though nothing answers; healing lets the next one through."""

    async def main():
        async with echoing() as proxy, connected(proxy) as old:
            assert b"1" == await answer(old, b"1")
            proxy.break_()
            assert b"" == await answer(old, b"2")
            async with connected(proxy) as new:
                assert b"" == await answer(new, b"3")
            assert 2 == proxy.connections
            proxy.heal()
            async with connected(proxy) as healed:
                assert b"4" == await answer(healed, b"4")

    run_async(main())


def test_slowness_holds_answers_back(run_async):
    """For as long as was said, until it is healed."""

    async def main():
        async with echoing() as proxy, connected(proxy) as connection:
            assert b"1" == await answer(connection, b"1")
            proxy.slow(0.2)
            began = time.monotonic()
            assert b"2" == await answer(connection, b"2")
            assert time.monotonic() - began >= 0.2
            proxy.slow(60.0)
            proxy.heal()
            assert b"3" == await answer(connection, b"3")

    run_async(main())


def test_silence_keeps_connections_open_and_dumb(run_async):
    """New connections work; healing resets those that were silenced."""

    async def main():
        async with echoing() as proxy, connected(proxy) as old:
            assert b"1" == await answer(old, b"1")
            proxy.silence()
            with pytest.raises(TimeoutError):
                await answer(old, b"2", timeout=0.05)
            async with connected(proxy) as new:
                assert b"3" == await answer(new, b"3")
            assert not old[0].at_eof()
            proxy.heal()
            assert b"" == await answer(old, b"4")

    run_async(main())


def test_truncation_cuts_each_answer_off(run_async):
    """Exactly so many bytes arrive, in however many pieces they come."""

    async def main():
        async with echoing() as proxy, connected(proxy) as old:
            assert b"1" == await answer(old, b"1")
            proxy.truncate(after=3)
            assert b"" == await answer(old, b"2")
            async with connected(proxy) as whole:
                assert b"abc" == await answer(whole, b"abcdef")
            async with connected(proxy) as pieces:
                assert b"ab" == await answer(pieces, b"ab")
                assert b"c" == await answer(pieces, b"cd")
            proxy.heal()
            async with connected(proxy) as healed:
                assert b"abcdef" == await answer(healed, b"abcdef")

    run_async(main())


def test_a_backend_that_is_down_ends_the_connection(run_async):
    """The client learns of it as it would without a proxy."""

    async def main():
        async with TcpProxy("127.0.0.1", free_port()) as proxy, connected(proxy) as connection:
            assert b"" == await answer(connection, b"1")

    run_async(main())


def test_it_says_when_it_does_not_listen():
    """Its port is known once it has been entered."""
    with pytest.raises(RuntimeError, match="enter it with `async with`"):
        _ = TcpProxy("127.0.0.1", 1).port


def test_a_client_that_resets_leaves_nothing_open(run_async):
    """The backend's side of the connection ends with the client's, though it says nothing."""

    async def main():
        arrived, ended = asyncio.Event(), asyncio.Event()

        async def hold(reader, writer):
            # Never answers; learns of the end by the reset or by the end of the stream.
            with contextlib.suppress(ConnectionError):
                await reader.readexactly(1)
                arrived.set()
                await reader.read()
            ended.set()
            writer.close()

        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, TcpProxy("127.0.0.1", port) as proxy, asyncio.timeout(2):
            _, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(b"x")
            await arrived.wait()
            # With a linger time of nothing, closing is a reset.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            await ended.wait()

    run_async(main())
