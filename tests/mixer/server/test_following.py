"""A folder of configuration is followed, whatever the system makes of it meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.mixer.config import ConfigFiles
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


class Followed:
    """A server that follows a folder with one handler, which tells how it is called."""

    def __init__(self, bench, text, folder):
        self._bench = bench
        self._text = text
        self._folder = folder
        self.server = MixerServer(
            "127.0.0.1:0",
            config=folder,
            adapters=bench.known.adapters.values(),
            templates=bench.known.templates.values(),
        )

    def write(self, name):
        """Another handler, in one go."""
        (self._folder / "new").write_text(self._text.replace("is: a", f"is: {name}"))
        (self._folder / "new").replace(self._folder / "config.yaml")

    async def follows(self, name):
        """Wait until it is started."""
        await until(lambda: name in self._bench.asked("start"))


@pytest.fixture
def followed(bench, document, handler, tmp_path):
    """A server that is about to start, with the handler ``a``."""
    text = "---\n".join(
        (
            handler("a"),
            document("instance", "i", "compiledTemplate: checknothing"),
            document("rule", "r", "actions: [{handler: a, instances: [i]}]"),
        )
    )
    made = Followed(bench, text, tmp_path)
    made.write("a")
    return made


async def until(holds):
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is awaited happens in the server
            await asyncio.sleep(0.01)


def test_what_is_not_watched_is_looked_at_all_the_same(run_async, followed, watch, caplog):
    """If there is no watch from the beginning, and if one breaks; the reason is told once."""

    async def main():
        async with followed.server:
            for name in ("b", "c"):
                followed.write(name)
                await followed.follows(name)
            await until(lambda: len(watch) >= 5)

    run_async(main())
    reason = "the configuration cannot be watched, and is looked at every second: "
    # Once more after the watch that worked for a while.
    assert 2 == caplog.messages.count(f"{reason}too many open files")


def test_a_change_is_not_lost_when_the_folder_is_gone_for_a_moment(
    run_async, followed, monkeypatch, tmp_path
):
    """As while it is exchanged, after a first look at what is new: it is the same afterwards."""
    read = ConfigFiles.read
    found = []

    def gone_at_the_second_look(files):
        if len(found) == 2:
            found.append(None)
            raise FileNotFoundError(2, "No such file or directory", str(tmp_path))
        listing = read(files)
        if listing is not None:
            found.append(listing)
        return listing

    monkeypatch.setattr(ConfigFiles, "read", gone_at_the_second_look)

    async def main():
        async with followed.server:
            followed.write("b")
            await followed.follows("b")
            assert () == followed.server.status().faults

    run_async(main())
    assert 3 == len(found)


def test_a_server_may_be_entered_again(run_async, followed):
    """With the configuration that is there by then."""

    async def main():
        for name in ("b", "c"):
            followed.write(name)
            async with followed.server:
                await followed.follows(name)

    run_async(main())
