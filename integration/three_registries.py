"""``make three-registries``: real servers to try docs/how-to/three-registries on, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from servers.backends import Backend
from servers.three import ThreeRegistries, absent

SETTINGS = "docs/how-to/three-registries/mesh.yaml"


async def main() -> None:
    """Start everything, say what to type, wait."""
    with tempfile.TemporaryDirectory(prefix="meshregistry-three-") as folder:
        async with AsyncExitStack() as stack:
            backends = [
                await stack.enter_async_context(Backend(name)) for name in ("consul", "etcd", "k8s")
            ]
            print("starting Consul, etcd and Kubernetes …", flush=True)
            three = await stack.enter_async_context(ThreeRegistries(Path(folder)))
            await three.register(*(backend.port for backend in backends))
            command = os.path.relpath(Path(sys.prefix, "bin", "meshregistry"))
            print("they run; in another terminal, in this folder:\n")
            for name, value in three.environment().items():
                print(f"  export {name}={shlex.quote(value)}")
            print(f"  {command} services -c {SETTINGS}")
            print(f"  {command} serve -c {SETTINGS}\n\nCtrl-C ends them.", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    if (missing := absent()) is not None:
        sys.exit(f"there is no {missing}: `make three-registries` builds it first")
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped")
