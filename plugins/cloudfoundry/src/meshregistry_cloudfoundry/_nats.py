"""One connection to NATS, on nats-py, with its errors made ours.

Reconnecting is ours: nats-py would go on for minutes after credentials were refused, and a
registry has to know since when it has heard nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Self

import nats.errors
from nats.aio.client import Client

from meshregistry.errors import RegistryAuthError, RegistryError, RegistryUnavailable
from meshregistry.spi import tls_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from meshregistry.spi import RegistryContext
    from meshregistry_cloudfoundry._config import GorouterConfig

SUBJECTS = "router.*"
"""One subscription for all, as gorouter itself has it: two would not keep the order."""

INTERNAL_SUBJECTS = "service-discovery.*"
"""Where routes of internal domains are registered."""

GREET = "router.greet"
START = "router.start"

_AUTH = ("authorization violation", "authentication expired", "authentication revoked")
_CLOSING = 1.0
_ONE_RETRY = 1


class _Client(Client):
    """nats-py's client, which would send credentials in clear text if a server wants no TLS."""

    must_have_tls = False

    def _connect_command(self) -> bytes:
        if self.must_have_tls and not self._server_info.get("tls_required"):
            msg = "nats: the server does not want TLS, so no credentials are sent"
            raise nats.errors.Error(msg)
        command: bytes = super()._connect_command()
        return command

    async def end(self) -> None:
        """Close, also after nats-py has failed to.

        Its own closing gives up half-way if it cannot write what is left to a connection that
        was reset: subscriptions would wait for ever, and the socket would stay.
        """
        subscriptions = tuple(self._subs.values())
        try:
            await self.close()
        finally:
            for subscription in subscriptions:
                subscription._stop_processing()  # noqa: SLF001 - unsubscribing needs a connection
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]  # of nats-py, untyped


class Connection:
    """A connection that is subscribed to what routers hear; an async context manager.

    Args:
        config: how to reach NATS.
        context: of the source.
        heard: is told each message: subject, or ``router.greet`` for answers to our own
            question, and content.
        woken: is called when the connection has been lost.
    """

    def __init__(
        self,
        config: GorouterConfig,
        context: RegistryContext,
        *,
        heard: Callable[[str, bytes], None],
        woken: Callable[[], None],
    ) -> None:
        self._config = config
        self._context = context
        self._heard = heard
        self._woken = woken
        self._client: _Client | None = None
        self._errors: list[Exception] = []
        self._fault: Exception | None = None
        self._refusal: RegistryError | None = None
        self._is_open = False
        self._is_established = False
        self._inbox = ""

    async def __aenter__(self) -> Self:
        """Connect to the first server that answers.

        Raises:
            RegistryAuthError: if one refuses the credentials.
            RegistryUnavailable: if none can be used.
        """
        servers = list(self._config.servers)
        self._context.random.shuffle(servers)
        failures: list[RegistryError] = []
        for server in servers:
            try:
                await self._connect(server)
            except RegistryError as error:
                await self._close()
                failures.append(error)
            except BaseException:
                await self._close()
                raise
            else:
                return self
        refused = [one for one in failures if isinstance(one, RegistryAuthError)]
        raise (refused or failures)[0]

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def check(self) -> None:
        """Raise what has ended the connection, if it has ended.

        Raises:
            RegistryError: of the kind that says how to retry.
        """
        if self._fault is not None:
            raise self._fault
        if self._refusal is not None:
            raise self._refusal
        if not self._is_open or (self._client is not None and self._client.is_closed):
            last = self._errors[-1] if self._errors else None
            # Credentials that were good may have been exchanged: the next attempt reads them
            # again, and tells.
            if last is not None and _is_refusal(last) and not self._is_established:
                raise self._refused(last) from last
            what = f": {_text(last)}" if last is not None else ""
            msg = f"the connection to NATS was lost{what}; it is tried again"
            raise RegistryUnavailable(msg) from last

    async def publish(self, subject: str, data: bytes) -> None:
        """Publish a message."""
        if self._client is not None:
            with contextlib.suppress(nats.errors.Error):  # a lost connection is found by `check`
                await self._client.publish(subject, data)

    async def greet(self) -> None:
        """Ask the routers again at which interval emitters repeat themselves."""
        if self._client is not None:
            with contextlib.suppress(nats.errors.Error):
                await self._client.publish(GREET, b"", reply=self._inbox)

    async def _connect(self, server: str) -> None:
        config = self._config
        self._errors, self._refusal = [], None
        self._is_established = False
        try:
            password = await config.password.read() if config.password is not None else None
            token = await config.token.read() if config.token is not None else None
        except (OSError, KeyError, UnicodeDecodeError) as error:
            msg = f"the credentials for NATS cannot be read: {type(error).__name__}: {error}; check password_file, token_file or their variables"
            raise RegistryAuthError(msg) from error
        client = self._client = _Client()
        client.must_have_tls = server.startswith("tls://")
        try:
            await client.connect(
                [server],
                name=self._context.user_agent,
                user=config.user or None,
                password=password,
                token=token,
                tls=self._tls(server),
                tls_hostname=config.server_name or None,
                allow_reconnect=False,
                max_reconnect_attempts=_ONE_RETRY,
                reconnect_time_wait=0,
                connect_timeout=config.connect_timeout,  # type: ignore[arg-type]  # any number will do
                ping_interval=config.ping_interval,  # type: ignore[arg-type]  # likewise
                max_outstanding_pings=2,
                error_cb=self._failed,
                closed_cb=self._closed,
            )
            self._is_open = True
            await client.subscribe(SUBJECTS, cb=self._told)
            if config.internal_port is not None:
                await client.subscribe(INTERNAL_SUBJECTS, cb=self._told)
            self._inbox = client.new_inbox()
            await client.subscribe(self._inbox, cb=self._answered)
            await client.publish(GREET, b"", reply=self._inbox)
            # Only after this has come back does the server know the subscriptions.
            await client.flush(timeout=config.connect_timeout)  # type: ignore[arg-type]  # likewise
        except (ssl.SSLError, FileNotFoundError) as error:
            msg = f"TLS with {server} fails: {error}; check ca_file, cert_file, key_file and server_name"
            raise RegistryUnavailable(msg) from error
        except (nats.errors.Error, OSError, ValueError) as error:
            # Of servers that cannot be reached nats-py says only that there are none.
            cause = next(iter(reversed(self._errors)), error)
            if _is_refusal(cause):
                raise self._refused(cause) from error
            msg = f"NATS at {server} cannot be used: {_text(cause)}; check servers and the network"
            raise RegistryUnavailable(msg) from error
        self.check()
        self._is_established = True

    def _tls(self, server: str) -> ssl.SSLContext | None:
        config = self._config
        if not (server.startswith("tls://") or config.ca_file or config.cert_file):
            return None
        return tls_context(
            self._context.base_path,
            ca_file=config.ca_file,
            cert_file=config.cert_file,
            key_file=config.key_file,
            verify=config.verify,
        )

    def _refused(self, error: Exception) -> RegistryAuthError:
        return RegistryAuthError(
            f"NATS refuses the credentials: {_text(error)}; check user, password, token or the client certificate"
        )

    async def _close(self) -> None:
        self._is_open = False
        client, self._client = self._client, None
        if client is None:
            return
        # A connection whose other end is silent cannot be closed in peace.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await client.end()

    async def _told(self, message: Msg) -> None:
        self._pass(message.subject, message.data)

    async def _answered(self, message: Msg) -> None:
        self._pass(GREET, message.data)

    def _pass(self, subject: str, data: bytes) -> None:
        try:
            self._heard(subject, data)
        except Exception as error:  # noqa: BLE001 - nats-py would only log it; `check` raises it
            self._fault = error
            self._woken()

    async def _failed(self, error: Exception) -> None:
        text = str(error).lower()
        needed = [one for one in (SUBJECTS, INTERNAL_SUBJECTS) if f'"{one}"' in text]
        if "permissions violation for subscription" in text and needed:
            msg = f"NATS does not allow to subscribe to {needed[0]}: {_text(error)}; see the permissions in the README"
            self._refusal = RegistryAuthError(msg)
            self._woken()
        elif isinstance(error, nats.errors.SlowConsumerError):
            # The message is lost; its sender repeats it.
            self._context.count("slow_consumer")
        elif "permissions violation" not in text:
            self._errors.append(error)
            if isinstance(error, nats.errors.StaleConnectionError | OSError):
                self._is_open = False
                self._woken()

    async def _closed(self) -> None:
        self._is_open = False
        last = self._client.last_error if self._client is not None else None
        if last is not None:
            self._errors.append(last)
        self._woken()


def _is_refusal(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, nats.errors.AuthorizationError) or any(one in text for one in _AUTH)


def _text(error: BaseException | None) -> str:
    return str(error) or type(error).__name__
