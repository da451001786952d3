"""What HTTP servers log of what strangers send."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from meshregistry.http_log import HttpLogger

# What a client of gRPC sends first.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture
def asked(run_async):
    """What a server with a handler that fails answers to some bytes."""

    async def fails(_):
        raise ZeroDivisionError("ours")

    async def ask(said):
        app = web.Application()
        app.add_routes([web.get("/fails", fails)])
        runner = web.AppRunner(app, access_log=None, logger=HttpLogger())
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
            writer.write(said)
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        finally:
            await runner.cleanup()
        return int(line.split()[1])

    return lambda said: run_async(ask(said))


def test_what_is_no_http_is_a_line_for_debugging(asked, caplog):
    """Not the traceback of a parser at the level of an error, as aiohttp logs it."""
    caplog.set_level("DEBUG", logger="meshregistry")
    assert 400 == asked(PREFACE)
    (record,) = (one for one in caplog.records if one.name.startswith(("meshregistry", "aiohttp")))
    assert ("meshregistry.http", logging.DEBUG) == (record.name, record.levelno)
    assert record.getMessage().startswith("what came is no HTTP: ")
    assert ("\n" not in record.getMessage(), None) == (True, record.exc_info)


def test_a_fault_of_ours_is_told_whole(asked, caplog):
    """With its traceback, in the log of meshregistry."""
    assert 500 == asked(b"GET /fails HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    (record,) = (one for one in caplog.records if one.levelno >= logging.WARNING)
    assert ("meshregistry.http", logging.ERROR) == (record.name, record.levelno)
    assert record.exc_info[0] is ZeroDivisionError
