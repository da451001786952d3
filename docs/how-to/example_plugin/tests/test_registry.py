"""The registry kind ``hosts``: it follows the file."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.errors import RegistryUnavailable
from meshregistry.model import ServiceRecord
from meshregistry.testing import ManualClock, RecordingSink, context
from meshregistry_example import HostsConfig, meshregistry_register_registries


def opened(path, clock):
    """A registry of this file, as the core opens it."""
    kind = meshregistry_register_registries()
    assert kind.config_class is HostsConfig
    return kind.open(HostsConfig(path=path, port=80), context(clock=clock))


def record(host, address):
    """What the file's line becomes."""
    return ServiceRecord.parse(host, port=80, endpoints=[f"{address}:80"])


def test_it_follows_the_file(tmp_path):
    """A changed file is published, an equal one confirmed, an unreadable one keeps the data."""
    path, sink, clock = tmp_path / "hosts", RecordingSink(), ManualClock()

    async def step(method, text):
        await clock.sleeping()
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
        calls = len(sink.calls)
        await clock.advance(6)
        await sink.wait_for(lambda sink: len(sink.calls) > calls)
        assert sink.methods[-1] == method
        return sink.records()

    async def main():
        path.write_text("10.0.0.1 a.lab\n", encoding="utf-8")
        task = asyncio.create_task(opened(path, clock).run(sink))
        first = record("a.lab", "10.0.0.1")
        assert {"a.lab": first} == await step("confirm", "10.0.0.1 a.lab  # the same\n")
        assert {"a.lab": first} == await step("degrade", None)
        assert {"a.lab": first} == await step("confirm", "10.0.0.1 a.lab\n")
        assert {"a.lab": first} == await step("replace", "10.0.0.1 a..lab\n")
        second = record("b.lab", "10.0.0.2")
        assert {"b.lab": second} == await step("replace", "10.0.0.2 b.lab\n")
        task.cancel()

    asyncio.run(main())


def test_a_file_that_is_not_there_is_unavailable(tmp_path):
    """The first failure ends the attempt, so that the core retries with back-off."""
    registry = opened(tmp_path / "absent", ManualClock())
    with pytest.raises(RegistryUnavailable, match="FileNotFoundError"):
        asyncio.run(registry.run(RecordingSink()))
