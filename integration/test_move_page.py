"""docs/how-to/move-between-registries.md on real servers: every command, forth and back."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from meshregistry.agent import bootstrap
from servers.backends import Backend, Traffic, first_answer
from servers.eureka import RECIPE, Eureka
from servers.kubernetes import Kubernetes, missing_program
from servers.loopback_plugin import installed
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

_ABSENT = missing_program()
pytestmark = [
    pytest.mark.skipif(RECIPE.find() is None, reason=RECIPE.reason()),
    pytest.mark.skipif(
        _ABSENT is not None, reason=f"there is no {_ABSENT}: `make integration` builds it"
    ),
]

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "move-between-registries.md"
TEXT = PAGE.read_text(encoding="utf-8")
OLD_NAME, HOST = "reviews", "reviews.shop.svc.cluster.local"
# Eureka's answers are fresh, and an empty list is believed soon: waiting is not what is tested.
FRESH = {"eureka.server.use-read-only-response-cache": "false"}
IMPATIENT = ", registry_fetch_interval: 100ms, empty_wait: 1s"
_WEIGHT = re.compile(r"reviews[a-z.]*::(127\.[\d.]+:\d+)::weight::(\d+)")


class Step(NamedTuple):
    """What a section of the page lets one type, and how one goes back."""

    title: str
    forth: list[str]
    back: list[str]


def steps() -> Iterator[Step]:
    """The sections that have commands, in the order of the page."""
    for section in TEXT.split("\n## ")[1:]:
        step = Step(section.splitlines()[0], [], [])
        for back, block in re.findall(
            r"(Back[^\n]*:\n\n)?```console\n(.*?)```", section, re.DOTALL
        ):
            lines = [line.removeprefix("$ ") for line in block.splitlines()]
            (step.back if back else step.forth).extend(lines)
        if step.forth:
            yield step


class Move:
    """The page as somebody follows it: real registries, the server in its own process, an Envoy.

    Attributes:
        old: the two backends that are registered in Eureka.
    """

    def __init__(self, folder: Path, make_envoy: MakeEnvoy) -> None:
        self.folder = folder / "here"
        self.folder.mkdir()
        self.old = [Backend("old"), Backend("old")]
        self._make_envoy = make_envoy
        self._stack = AsyncExitStack()
        self._servers = folder / "servers"
        self._servers.mkdir()
        self._words: dict[str, str] = {}
        self._environment: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        try:
            for backend in self.old:
                await enter(backend)
            new = await enter(Backend("new", address="127.0.0.3"))
            await enter(Backend("new", address="127.0.0.4", port=new.port))
            await self._start_eureka()
            await self._start_kubernetes(new.port)
            await self._start_server()
            await self._start_callers()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start_eureka(self) -> None:
        there = RECIPE.find()
        assert there is not None
        self.eureka = await self._stack.enter_async_context(Eureka(there, self._servers, FRESH))
        self.ids = [await self.eureka.register(OLD_NAME, one.port) for one in self.old]

    async def _start_kubernetes(self, port: int) -> None:
        cluster = await self._stack.enter_async_context(Kubernetes(self._servers / "kubernetes"))
        await cluster.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        )
        await cluster.node("n1")
        ports = [{"name": "http", "port": 80, "targetPort": port}]
        await cluster.service("reviews", "shop", ports=ports)
        for number in (3, 4):
            await cluster.pod(
                f"reviews-{number}",
                f"10.244.0.{number}",
                namespace="shop",
                ports={"http": port},
                app="reviews",
            )
        self._environment = {
            **{name: value for name, value in os.environ.items() if "MESHREGISTRY" not in name},
            **installed(self._servers / "plugin"),
            "KUBECONFIG": str(cluster.kubeconfig()),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }

    async def _start_server(self) -> None:
        """The files of the page, with addresses of this machine; then what its first step says."""
        self.xds, http, self.router = (free_port() for _ in range(3))
        self._words = {
            "http://127.0.0.1:8761/eureka": f"{self.eureka.url}{IMPATIENT}",
            "{domain: cluster.local}": f"{{domain: cluster.local, router: {{http_port: {self.router}}}}}",
            "127.0.0.1:15010": f"127.0.0.1:{self.xds}",
            "127.0.0.1:8080": f"127.0.0.1:{http}",
        } | {f"10.0.0.{at}:9080": f"127.0.0.1:{one.port}" for at, one in enumerate(self.old, 1)}
        for name, content in re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL):
            (self.folder / name).write_text(self._ours(content, name))
        *before, serve = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)[0].splitlines()
        for line in before:
            assert (0, "") == await self.typed(line)
        self._log = self._servers / "serve.log"
        command = ["sh", "-c", f'cd "$0" && exec {serve}', str(self.folder)]
        process = ChildProcess(command, log=self._log, environment=self._environment)
        server = await self._stack.enter_async_context(process)
        await server.until(self._is_logged("ready: "), what="the ready line")

    async def _start_callers(self) -> None:
        document = bootstrap(node="edge-1", cluster="edge", xds=f"127.0.0.1:{self.xds}")
        self._envoy = await self._stack.enter_async_context(self._make_envoy(document))
        self.url = f"http://127.0.0.1:{self.router}/"
        assert "old" == await first_answer(self.url, host=OLD_NAME)
        self.flows = [await self._stack.enter_async_context(self._flow(OLD_NAME))]

    def _flow(self, host: str) -> Traffic:
        return Traffic(self.url, host=host, workers=1, pause=0.01)

    async def call_by_the_new_name(self) -> None:
        """From now on also by the name that the service has in Kubernetes."""
        await first_answer(self.url, host=HOST)
        self.flows.append(await self._stack.enter_async_context(self._flow(HOST)))

    def _ours(self, text: str, name: str = "") -> str:
        for theirs, ours in self._words.items():
            # An option beside the URL of a block mapping stands on a line of its own.
            block = "\n    " if f"\n    eureka_server: {theirs}" in text else ""
            text = text.replace(theirs, ours.replace(", ", block) if block else ours)
        assert "10.0.0." not in text, name
        return text

    def _is_logged(self, words: str, count: int = 1) -> Callable[[], Any]:
        async def is_there() -> bool:
            text = self._log.read_text(errors="replace")
            assert "settings not reloaded" not in text, text
            return text.count(words) >= count

        return is_there

    async def typed(self, line: str) -> tuple[int, str]:
        """Type a line of the page; exit code and output."""
        ours = self._ours(line)
        process = await asyncio.create_subprocess_shell(
            ours,
            cwd=self.folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def reloaded(self, count: int) -> None:
        """Wait for so many reloads of the server."""
        async with asyncio.timeout(20):
            while not await self._is_logged("settings reloaded: ", count)():
                await asyncio.sleep(0.02)

    async def shares(self, eureka: int, k8s: int) -> None:
        """Wait until Envoy itself has weights in this ratio, and answers come accordingly."""
        old = {f"127.0.0.1:{one.port}" for one in self.old}
        async with asyncio.timeout(20):
            while True:
                weights = {True: 0, False: 0}
                _, text = await self._envoy.ask("/clusters")
                for place, weight in _WEIGHT.findall(text):
                    weights[place in old] += int(weight)
                if any(weights.values()) and weights[True] * k8s == weights[False] * eureka:
                    break
                await asyncio.sleep(0.05)
        versions = [one for one, share in (("old", eureka), ("new", k8s)) if share]
        for flow in self.flows:
            await flow.only(*versions)

    async def ends_old(self) -> None:
        """What step 6 is about: the old processes end, and then their registrations."""
        for backend in self.old:
            await backend.__aexit__(None, None, None)
        for id_ in self.ids:
            await self.eureka.cancel(OLD_NAME, id_)


class Expected:
    """What must come of each command of the page."""

    def __init__(self, move: Move) -> None:
        self.move = move
        self.reloads = 0
        self.commands = 0
        self.share = (100, 0)
        self.has_shifted = False

    async def run(self, line: str) -> None:
        """Type it, and see that it does what the page says."""
        self.commands += 1
        status, output = await self.move.typed(line)
        assert status == (1 if " diff " in line else 0), f"{line}\n{output}"
        if " --explain-identity" in line:
            assert ["eureka", "k8s"] == re.findall(r"(eureka|k8s) +(?:shop/)?reviews", output), (
                output
            )
        elif " diff " in line:
            self._differs(output)
        elif " sources " in line:
            assert re.search(r"k8s +kubernetes .*SYNCED", output), output
        elif " explain " in line:
            assert re.search(r"share of k8s at http: 0 %", output), output
        elif " drain " in line and "--undo" not in line:
            assert "is drained: " in output
        elif " endpoints " in line:
            assert 2 == output.count(HOST), output
            assert "eureka" not in output, output
        elif line.startswith("cp "):
            self.reloads += 1
            await self.move.reloaded(self.reloads)
        elif found := re.search(r" shift .*eureka=(\d+) k8s=(\d+)", line):
            self.share = int(found[1]), int(found[2])
            self.has_shifted = self.has_shifted or bool(self.share[1])
        await self.move.shares(*self.share)
        if not self.has_shifted:
            assert 0 == sum(flow.answers["new"] for flow in self.move.flows), line
        assert [] == [failure for flow in self.move.flows for failure in flow.failures], line

    def _differs(self, output: str) -> None:
        """Endpoints and the virtual address, as the page says; in the end Eureka knows nothing."""
        what = [line.split()[2] for line in output.splitlines() if HOST in line]
        assert what in (["addresses", *["endpoint"] * 4], ["service"]), output
        assert ("service" in what) == (self.share == (0, 100)), output
        if "service" in what:
            assert re.search(r"service +- +2 endpoints", output), output


def test_no_request_fails_on_the_way_from_eureka_to_kubernetes(
    run_async, envoy: MakeEnvoy, tmp_path: Path
):
    """Each step of the page, back again by what it says, and on; under both names all the time."""

    async def main() -> None:
        began = time.perf_counter()
        async with Move(tmp_path, envoy) as move:
            expected = Expected(move)
            for step in steps():
                if step.title.startswith("6."):
                    await move.ends_old()
                again = step.forth if step.back else []
                for line in (*step.forth, *step.back, *again):
                    await expected.run(line)
                if step.title.startswith("2."):
                    await move.call_by_the_new_name()
            await move.shares(0, 100)
            assert [] == list((move.folder / "decisions").iterdir())
            requests = sum(flow.requests for flow in move.flows)
            failed = sum(len(flow.failures) for flow in move.flows)
            print(
                f"\nEureka to Kubernetes: {expected.commands} commands, {expected.reloads} reloads, "
                f"{requests} requests in {time.perf_counter() - began:.0f} s, {failed} failed"
            )

    run_async(main(), timeout=300)
