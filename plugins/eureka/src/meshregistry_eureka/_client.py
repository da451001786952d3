"""Questions to Eureka servers: one HTTP client for a source, the next server if one fails."""

from __future__ import annotations

import base64
import email.utils
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp
from attrs import frozen

from meshregistry.errors import (
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.spi import tls_context
from meshregistry_eureka._config import Server, parse_servers
from meshregistry_eureka._listing import Listing, listing_of
from meshregistry_eureka._xml import document_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from meshregistry.spi import RegistryContext
    from meshregistry_eureka._config import EurekaConfig

T = TypeVar("T")

_SUCCESS = range(200, 300)
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_BUSY = (408, 429)
_SERVER_FAULT = 500
_SHOWN = 200
_LARGE = 100_000


class NoDeltas(RegistryUnavailable):
    """The server does not serve deltas (``disableDelta``)."""


@frozen
class Response:
    """What a server answered.

    Attributes:
        status: of HTTP.
        body: the text.
        server_time: in milliseconds by the server's clock; 0 if it is not said.
    """

    status: int
    body: str
    server_time: int = 0

    @property
    def is_success(self) -> bool:
        """Whether it was done."""
        return self.status in _SUCCESS


class EurekaClient:
    """One client for the life of a source; an async context manager.

    It stays with the server that answered last, also over attempts, since servers are copies
    without a common clock: each change of servers costs a full answer.

    Args:
        config: how to reach the servers.
        context: of the source.

    Attributes:
        known: how many instances were there when a server was last followed.
    """

    def __init__(self, config: EurekaConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self._current = 0
        self.known = 0
        self._empty_since: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.renew()

    async def renew(self) -> None:
        """Close connections; the next request reads certificates again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def full(self) -> tuple[Listing, str]:
        """Everything, from the first server that answers, and the URL of that server.

        Raises:
            RegistryAuthError: if every server refuses the credentials.
            RegistryUnavailable: if none answers; also if only some refuse.
            RegistryProtocolError: if what answers is not Eureka.
        """
        return await self.any(self._full)

    async def _full(self, server: Server) -> tuple[Listing, str]:
        since = self._empty_since.pop(server.url, None)
        listing = await self._ask(server, "/apps")
        if self.known and not listing.instances and not listing.faults:
            now = self._context.clock.now()
            since = now if since is None else since
            self._empty_since[server.url] = since
            if now - since < self._config.empty_wait:
                msg = (
                    f"the Eureka server {server.url} lists nothing, though {self.known} instances were "
                    "known: it may have just started; believed if it lasts, see empty_wait"
                )
                raise RegistryUnavailable(msg)
        return listing, server.url

    async def any(self, ask: Callable[[Server], Awaitable[T]]) -> T:
        """What the first server answers, beginning with the one that answered last.

        Raises:
            RegistryError: as of `full`; any other error of a server ends the round.
        """
        servers = await self.servers()
        errors: list[RegistryError] = []
        for offset in range(len(servers)):
            number = (self._current + offset) % len(servers)
            try:
                answer = await ask(servers[number])
            except RegistryError as error:
                errors.append(error)
                continue
            if offset:
                self._context.count("failovers")
                self._context.logger.warning(
                    "following %s now, since %s", servers[number].url, errors[0]
                )
            self._current = number
            return answer
        raise _together(errors)

    async def delta(self, url: str) -> Listing:
        """What has changed at this server, in the minutes that it remembers.

        Raises:
            NoDeltas: if it does not serve them.
            RegistryError: if it fails, or is not among the servers any more; ask for
                everything then.
        """
        for server in await self.servers():
            if server.url == url:
                return await self._ask(server, "/apps/delta", NoDeltas)
        raise RegistryUnavailable(f"{url} is not among the servers any more; see eureka_server")

    async def servers(self) -> tuple[Server, ...]:
        """Those of the settings, with their credentials, as they are now.

        Raises:
            RegistryAuthError: if they cannot be read.
        """
        config = self._config
        try:
            servers = parse_servers(await config.eureka_server.read())
            if config.eureka_basic_auth_password is None:
                return servers
            password = await config.eureka_basic_auth_password.read()
        except (OSError, KeyError, ValueError) as error:
            msg = (
                f"the servers or their password cannot be read: {type(error).__name__}: {error}; "
                "check eureka_server and eureka_basic_auth_password"
            )
            raise RegistryAuthError(msg) from error
        user = config.eureka_basic_auth_user
        return tuple(one if one.user else Server(one.url, user, password) for one in servers)

    async def _ask(
        self, server: Server, path: str, without: type[RegistryError] | None = None
    ) -> Listing:
        regions = ",".join(self._config.regions)
        parameters = {"regions": regions} if regions else {}
        response = await self.send(server, "GET", path, parameters=parameters)
        if not response.is_success:
            error = refusal(response, server.url + path)
            is_absent = response.status in (_FORBIDDEN, _NOT_FOUND)
            raise without(str(error)) if without is not None and is_absent else error
        if len(response.body) < _LARGE:
            return _listing(response, server.url + path)
        # Ten thousand instances take a third of a second, for which the loop must not stand.
        return await self._context.in_thread(_listing, response, server.url + path)

    async def send(
        self,
        server: Server,
        method: str,
        path: str,
        *,
        parameters: dict[str, str] | None = None,
        document: Any = None,
    ) -> Response:
        """One request to one server, whatever it answers.

        Raises:
            RegistryUnavailable: if it does not answer.
        """
        headers = {
            # Without it servers answer with XML, in which names are escaped and a control
            # character in the metadata of one instance breaks the answer for all.
            "Accept": "application/json",
            "User-Agent": self._context.user_agent,
            # By this name a server's rate limiter can be told to let us pass.
            "DiscoveryIdentity-Name": "meshregistry",
        }
        if server.user:
            both = f"{server.user}:{server.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(both).decode()}"
        async with self._mapped_errors(server.url):
            session = self._session = self._session or self._connect()
            async with session.request(
                method,
                server.url + path,
                params=parameters,
                json=document,
                headers=headers,
            ) as answer:
                body = (await answer.read()).decode()
                return Response(answer.status, body, _milliseconds(answer.headers.get("Date", "")))

    def _connect(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=self._config.timeout)
        connector = aiohttp.TCPConnector(ssl=self._tls())
        return aiohttp.ClientSession(connector=connector, timeout=timeout)

    def _tls(self) -> ssl.SSLContext:
        config = self._config
        return tls_context(
            self._context.base_path,
            ca_file=config.ca_file,
            cert_file=config.cert_file,
            key_file=config.key_file,
            verify=config.verify,
        )

    @asynccontextmanager
    async def _mapped_errors(self, url: str) -> AsyncIterator[None]:
        """Make the errors of the client ours; URLs are shown without credentials."""
        try:
            yield
        except ssl.SSLError as error:
            msg = f"TLS with {url} fails: {error}; check ca_file, cert_file and key_file"
            raise RegistryUnavailable(msg) from error
        except FileNotFoundError as error:
            msg = f"a file for TLS with {url} is not there; check ca_file, cert_file and key_file"
            raise RegistryUnavailable(msg) from error
        except TimeoutError as error:
            msg = (
                f"the Eureka server {url} does not answer in time; check eureka_server and timeout"
            )
            raise RegistryUnavailable(msg) from error
        except (aiohttp.ClientError, OSError) as error:
            what = str(error) or type(error).__name__
            msg = f"the Eureka server {url} cannot be reached: {what}; check eureka_server"
            raise RegistryUnavailable(msg) from error
        except UnicodeDecodeError as error:
            msg = f"{url} does not answer with text: {error}; is this the URL of a Eureka server?"
            raise RegistryProtocolError(msg) from error


def _listing(response: Response, url: str) -> Listing:
    """What an answer says.

    Raises:
        RegistryProtocolError: if it is none of Eureka's.
    """
    if response.body.lstrip().startswith("<"):
        document = document_of(response.body)
    else:
        try:
            document = json.loads(response.body)
        except ValueError as error:
            msg = f"{url} does not answer with JSON: {error}; is this the URL of a Eureka server?"
            raise RegistryProtocolError(msg) from error
    return listing_of(document, server_time=response.server_time)


def refusal(response: Response, url: str) -> RegistryError:
    """What an answer without success means."""
    body = response.body.strip()
    shown = f"{response.status} {body[:_SHOWN]}".strip()
    # 403 is Eureka's own word for "not now", and Spring's error page explains nothing; what
    # checks credentials before it mostly answers with 401.
    if response.status == _FORBIDDEN:
        return RegistryUnavailable(
            f"the Eureka server does not serve {url} (403): it has started without a peer to copy "
            "from and waits for registrations (wait-time-in-ms-when-sync-empty), or serves no "
            "deltas, or the user of eureka_server may not read"
        )
    if response.status == _UNAUTHORIZED:
        return RegistryAuthError(
            f"{url} refuses the credentials: {shown}; check the user and password in eureka_server"
        )
    if response.status >= _SERVER_FAULT or response.status in _BUSY:
        return RegistryUnavailable(f"{url} cannot answer: {shown}; it is asked again")
    what = "end it with /eureka or /eureka/v2" if response.status == _NOT_FOUND else "check it"
    return RegistryProtocolError(f"{url} is answered with {shown}; see eureka_server: {what}")


def _milliseconds(date: str) -> int:
    try:
        return round(1000 * email.utils.parsedate_to_datetime(date).timestamp())
    except ValueError:
        return 0


def _together(errors: list[RegistryError]) -> RegistryError:
    """One error for all servers: refused credentials only if every one refuses them."""
    if len(errors) == 1:
        return errors[0]
    reasons = "; ".join(map(str, errors))
    kinds = {type(one) for one in errors}
    kind = kinds.pop() if len(kinds) == 1 else RegistryUnavailable
    return kind(f"none of {len(errors)} Eureka servers answers: {reasons}")
