"""A NATS that lives in the test: the text protocol, as much of it as subscribers need."""

from __future__ import annotations

import asyncio
import contextlib
import json

from meshregistry.testing import free_port


class FakeNats:
    """One server; an async context manager.

    Attributes:
        user, password: the credentials that it wants; no user, no check.
        denied: subjects that nobody may subscribe or publish to.
        published: what clients have published: subject and content.
        connects: how many clients have introduced themselves.
        greeting: what a router answers to ``router.greet``; None for no router.
    """

    def __init__(self):
        self.user = self.password = ""
        self.denied = set()
        self.published = []
        self.greeting = None
        self.connects = 0
        self._open = {}

    async def __aenter__(self):
        # Once it has stopped nobody else may be given its port.
        self.port = free_port()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *exc_info):
        await self.stop()

    async def stop(self):
        """Listen no longer, and end every connection."""
        self._server.close()
        while self._open:
            # Each time anew: one that came before the end may begin only now.
            for writer in list(self._open):
                writer.transport.abort()
            await asyncio.sleep(0.001)

    @property
    def address(self):
        return f"nats://127.0.0.1:{self.port}"

    @property
    def subscribers(self):
        """How many connections follow the routes."""
        return sum("router.*" in subjects.values() for subjects in self._open.values())

    def publish(self, subject, content, reply=""):
        """Tell everybody who has subscribed."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        for writer, subjects in list(self._open.items()):
            for number, pattern in subjects.items():
                if _is_match(pattern, subject):
                    head = f"MSG {subject} {number} {reply} {len(data)}\r\n".replace("  ", " ")
                    writer.write(head.encode() + data + b"\r\n")

    def disconnect(self, reason=""):
        """End every connection, with a reason if one is given."""
        for writer in list(self._open):
            if reason:
                writer.write(f"-ERR '{reason}'\r\n".encode())
                writer.close()
            else:
                writer.transport.abort()

    async def _accept(self, reader, writer):
        self._open[writer] = {}
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:  # also with half a line, which is all that some connections bring
            del self._open[writer]
            writer.close()

    async def _serve(self, reader, writer):
        info = {"server_id": "fake", "version": "2.10.0", "max_payload": 1048576}
        info["auth_required"] = bool(self.user)
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        while (line := await reader.readline()).endswith(b"\n"):
            verb, _, rest = line.decode().strip().partition(" ")
            words = rest.split()
            if verb == "CONNECT":
                self.connects += 1
                said = json.loads(rest)
                if self.user and (said.get("user"), said.get("pass")) != (self.user, self.password):
                    writer.write(b"-ERR 'Authorization Violation'\r\n")
                    await writer.drain()
                    return
            elif verb == "PING":
                writer.write(b"PONG\r\n")
            elif verb == "SUB":
                if words[0] in self.denied:
                    writer.write(
                        f"-ERR 'Permissions Violation for Subscription to \"{words[0]}\"'\r\n".encode()
                    )
                else:
                    self._open[writer][words[-1]] = words[0]
            elif verb == "PUB":
                content = (await reader.readexactly(int(words[-1]) + 2))[:-2]
                self.published.append((words[0], content))
                if words[0] in self.denied:
                    text = f"-ERR 'Permissions Violation for Publish to \"{words[0]}\"'\r\n"
                    writer.write(text.encode())
                elif words[0] == "router.greet" and self.greeting is not None:
                    self.publish(words[1], self.greeting)


def _is_match(pattern, subject):
    parts, words = pattern.split("."), subject.split(".")
    return len(parts) == len(words) and all(
        one in ("*", word) for one, word in zip(parts, words, strict=True)
    )


class Emitter:
    """Repeats registrations, as route-emitters do; an async context manager.

    Args:
        publish: ``publish(subject, content)`` tells NATS; may be a coroutine function.
        interval: seconds between two repetitions.
    """

    def __init__(self, publish, interval=0.1):
        self._publish = publish
        self._interval = interval
        self._kept = {}
        self._garbled = {}

    async def __aenter__(self):
        self._task = asyncio.create_task(self._repeat())
        return self

    async def __aexit__(self, *exc_info):
        self._task.cancel()
        await asyncio.wait([self._task])

    async def set(self, name, *messages):
        """Keep these for a name; what it had beside them is taken back."""
        self._garbled.pop(name, None)
        had = self._kept.pop(name, ())
        self._kept[name] = messages
        for one in messages:
            await self._tell("router.register", one)
        for one in had:
            if one not in messages and isinstance(one, dict):
                await self._tell("router.unregister", one)

    def garble(self, name, *messages):
        """Repeat these from now on, and take back nothing of what the name had."""
        self._garbled[name] = messages

    def forget(self):
        """Repeat nothing any more, and take nothing back."""
        self._kept.clear()
        self._garbled.clear()

    async def _repeat(self):
        while True:
            for messages in list({**self._kept, **self._garbled}.values()):
                for one in messages:
                    await self._tell("router.register", one)
            await asyncio.sleep(self._interval)

    async def _tell(self, subject, content):
        told = self._publish(subject, content)
        if told is not None:
            await told


def message(host, address, *, port=8080, tls=True, threshold=2, **more):
    """A registration as route-emitter sends it."""
    secure = {"tls_port": port, "server_cert_domain_san": f"id-{address}"} if tls else {}
    return {
        "host": address,
        "port": 0 if tls else port,
        **secure,
        "uris": [host],
        "app": "app-1",
        "private_instance_id": f"id-{address}",
        "private_instance_index": "0",
        "availability_zone": "z1",
        "stale_threshold_in_seconds": threshold,
        "tags": {"component": "route-emitter"},
        **more,
    }
