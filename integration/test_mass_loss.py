"""A Consul that forgets thirty instances at once: they are served, until the loss is believed."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

pytest.importorskip(
    "meshregistry_consul", reason="the plugin is not installed: pip install ./plugins/consul"
)

from meshregistry import Pilot, Settings
from servers.consul import Consul, find_consul

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "survive-a-bad-registry.md"
INSTANCES = range(1, 31)
HOST = "web.service.consul"


@pytest.fixture(scope="module")
def consul_binary() -> str:
    """The path of a real Consul."""
    binary = find_consul()
    if binary is None:
        pytest.skip("there is no Consul: `make servers` builds it")
    return binary


@asynccontextmanager
async def forgetful(binary: str, folder: Path) -> AsyncIterator[Consul]:
    """A Consul with thirty instances of ``web``."""
    async with Consul(binary, folder) as consul:
        await remember(consul)
        yield consul


async def remember(consul: Consul, count: int = len(INSTANCES)) -> None:
    """Register so many."""
    there = (
        consul.register("web", 9000, address=f"127.0.1.{n}", id=f"web-{n}")
        for n in INSTANCES[:count]
    )
    await asyncio.gather(*there)


async def forget(consul: Consul) -> None:
    """Deregister all of them at once."""
    gone = (consul.put(f"/v1/agent/service/deregister/web-{n}") for n in INSTANCES)
    await asyncio.gather(*gone)


def settings_of(consul: Consul, folder: Path, **guard: Any) -> Path:
    """A settings file with this Consul as source and rule source."""
    source = {"id": "dc1", "kind": "consul", "address": consul.address, "guard": guard or True}
    document = {
        "sources": [source],
        "rules": [{"kind": "consul", "source": "dc1"}],
        "server": {"xds": "127.0.0.1:0"},
    }
    path = folder / "mesh.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def count(pilot: Pilot) -> int:
    """How many endpoints of ``web`` are published."""
    return len(pilot.catalog.endpoints(HOST))


async def until(holds: Callable[[], bool], what: str) -> float:
    """Wait; the seconds that it took."""
    began = time.perf_counter()
    while not holds():
        assert time.perf_counter() - began < 20, what
        await asyncio.sleep(0.005)
    return time.perf_counter() - began


async def lost(pilot: Pilot, left: int = 0) -> None:
    """Wait until the pilot knows that so many are left."""

    def is_so() -> bool:
        return any(part.loss is not None and part.loss.after == left for part in status().parts)

    def status() -> Any:
        return pilot.sources()[0]

    await until(is_so, f"{left} are left: {status()}")


async def command(words: list[str]) -> tuple[str, str]:
    """Run ``meshregistry`` in a process of its own; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("meshregistry"), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()


def commands_of_the_page() -> list[list[str]]:
    """What the how-to page says to type, without the program's name."""
    lines = re.findall(r"^\$ meshregistry (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_it_is_withheld_and_shown_until_the_registry_recovers(
    run_async, consul_binary: str, tmp_path: Path, caplog
):
    """In the catalog, the log, the status, the metrics and the readiness; then as it says."""

    async def main() -> None:
        async with forgetful(consul_binary, tmp_path) as consul:
            path = settings_of(consul, tmp_path)
            async with Pilot(Settings.load(path)) as pilot:
                await pilot.synced(timeout=20)
                assert count(pilot) == 30
                await forget(consul)
                await lost(pilot)
                await pilot.published(timeout=10)
                assert 15 <= count(pilot) <= 30
                base = f"http://{pilot.addresses()['admin']}"
                async with aiohttp.ClientSession() as http:
                    ready = await (await http.get(f"{base}/readyz")).json()
                    assert "lost endpoints of the source dc1 are withheld" in ready["remarks"][0]
                    page = await (await http.get(f"{base}/metrics")).text()
                    shown = await (await http.get(f"{base}/debug/sources")).json()
                (withheld,) = re.findall(
                    r"^meshregistry_guard_withheld_endpoints\{.*\} (.*)$", page, re.MULTILINE
                )
                # Some were let go of before half was reached, if they came one by one.
                (loss,) = shown["sources"][0]["losses"]
                assert float(withheld) == loss["withheld"] >= 15
                assert (loss["before"], loss["after"]) == (30, 0)
                await remember(consul, 20)
                took = await until(lambda: count(pilot) == 20, "the recovery")
                assert not pilot.sources()[0].withheld
                print(f"30 instances lost and 20 back: released after {took * 1000:.0f} ms")

    run_async(main(), timeout=120)
    assert "of 30 healthy endpoints" in caplog.text


def test_an_acceptance_releases_it_in_every_replica(run_async, consul_binary: str, tmp_path: Path):
    """The commands of the how-to page: what `sources` shows, and what `accept` does."""

    async def main() -> None:
        (show, accept, *_) = commands_of_the_page()
        async with forgetful(consul_binary, tmp_path) as consul, AsyncExitStack() as stack:
            path = settings_of(consul, tmp_path, confirm_after=None)
            pilots = [await stack.enter_async_context(Pilot(Settings.load(path))) for _ in range(2)]
            for pilot in pilots:
                await pilot.synced(timeout=20)
            await forget(consul)
            for pilot in pilots:
                await lost(pilot)
                assert count(pilot) >= 15
            assert show[:2] == ["sources", "--server"]
            out, err = await command([*show[:2], pilots[0].addresses()["admin"]])
            assert re.search(r"SYNCED,\s+\d\d\s+withheld", out), out
            assert "0 of 30 healthy endpoints are left" in err
            assert accept[:3] == ["sources", "accept", "dc1"]
            out, _ = await command([*accept, "-c", str(path)])
            took = await until(lambda: not any(map(count, pilots)), "the acceptance")
            assert not any(pilot.sources()[0].withheld for pilot in pilots)
            print(f"{out.strip()}; released in two replicas {took * 1000:.0f} ms after the command")
            # It is no licence for what is lost later.
            await remember(consul)
            await until(lambda: all(count(pilot) == 30 for pilot in pilots), "all again")
            await forget(consul)
            for pilot in pilots:
                await lost(pilot)
                assert count(pilot) >= 15

    run_async(main(), timeout=120)


def test_a_loss_that_is_upheld_is_believed(run_async, consul_binary: str, tmp_path: Path):
    """After `confirm_after`, and not before."""

    async def main() -> None:
        async with forgetful(consul_binary, tmp_path) as consul:
            path = settings_of(consul, tmp_path, confirm_after="2s")
            async with Pilot(Settings.load(path), serve=False) as pilot:
                await pilot.synced(timeout=20)
                await forget(consul)
                await lost(pilot)
                loss = pilot.sources()[0].parts[0].loss.remaining
                took = await until(lambda: count(pilot) == 0, "the time")
                assert took == pytest.approx(loss, abs=0.5)

    run_async(main(), timeout=120)
