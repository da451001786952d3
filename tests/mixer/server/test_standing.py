"""What is told of a configuration that is followed."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from meshregistry.mixer.config import ConfigFiles
from meshregistry.mixer.server import MixerServer


@pytest.fixture
def folder(tmp_path):
    """A folder of configuration."""
    made = tmp_path / "policies"
    made.mkdir()
    return made


@pytest.fixture
def server(bench, folder):
    """A server that follows it."""
    return MixerServer(
        "127.0.0.1:0",
        config=folder,
        monitoring="127.0.0.1:0",
        adapters=bench.known.adapters.values(),
        templates=bench.known.templates.values(),
    )


@pytest.fixture
def text(document, handler):
    """A handler that is asked by every check."""
    return "---\n".join(
        (
            handler("a"),
            document("instance", "i", "compiledTemplate: checknothing"),
            document("rule", "r", "actions: [{handler: a, instances: [i]}]"),
        )
    )


async def until(holds):
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is awaited happens in the server
            await asyncio.sleep(0.01)


def test_a_file_that_is_not_yaml_is_a_fault(run_async, server, folder, text):
    """In the status, the figures and the port for monitoring, from the beginning."""
    (folder / "good.yaml").write_text(text)
    (folder / "bad.yaml").write_text("a: [")

    async def main():
        async with (
            server,
            aiohttp.ClientSession(f"http://{server.monitoring_address}") as http,
        ):
            (fault,) = server.status().faults
            assert str(fault).startswith(f"{folder / 'bad.yaml'}:2:1: not YAML")
            async with http.get("/debug/config") as answer:
                assert [str(fault)] == (await answer.json())["faults"]
            async with http.get("/metrics") as answer:
                assert "\nmixer_config_errors 1.0\n" in await answer.text()
            (folder / "bad.yaml").unlink()
            await until(lambda: not server.status().faults)

    run_async(main())


def test_each_thing_is_told_once(run_async, server, folder, text, caplog):
    """What is wrong and stays so is not told again with each change; what comes into force is."""
    caplog.set_level("INFO", logger="meshregistry.mixer")
    good, bad = folder / "good.yaml", folder / "bad.yaml"
    good.write_text(text)

    async def main():
        async with server:
            assert [] == caplog.messages
            bad.write_text("a: [")
            await until(lambda: len(server.status().faults) == 1)
            good.write_text(text.replace("is: a", "is: a, iz: a"))
            await until(lambda: len(server.status().faults) == 2)
            # Of three documents two are there already.
            (folder / "more.yaml").write_text(text.replace("name: a", "name: b"))
            await until(lambda: len(server.status().faults) == 4)
            good.write_text(text)
            bad.unlink()
            (folder / "more.yaml").unlink()
            await until(lambda: not server.status().faults)

    run_async(main())
    assert 1 == sum("not YAML" in one for one in caplog.messages)
    assert 1 == sum("unknown key" in one for one in caplog.messages)
    assert 1 == caplog.messages.count(
        "handler istio-system/a: the last good version stays in force"
    )
    assert "a new configuration is in force: documents=3 faults=0" == caplog.messages[-1]


def test_a_folder_that_is_away_is_a_fault(run_async, server, folder, text, caplog):
    """Told once however long it lasts; what was in force stays, and its return is told."""
    caplog.set_level("INFO", logger="meshregistry.mixer")
    (folder / "good.yaml").write_text(text)
    elsewhere = folder.with_name("elsewhere")

    async def main():
        async with server:
            folder.rename(elsewhere)
            await until(lambda: server.status().faults)
            for _ in range(3):
                await server._look(ConfigFiles([folder]))
            assert server.status().handlers == (("a.istio-system", ""),)
            elsewhere.rename(folder)
            await until(lambda: not server.status().faults)

    run_async(main())
    assert 1 == sum("what was in force stays" in one for one in caplog.messages)
    assert 1 == caplog.messages.count("the configuration can be read again")


def test_what_is_no_http_is_no_traceback(run_async, server, caplog):
    """Such as a client of gRPC that was given the port for monitoring."""

    async def main():
        async with server:
            host, _, port = server.monitoring_address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()
            await writer.wait_closed()

    run_async(main())
    assert [] == [one for one in caplog.records if one.levelname == "ERROR"]
