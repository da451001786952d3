"""HTTP listeners: shared addresses, real ports, errors that name the address."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from meshregistry.exposition import MetricsCollector
from meshregistry.server._admin import admin_routes, probe_routes
from meshregistry.server._http import HttpListeners


def _route(path: str, text: str) -> web.RouteDef:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text)

    return web.get(path, answer)


async def _get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.text()


class TestHttpListeners:
    def test_share_an_address(self, run_async):
        """Groups with the same address text have one listener, also with port 0."""

        async def main() -> None:
            groups = {
                "http": ("127.0.0.1:0", [_route("/a", "A")]),
                "admin": ("127.0.0.1:0", [_route("/b", "B")]),
            }
            async with HttpListeners(groups) as listeners:
                address = listeners.address("http")
                assert listeners.address("admin") == address
                assert await _get(f"http://{address}/a") == (200, "A")
                assert await _get(f"http://{address}/b") == (200, "B")

        run_async(main())

    def test_keep_apart(self, run_async):
        """A group is not served on another one's address."""

        async def main() -> None:
            async with (
                HttpListeners({"one": ("127.0.0.1:0", [_route("/a", "A")])}) as one,
                HttpListeners({"two": ("127.0.0.1:0", [_route("/b", "B")])}) as two,
            ):
                assert (await _get(f"http://{one.address('one')}/b"))[0] == 404
                assert (await _get(f"http://{two.address('two')}/b"))[0] == 200

        run_async(main())

    def test_name_the_address_in_use(self, run_async):
        """The error says which address, and what to do."""

        async def main() -> None:
            async with HttpListeners({"one": ("127.0.0.1:0", [])}) as one:
                second = HttpListeners({"two": (one.address("one"), [])})
                with pytest.raises(OSError, match=one.address("one")) as caught:
                    await second.start()
                assert "choose a free address" in str(caught.value)

        run_async(main())

    def test_serve_a_unix_socket(self, run_async, tmp_path):
        """The address may be a Unix socket."""

        async def main() -> None:
            path = tmp_path / "s"
            groups = {"one": (f"unix://{path}", [_route("/a", "A")])}
            async with (
                HttpListeners(groups) as listeners,
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
                http.get("http://localhost/a") as answer,
            ):
                assert listeners.address("one") == f"unix://{path}"
                assert await answer.text() == "A"

        run_async(main())


class TestProbes:
    def test_tell_health_and_readiness(self, run_async):
        """200 without reasons, 503 with them, as JSON."""

        async def main() -> None:
            routes = probe_routes(
                health=lambda: (),
                readiness=lambda: ("draining",),
                collector=MetricsCollector(list),
            )
            async with HttpListeners({"probes": ("127.0.0.1:0", routes)}) as listeners:
                base = f"http://{listeners.address('probes')}"
                status, text = await _get(f"{base}/healthz")
                assert (200, True) == (status, '"ok"' in text)
                status, text = await _get(f"{base}/readyz")
                assert (503, True) == (status, "draining" in text)
                assert (await _get(f"{base}/metrics"))[0] == 200

        run_async(main())


class TestAdmin:
    def test_what_no_utf_8_holds_hides_nothing_else(self, run_async):
        """One label of one registry must not take the catalog from everybody."""

        async def main() -> None:
            routes = admin_routes({"catalog": lambda _: {"a": "ü\ud800"}})
            async with HttpListeners({"admin": ("127.0.0.1:0", routes)}) as listeners:
                answer = await _get(f"http://{listeners.address('admin')}/debug/catalog")
                assert answer == (200, '{\n  "a": "ü\\ud800"\n}\n')

        run_async(main())

    def test_serves_documents_and_the_page(self, run_async):
        """Each document under its name; what is not there is 404, what is wrong is 400."""

        def missing(_: object) -> object:
            raise LookupError("no such host")

        def wrong(_: object) -> object:
            raise ValueError("name a host")

        async def main() -> None:
            routes = admin_routes({"catalog": dict, "missing": missing, "wrong": wrong})
            async with HttpListeners({"admin": ("127.0.0.1:0", routes)}) as listeners:
                base = f"http://{listeners.address('admin')}"
                assert await _get(f"{base}/debug/catalog?a=b") == (200, '{\n  "a": "b"\n}\n')
                status, text = await _get(f"{base}/debug/missing")
                assert (404, True) == (status, "no such host" in text)
                status, text = await _get(f"{base}/debug/wrong")
                assert (400, True) == (status, "name a host" in text)
                assert "/debug/catalog" in (await _get(f"{base}/debug"))[1]
                assert "<title>meshregistry" in (await _get(f"{base}/"))[1]

        run_async(main())
