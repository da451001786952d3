"""``make demo``: a real Envoy follows a live registry while requests flow.

It starts the server on the file registry, two small HTTP backends, and an Envoy that has
nothing but our bootstrap. Then it changes the registry under traffic, stops the server and
starts it again, and says what moved where. It ends with 0 only if it saw all of it and not
one request failed; it leaves no process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from servers.backends import Backend, Traffic, first_answer
from servers.envoy import Envoy, find_envoy
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "reviews.shop"
MESHREGISTRY = str(Path(sys.executable).with_name("meshregistry"))
AWAY = 2.0

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=110)


class Demo:
    """The files, the programs and the story."""

    def __init__(self, folder: Path, binary: str) -> None:
        self.folder = folder
        self.binary = binary
        self.xds, self.http, self.listener, self.admin = (free_port() for _ in range(4))
        self.settings = folder / "mesh.yaml"
        self.services = folder / "services.yaml"
        self.story = Table(
            "what happened", "took effect after", "requests", "answered by", "failed"
        )

    def write_settings(self) -> None:
        """Two sources would do as well; one file registry is enough to see it move."""
        document = {
            "sources": [{"id": "vms", "kind": "file", "path": "services.yaml"}],
            "mesh": {"router": {"http_port": self.listener}},
            "server": {"xds": f"127.0.0.1:{self.xds}", "http": f"127.0.0.1:{self.http}"},
        }
        self.settings.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def register(self, *backends: Backend) -> None:
        """Write the registry the way people and tools should: beside, then rename."""
        service = {
            "host": HOST,
            "ports": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            "endpoints": [
                {"address": "127.0.0.1", "port": one.port, "labels": {"version": one.version}}
                for one in backends
            ],
        }
        beside = self.services.with_suffix(".new")
        beside.write_text(yaml.safe_dump({"services": [service]}), encoding="utf-8")
        beside.replace(self.services)

    @contextlib.asynccontextmanager
    async def server(self) -> AsyncIterator[ChildProcess]:
        """The bundled server, as anybody would start it, once it is ready."""
        command = [MESHREGISTRY, "serve", "-c", str(self.settings)]
        async with ChildProcess(command, log=self.folder / "server.log") as process:

            async def is_ready() -> bool:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.xds)
                    writer.close()
                    return "ready: " in process.log.read_text().rpartition("listening: ")[2]
                return False

            await process.until(is_ready, what="readiness of the server")
            yield process

    def bootstrap(self) -> dict[str, Any]:
        """What ``meshregistry bootstrap router`` prints: all that Envoy gets from us by hand."""
        command = [
            *(MESHREGISTRY, "bootstrap", "router", "-c", str(self.settings), "-o", "json"),
            *("--admin", f"127.0.0.1:{self.admin}"),
        ]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(answer.stdout))

    async def moved(self, what: str, traffic: Traffic, since: float | None, *versions: str) -> None:
        """Wait until just these versions answer, and add a row to the story."""
        before, failed = traffic.answers.copy(), len(traffic.failures)
        await traffic.only(*versions)
        seconds = None if since is None else time.perf_counter() - since
        self.tell(what, seconds, traffic, before, failed)

    def tell(
        self, what: str, seconds: float | None, traffic: Traffic, before: Any, failed: int
    ) -> None:
        """One row: the requests since `before`, who answered them, how many failed."""
        answers = traffic.answers - before
        failures = len(traffic.failures) - failed
        who = ", ".join(f"{version}: {count}" for version, count in sorted(answers.items()))
        took = "-" if seconds is None else f"{seconds * 1000:.0f} ms"
        style = "bold red" if failures else "green"
        total = str(answers.total() + failures)
        self.story.add_row(what, took, total, who, f"[{style}]{failures}[/]")
        console.print(f"  [green]✓[/] {what}: {who or 'no requests'}, {failures} failed")

    async def run(self) -> int:
        """The whole story; the exit code."""
        self.write_settings()
        url = f"http://127.0.0.1:{self.listener}/"
        async with contextlib.AsyncExitStack() as stack:
            v1 = await stack.enter_async_context(Backend("v1"))
            v2 = await stack.enter_async_context(Backend("v2"))
            console.print(f"backends: v1 on port {v1.port}, v2 on port {v2.port}")
            self.register(v1)
            server = contextlib.AsyncExitStack()
            stack.push_async_callback(server.aclose)
            await server.enter_async_context(self.server())
            console.print(f"server: xDS on port {self.xds}, status page on port {self.http}")
            started = time.perf_counter()
            envoy = await stack.enter_async_context(
                Envoy(self.binary, self.bootstrap(), self.folder)
            )
            await envoy.ready()
            answer = await first_answer(url, host=HOST)
            passed = time.perf_counter() - started
            console.print(f"Envoy: first answer ({answer}) {passed * 1000:.0f} ms after its start")

            traffic = await stack.enter_async_context(Traffic(url, host=HOST))
            await self.moved("v1 alone is registered", traffic, None, "v1")
            since = time.perf_counter()
            self.register(v1, v2)
            await self.moved("v2 is added", traffic, since, "v1", "v2")
            since = time.perf_counter()
            self.register(v2)
            await self.moved("v1 is taken away", traffic, since, "v2")

            before, failed = traffic.answers.copy(), len(traffic.failures)
            await server.aclose()
            count = traffic.requests
            stopped = time.perf_counter()
            await traffic.until(
                lambda: time.perf_counter() - stopped > AWAY and traffic.requests > count
            )
            self.tell(f"the server is away for {AWAY:g} s", None, traffic, before, failed)
            await server.enter_async_context(self.server())
            since = time.perf_counter()
            self.register(v1, v2)
            await self.moved("it is back, and v1 is added", traffic, since, "v1", "v2")
            failures = list(traffic.failures)
            total = traffic.requests
        console.print(self.story)
        if failures:
            console.print(f"[bold red]{len(failures)} of {total} requests failed:[/] {failures[0]}")
            return 1
        console.print(f"[bold green]{total} requests, none failed.[/]")
        return 0


def by_hand() -> Panel:
    """How to play on."""
    venv = os.path.relpath(Path(sys.prefix, "bin"))
    lines = f"""\
Write a registry and settings, each in a file:

  [bold]services.yaml[/]   services:
                    - host: reviews.shop
                      ports: \\[{{name: http, port: 80, protocol: HTTP}}]
                      endpoints: \\[127.0.0.1:9080]
  [bold]mesh.yaml[/]       sources:
                    - {{id: vms, kind: file, path: services.yaml}}

then, in three terminals:

  {venv}/meshregistry serve
  {venv}/meshregistry bootstrap router > envoy.yaml; {venv}/envoy -c envoy.yaml
  python3 -m http.server 9080 --bind 127.0.0.1

  curl -H 'Host: reviews.shop' http://127.0.0.1:10000/    [dim]through Envoy[/]
  {venv}/meshregistry endpoints                             [dim]what the registry says[/]
  {venv}/meshregistry proxies                               [dim]who follows it[/]

Change services.yaml and ask again."""
    return Panel(lines, title="play on by hand", expand=False)


def main() -> int:
    """Run the demo within two minutes; 0 only if all of it was seen to work."""
    binary = find_envoy()
    if binary is None:
        console.print("there is no Envoy: run it as `make demo`, which installs one")
        return 1
    with tempfile.TemporaryDirectory(prefix="meshregistry-demo-") as folder:
        demo = Demo(Path(folder), binary)
        try:
            code = asyncio.run(asyncio.wait_for(demo.run(), 110))
        except (TimeoutError, RuntimeError, subprocess.CalledProcessError) as error:
            console.print(f"[bold red]the demo did not work:[/] {error!r}")
            for log in Path(folder).glob("*.log"):
                console.print(Panel(log.read_text(errors="replace")[-3000:], title=log.name))
            return 1
    console.print(by_hand())
    return code


if __name__ == "__main__":
    sys.exit(main())
