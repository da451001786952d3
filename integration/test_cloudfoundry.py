"""The kind gorouter on a real NATS: what happens on a platform."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from contextlib import asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

import meshregistry_cloudfoundry
from meshregistry import Pilot, Settings
from meshregistry.spi import Condition
from servers.certificates import write_certificate
from servers.nats import Nats, RouteEmitter, registration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Followed:
    """A pilot with one source, and the time that things take to reach its catalog."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot = pilot
        self.times: list[float] = []

    def places(self, host: str) -> set[str] | None:
        """The addresses of a service with ports; None if it is not there."""
        found = self.pilot.merged.find(host)
        return {str(one) for one in found[0].endpoints} if found else None

    async def until(
        self, holds: Callable[[], bool], what: str, *, timeout: float = 20, is_timed: bool = False
    ) -> None:
        """Wait for the catalog; the time may count as one from change to catalog."""
        began = time.perf_counter()
        while not holds():
            assert time.perf_counter() - began < timeout, (
                f"{what}: not within {timeout} s; {self.pilot.sources()}"
            )
            await asyncio.sleep(0.001)
        if is_timed:
            self.times.append(time.perf_counter() - began)

    @property
    def condition(self) -> Condition:
        """Of the source."""
        return self.pilot.sources()[0].condition

    def print_times(self, what: str) -> None:
        """Show median and worst."""
        milliseconds = [1000 * one for one in self.times]
        print(
            f"\ngorouter, {what}: change to catalog p50 {median(milliseconds):.1f} ms, "
            f"worst {max(milliseconds):.1f} ms of {len(milliseconds)}"
        )


@asynccontextmanager
async def following(server: Nats, **options: Any):
    """A pilot that has synced with the routes on this server."""
    if server.user and "user" not in options:
        options |= {"user": server.user, "password": server.password}
    source = {
        "id": "routes",
        "kind": "gorouter",
        "servers": [server.address],
        "register_interval": "300ms",
        "sweep": "100ms",
        "ping_interval": "1s",
        **options,
    }
    settings = Settings.from_dict({"sources": [source], "server": {"xds": "127.0.0.1:0"}})
    async with Pilot(settings, plugins=[meshregistry_cloudfoundry], entry_points=False) as pilot:
        await pilot.synced(timeout=20)
        yield Followed(pilot)


class TestOperators:
    """What happens on a platform."""

    def test_instances_come_change_and_go(self, run_async, nats_folder: Path, tmp_path: Path):
        """Registered, taken back, and dead without a word; nothing flaps meanwhile."""

        async def main() -> None:
            async with Nats(nats_folder, tmp_path) as server, RouteEmitter(server) as emitter:
                web = registration("web.example", "127.0.0.1", 9000)
                await emitter.set("web", web)
                async with following(server) as seen:
                    assert {"127.0.0.1:9000"} == seen.places("web.example")
                    for port in range(9001, 9031):
                        more = registration("web.example", "127.0.0.1", port)
                        await emitter.set("web", web, more)
                        await seen.until(
                            lambda port=port: f"127.0.0.1:{port}" in seen.places("web.example"),
                            "registered",
                            is_timed=True,
                        )
                        await emitter.set("web", web)
                        await seen.until(
                            lambda: {"127.0.0.1:9000"} == seen.places("web.example"),
                            "taken back",
                            is_timed=True,
                        )
                    seen.print_times("registered and taken back")
                    began = time.perf_counter()
                    emitter.forget("web")
                    await seen.until(lambda: seen.places("web.example") is None, "expired")
                    took = time.perf_counter() - began
                    print(f"gorouter, dead with a threshold of 2 s: gone after {took:.1f} s")
                    assert 1.5 < took < 4
                    # Nobody was asked to repeat everything at once.
                    assert 0 == emitter.starts

        run_async(main(), timeout=60)

    def test_a_router_says_the_interval(self, run_async, nats_folder: Path, tmp_path: Path):
        """The source syncs by it, although its settings say an hour."""

        async def main() -> None:
            async with Nats(nats_folder, tmp_path) as server, RouteEmitter(server) as emitter:
                await emitter.answer_greetings(0.2)
                await emitter.set("web", registration("web.example", "127.0.0.1", 9000))
                async with following(server, register_interval="1h", announce=True) as seen:
                    assert {"127.0.0.1:9000"} == seen.places("web.example")
                    assert 1 == emitter.starts  # since it was asked for

        run_async(main(), timeout=60)

    def test_internal_routes_are_followed_on_demand(
        self, run_async, nats_folder: Path, tmp_path: Path
    ):
        """As the platform's service discovery hears of them: containers, at one port."""

        async def main() -> None:
            told = b'{"host": "10.255.0.1", "uris": ["cart.apps.internal"], "app": "app-1"}'
            async with (
                Nats(nats_folder, tmp_path) as server,
                RouteEmitter(server) as emitter,
                following(server, internal_port=8080) as seen,
            ):
                await emitter.raw("service-discovery.register", told)
                await seen.until(
                    lambda: {"10.255.0.1:8080"} == seen.places("cart.apps.internal"), "heard"
                )
                await emitter.raw("service-discovery.unregister", told)
                await seen.until(lambda: seen.places("cart.apps.internal") is None, "gone")

        run_async(main(), timeout=60)

    def test_nats_killed_and_back(self, run_async, nats_folder: Path, tmp_path: Path):
        """Routes with a name in a certificate stay, plaintext expires; then all is as it is."""

        async def main() -> None:
            async with Nats(nats_folder, tmp_path) as server, RouteEmitter(server) as emitter:
                await emitter.set("tls", registration("tls.example", "127.0.0.1", 9000))
                await emitter.set("dead", registration("dead.example", "127.0.0.1", 9001))
                # As many as the guard against mass loss would keep, if it were on.
                places = {f"127.0.0.1:{port}" for port in range(9100, 9130)}
                await emitter.set(
                    "plain",
                    *(
                        registration("plain.example", "127.0.0.1", port, tls=False)
                        for port in range(9100, 9130)
                    ),
                )
                async with following(server) as seen:
                    assert places == seen.places("plain.example")
                    flaps: list[str] = []
                    watching = asyncio.create_task(_watch(seen, "tls.example", flaps))
                    await server.stop(signal.SIGKILL)
                    emitter.forget("dead")
                    await seen.until(lambda: Condition.STALE is seen.condition, "STALE")
                    await seen.until(lambda: seen.places("plain.example") is None, "it expires")
                    await asyncio.sleep(2.5)  # longer than a registration counts
                    assert Condition.STALE is seen.condition
                    assert {"127.0.0.1:9001"} == seen.places("dead.example")
                    await server.start()
                    began = time.perf_counter()
                    await seen.until(lambda: Condition.SYNCED is seen.condition, "SYNCED")
                    took = time.perf_counter() - began
                    print(f"\ngorouter, NATS started again: synced after {took:.1f} s")
                    assert places == seen.places("plain.example")
                    await seen.until(lambda: seen.places("dead.example") is None, "what has died")
                    watching.cancel()
                    assert not flaps

        run_async(main(), timeout=60)

    def test_plaintext_stays_if_the_settings_say_so(
        self, run_async, nats_folder: Path, tmp_path: Path
    ):
        """At the operator's risk."""

        async def main() -> None:
            async with Nats(nats_folder, tmp_path) as server, RouteEmitter(server) as emitter:
                await emitter.set(
                    "plain", registration("plain.example", "127.0.0.1", 9002, tls=False)
                )
                async with following(server, while_away="keep-all") as seen:
                    await server.stop(signal.SIGKILL)
                    await seen.until(lambda: Condition.STALE is seen.condition, "STALE")
                    await asyncio.sleep(3)
                    assert {"127.0.0.1:9002"} == seen.places("plain.example")

        run_async(main(), timeout=60)

    def test_refused_credentials_keep_the_data(self, run_async, nats_folder: Path, tmp_path: Path):
        """FAILED, not a word of the password; a rotated one from a file is taken."""

        async def main() -> None:
            file = tmp_path / "password"
            file.write_text("planted-one\n")
            server = Nats(nats_folder, tmp_path, user="mesh", password="planted-one")
            async with server, RouteEmitter(server) as emitter:
                await emitter.set("web", registration("web.example", "127.0.0.1", 9000))
                own = {"user": "mesh", "password_file": str(file)}
                async with following(server, **own) as seen:
                    file.write_text("planted-two\n")
                    server.password = "planted-two"
                    await server.reload()
                    await emitter.set("late", registration("late.example", "127.0.0.1", 9001))
                    await seen.until(
                        lambda: {"127.0.0.1:9001"} == seen.places("late.example"), "rotated"
                    )
                    assert Condition.FAILED is not seen.condition
                    server.password = "planted-three"
                    await server.reload()
                    await seen.until(lambda: Condition.FAILED is seen.condition, "FAILED")
                    assert {"127.0.0.1:9000"} == seen.places("web.example")
                    shown = str(seen.pilot.sources())
                    assert "refuses the credentials" in shown
                    assert "planted" not in shown

        run_async(main(), timeout=60)

    def test_the_permissions_of_the_readme_are_enough(
        self, run_async, nats_folder: Path, tmp_path: Path
    ):
        """And without the subscription the error says what is missing."""

        async def main() -> None:
            server = Nats(nats_folder, tmp_path, user="mesh", password="x")
            server.permissions = {
                "subscribe": ["router.*", "_INBOX.>"],
                "publish": ["router.greet"],
            }
            async with server, RouteEmitter(server) as emitter:
                await emitter.set("web", registration("web.example", "127.0.0.1", 9000))
                async with following(server) as seen:
                    assert {"127.0.0.1:9000"} == seen.places("web.example")
                    server.permissions = {"subscribe": ["other.*"]}
                    await server.reload()
                    await seen.until(lambda: Condition.FAILED is seen.condition, "FAILED")
                    assert "does not allow to subscribe" in str(seen.pilot.sources()[0].error)
                    assert {"127.0.0.1:9000"} == seen.places("web.example")

        run_async(main(), timeout=60)

    def test_tls_with_a_client_certificate(self, run_async, nats_folder: Path, tmp_path: Path):
        """As nats-tls of a platform wants it; without one the source says what to check."""

        async def main() -> None:
            own, key = write_certificate(tmp_path / "server", "nats.internal")
            mine, my_key = write_certificate(tmp_path / "client", "mesh")
            tls = {
                "cert_file": str(own),
                "key_file": str(key),
                "ca_file": str(mine),
                "verify": True,
                "timeout": 5,
            }
            context = ssl.create_default_context(cafile=str(own))
            context.check_hostname = False
            context.load_cert_chain(mine, my_key)
            server = Nats(nats_folder, tmp_path, tls=tls)
            options = {"ca_file": str(own), "server_name": "nats.internal"}
            async with server, RouteEmitter(server, tls=context) as emitter:
                await emitter.set("web", registration("web.example", "127.0.0.1", 9000))
                async with following(
                    server, cert_file=str(mine), key_file=str(my_key), **options
                ) as seen:
                    assert {"127.0.0.1:9000"} == seen.places("web.example")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2), following(server, **options):
                        pass

        run_async(main(), timeout=60)

    def test_whatever_is_published_harms_nobody(self, run_async, nats_folder: Path, tmp_path: Path):
        """Garbage, and a registration of which one route is none."""

        async def main() -> None:
            async with Nats(nats_folder, tmp_path) as server, RouteEmitter(server) as emitter:
                await emitter.set("web", registration("web.example", "127.0.0.1", 9000))
                async with following(server, stale_threshold="1s") as seen:
                    await emitter.raw("router.register", b"\x00nonsense")
                    await emitter.raw("router.register", b"")
                    half = registration("", "127.0.0.1", 9001, uris=["half.example", "no host"])
                    await emitter.set("half", half)
                    await seen.until(
                        lambda: {"127.0.0.1:9001"} == seen.places("half.example"), "the good half"
                    )
                    faulty = {key for _, key in seen.pilot.sources()[0].faulty}
                    assert {None, "no host"} == faulty
                    assert Condition.SYNCED is seen.condition
                    await emitter.set("half")
                    await seen.until(lambda: not seen.pilot.sources()[0].faulty, "no report")

        run_async(main(), timeout=60)

    def test_many_routes_cost_little(self, run_async, nats_folder: Path, tmp_path: Path):
        """A thousand routes of ten instances, repeated every second: time of the processor."""

        async def main() -> None:
            async with (
                Nats(nats_folder, tmp_path) as server,
                RouteEmitter(server, interval=5) as emitter,
            ):
                for route in range(1000):
                    await emitter.set(
                        f"r{route}",
                        *(
                            registration(
                                f"r{route}.example",
                                f"10.{route // 250}.{route % 250}.{one}",
                                stale_threshold_in_seconds=120,
                            )
                            for one in range(1, 11)
                        ),
                    )
                began, used = time.perf_counter(), time.process_time()
                async with following(server, register_interval="6s") as seen:
                    assert 1000 == len(seen.pilot.merged)
                    print(
                        f"\ngorouter, 1,000 routes of 10 instances: first listing after "
                        f"{time.perf_counter() - began:.1f} s (12 s are asked for)"
                    )
                    used = time.process_time()
                    await asyncio.sleep(10)
                    used = time.process_time() - used
                    print(
                        f"gorouter, 20,000 repetitions: {used:.2f} s of processor, emitter included"
                    )

        run_async(main(), timeout=120)


async def _watch(seen: Followed, host: str, flaps: list[str]) -> None:
    """Note every moment at which the catalog lacks what is there."""
    while True:
        if not seen.places(host):
            flaps.append(f"{host} is missing")
        await asyncio.sleep(0.001)
