"""A folder of configuration that the system does not watch for us."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.mixer.server import MixerServer, _server


@pytest.fixture
def watch(monkeypatch):
    """A system without watches, but for a moment at the second try; how often it was tried."""
    tried = []

    async def watch(*_, **__):
        tried.append(len(tried))
        if len(tried) == 2:
            yield set()
        raise OSError("too many open files")

    monkeypatch.setattr(_server, "awatch", watch)
    monkeypatch.setattr(_server, "_RESCAN_MS", 1)
    return tried


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


@pytest.fixture
def server(bench, tmp_path):
    """A server that follows a folder."""
    return MixerServer(
        "127.0.0.1:0",
        config=tmp_path,
        adapters=bench.known.adapters.values(),
        templates=bench.known.templates.values(),
    )


async def until(holds):
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is awaited happens in the server
            await asyncio.sleep(0.01)


def test_it_is_looked_at_all_the_same(run_async, bench, server, text, watch, tmp_path, caplog):  # noqa: PLR0917 - fixtures
    """If there is no watch from the beginning, and if one breaks; the reason is told once."""
    file = tmp_path / "config.yaml"

    async def main():
        file.write_text(text)
        async with server:
            for name in ("b", "c"):
                file.write_text(text.replace("is: a", f"is: {name}"))
                await until(lambda name=name: name in bench.asked("start"))
            await until(lambda: len(watch) >= 5)

    run_async(main())
    reason = "the configuration cannot be watched, and is looked at every second: "
    # Once more after the watch that worked for a while.
    assert 2 == caplog.messages.count(f"{reason}too many open files")
