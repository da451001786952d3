"""One client of a cluster: channels, failover, credentials and questions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc

from meshregistry.errors import (
    RegistryAuthError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry_etcd._errors import AuthOff, Compacted, StaleToken, mapped
from meshregistry_etcd._messages import rpc
from meshregistry_etcd._watch import EOF, Watch, prefix_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random

    from meshregistry.spi import Clock
    from meshregistry_etcd._config import EtcdConfig

_OPTIONS: tuple[tuple[str, Any], ...] = (
    # A listing may be larger than gRPC's 4 MiB; etcd limits what a key may hold.
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    # Sources do not share connections, nor the back-off of a connection.
    ("grpc.use_local_subchannel_pool", 1),
)


class EtcdClient:
    """Asks the endpoints of one cluster; an async context manager.

    Questions go to one endpoint until it fails, then to the next. A connection that
    failed is thrown away, so certificates are read again and gRPC's own back-off does not
    keep a server waiting that has come back.

    Args:
        config: the options of the source.
        clock: for waiting.
        random: says which endpoint comes first, so that many clients spread out.
        user_agent: what to call oneself.
    """

    def __init__(
        self, config: EtcdConfig, *, clock: Clock, random: Random, user_agent: str
    ) -> None:
        self.config = config
        self.clock = clock
        self._targets = config.targets
        self._index = random.randrange(len(self._targets))
        self._options = [*_OPTIONS, ("grpc.primary_user_agent", user_agent)]
        if config.tls_server_name:
            self._options.append(("grpc.ssl_target_name_override", config.tls_server_name))
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._token: str | None = None
        self._has_auth = bool(config.user)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close(None)

    # --- Questions --------------------------------------------------------------------

    async def ask(self, method: str, request: Any) -> Any:
        """The answer of the first endpoint that gives one; each is tried once.

        Args:
            method: stub and method, as ``KV.Range``.
            request: the message.

        Raises:
            RegistryUnavailable: if no endpoint answers.
            RegistryAuthError: if the credentials are refused.
            RegistryProtocolError: if the question is.
        """

        async def unary(channel: grpc.aio.Channel, metadata: Any) -> Any:
            call = _method(channel, method)
            return await call(request, metadata=metadata, timeout=self.config.timeout)

        return await self._anywhere(unary)

    async def keep_alive(self, lease: int) -> int:
        """Prolong a lease.

        Returns:
            Its time to live in seconds; 0 if it does not exist.

        Raises:
            RegistryError: as `ask`.
        """

        async def once(channel: grpc.aio.Channel, metadata: Any) -> int:
            stub = rpc.LeaseStub(channel)
            call = stub.LeaseKeepAlive(metadata=metadata, timeout=self.config.timeout)
            try:
                await self.write(call, rpc.LeaseKeepAliveRequest(ID=lease))
                answer = await call.read()
            finally:
                call.cancel()
            if answer is EOF:
                raise RegistryUnavailable("etcd ended the keep-alive of a lease; it is asked again")
            return int(answer.TTL)

        return int(await self._anywhere(once))

    async def pages(self, folder: str) -> AsyncIterator[Any]:
        """Every key under a prefix as range responses, all of one revision.

        Raises:
            Compacted: if that revision is compacted before the last page; begin again.
            RegistryError: as `ask`.
        """
        start, end = prefix_range(folder)
        revision = 0
        while True:
            page = await self.ask(
                "KV.Range",
                rpc.RangeRequest(
                    key=start, range_end=end, limit=self.config.page_size, revision=revision
                ),
            )
            revision = revision or page.header.revision
            yield page
            if not page.more:
                return
            if not page.kvs:
                raise RegistryProtocolError("etcd says that there are more keys and gives none")
            start = page.kvs[-1].key + b"\0"

    def watch(self, folder: str, revision: int) -> Watch:
        """Watch a prefix, from a revision on; enter it to begin."""
        return Watch(self, folder, revision)

    async def write(self, call: Any, message: Any) -> None:
        """Write to a stream.

        Raises:
            TimeoutError: after the time-out. A server may take nothing in, and grpc.aio never
                wakes who waits for a call to begin that is ended meanwhile, such as by the
                closing of its channel.
        """
        async with asyncio.timeout(self.config.timeout):
            await call.write(message)

    async def _anywhere(self, call: Callable[[grpc.aio.Channel, Any], Any]) -> Any:
        failed = RegistryUnavailable("there is no endpoint of etcd to ask; add endpoints:")
        for _ in self._targets:
            try:
                return await self._authorised(call)
            except Compacted:
                raise
            except RegistryUnavailable as error:
                failed = error
                await self.give_up(self.target)
        raise failed

    async def _authorised(self, call: Callable[[grpc.aio.Channel, Any], Any]) -> Any:
        try:
            return await self._once(call)
        except StaleToken:
            if self._token is None:
                raise
            # Tokens end after some minutes without use, and with the server.
            self.forget_token()
        return await self._once(call)

    async def _once(self, call: Callable[[grpc.aio.Channel, Any], Any]) -> Any:
        metadata = await self.metadata()
        target = self.target
        with mapped(target):
            return await call(self.channel(target), metadata)

    # --- Connections ------------------------------------------------------------------

    @property
    def target(self) -> str:
        """The endpoint that is asked now."""
        return self._targets[self._index]

    def channel(self, target: str) -> grpc.aio.Channel:
        """The connection to an endpoint."""
        channel = self._channels.get(target)
        if channel is None:
            channel = self._channels[target] = self._connected(target)
        return channel

    async def give_up(self, target: str) -> None:
        """Throw the connection away and turn to the next endpoint."""
        if target == self.target:
            self._index = (self._index + 1) % len(self._targets)
        channel = self._channels.pop(target, None)
        if channel is not None:
            await channel.close(None)

    def _connected(self, target: str) -> grpc.aio.Channel:
        config = self.config
        if not config.is_tls:
            return grpc.aio.insecure_channel(target, options=self._options)
        read = [
            None if path is None else _content(path)
            for path in (config.ca_cert, config.cert_key, config.cert_cert)
        ]
        credentials = grpc.ssl_channel_credentials(*read)
        return grpc.aio.secure_channel(target, credentials, options=self._options)

    # --- Credentials ------------------------------------------------------------------

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes along with every call: the token, fetched if there is none."""
        if not self._has_auth:
            return ()
        if self._token is None:
            await self._authenticate()
        return (("token", self._token),) if self._token else ()

    def forget_token(self) -> None:
        """Authenticate again before the next call."""
        self._token = None

    async def _authenticate(self) -> None:
        password = self.config.password
        try:
            text = "" if password is None else await password.read()
            request = rpc.AuthenticateRequest(name=self.config.user, password=text)
        except (OSError, KeyError) as error:
            msg = f"the password cannot be read: {error}; correct password_file or password_env"
            raise RegistryAuthError(msg) from error
        target = self.target
        try:
            with mapped(target):
                stub = rpc.AuthStub(self.channel(target))
                answer = await stub.Authenticate(request, timeout=self.config.timeout)
        except AuthOff:
            # As etcd's own client: credentials that nobody asks for do no harm.
            self._has_auth = False
            return
        self._token = answer.token


def _method(channel: grpc.aio.Channel, name: str) -> Any:
    stub, method = name.split(".")
    return getattr(getattr(rpc, f"{stub}Stub")(channel), method)


def _content(path: Any) -> bytes:
    try:
        content: bytes = path.read_bytes()
    except OSError as error:
        msg = (
            f"{path} cannot be read: {error.strerror or error}; correct the path or its permissions"
        )
        raise RegistryUnavailable(msg) from error
    return content
