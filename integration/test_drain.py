"""An endpoint is drained by the command, its process is killed, and no request fails."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from meshregistry.agent import bootstrap, node_id
from meshregistry.model import ProxyRole
from servers.backends import Traffic, first_answer
from servers.ours import serving
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

PROGRAM = Path(sys.executable).with_name("meshregistry")
# A little server that can be killed: it answers with its own port.
BACKEND = """
import sys
from aiohttp import web

async def answer(request):
    return web.Response(text=sys.argv[1])

app = web.Application()
app.router.add_route("*", "/{tail:.*}", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
SETTINGS = """
sources: [{{id: vms, kind: file, path: services.yaml}}]
rules: [{{kind: file, path: rules}}]
server: {{xds: '127.0.0.1:0', http: '127.0.0.1:{admin}', peers: {peers}}}
"""
SERVICES = """
services:
  - host: reviews.shop
    ports: [{{name: http, port: {port}, protocol: HTTP}}]
    endpoints: [127.0.0.1:{one}, 127.0.0.1:{two}]
"""


async def command(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of one command."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        *words,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def test_drain_then_kill(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Two replicas with an Envoy each: both have let go when the command exits with 0."""
    one, two = free_port(), free_port()
    # Two sidecars of one machine cannot listen on one port.
    ports, admins = [free_port(), free_port()], [free_port(), free_port()]
    folders = [tmp_path / "first", tmp_path / "second"]
    rules = tmp_path / "rules"
    rules.mkdir()
    for number, folder in enumerate(folders):
        folder.mkdir()
        # Both replicas read the same documents.
        (folder / "rules").symlink_to(rules)
        text = SETTINGS.format(
            admin=admins[number], peers=f"['http://127.0.0.1:{admins[1 - number]}']"
        )
        (folder / "mesh.yaml").write_text(text)
        (folder / "services.yaml").write_text(SERVICES.format(port=ports[number], one=one, two=two))

    def backend(port: int, log: str) -> ChildProcess:
        return ChildProcess([sys.executable, "-c", BACKEND, str(port)], log=tmp_path / log)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(backend(one, "one.log"))
            victim = await stack.enter_async_context(backend(two, "two.log"))
            traffics = []
            for number, folder in enumerate(folders):
                replica = serving(PROGRAM, folder / "mesh.yaml", log=folder / "serve.log")
                xds = (await stack.enter_async_context(replica))["xds"]
                node = node_id(
                    ProxyRole.SIDECAR, address="127.0.0.9", name=f"web-{number}", domain="shop"
                )
                await stack.enter_async_context(envoy(bootstrap(node=node, cluster="web", xds=xds)))
                url = f"http://127.0.0.1:{ports[number]}/"
                await first_answer(url, host="reviews.shop")
                traffic = Traffic(url, host="reviews.shop", workers=4, pause=0.002)
                traffics.append(await stack.enter_async_context(traffic))
            for traffic in traffics:
                await traffic.only(str(one), str(two))
            endpoint = f"127.0.0.1:{two}"
            words = ("drain", "reviews.shop", endpoint)
            code, output = await command(folders[0], *words, "--wait", "--grace", "500ms")
            assert code == 0, output
            await victim.stop(signal.SIGKILL)
            for traffic in traffics:
                await traffic.only(str(one))
                assert traffic.failures == []
            print(output.strip().splitlines()[-1])
            print(f"{sum(one.requests for one in traffics)} requests at two Envoys, none failed")
            await stack.enter_async_context(backend(two, "again.log"))
            await first_answer(f"http://{endpoint}/")
            code, output = await command(folders[0], *words, "--undo")
            assert code == 0, output
            for traffic in traffics:
                await traffic.only(str(one), str(two))
                assert traffic.failures == []

    run_async(main())
