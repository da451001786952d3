"""Requests to one of several servers, redirects and credentials included, with errors made ours."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp

from meshregistry.errors import (
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.spi import tls_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    from meshregistry.spi import RegistryContext, Secret
    from meshregistry_mesos._config import ConnectionConfig

_T = TypeVar("_T")

_AUTH = (401, 403)
_BUSY = 429
_LARGE = 100_000
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_SERVER_FAULT = 500
_SHOWN = 200


class HttpClient:
    """One client for the life of a source; an async context manager.

    Args:
        config: how to reach the servers.
        context: of the source.
        product: what the servers should be, for messages.
    """

    def __init__(self, config: ConnectionConfig, context: RegistryContext, product: str) -> None:
        self._config = config
        self._context = context
        self._product = product
        self._servers = list(config.servers)
        self._trusted = {_origin(one) for one in self._servers}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.renew()

    async def renew(self) -> None:
        """Close connections; the next request reads certificates again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def any_server(self, call: Callable[[str], Awaitable[_T]]) -> _T:
        """What `call` gives for the first server that serves, beginning with the last that did.

        Raises:
            RegistryAuthError: if one refuses the credentials.
            RegistryError: what the first one said, if none serves.
        """
        first: RegistryError | None = None
        for server in tuple(self._servers):
            try:
                result = await call(server)
            except RegistryAuthError:
                raise
            except RegistryError as error:
                first = first or error
                continue
            self._servers.remove(server)
            self._servers.insert(0, server)
            return result
        assert first is not None, "there is at least one server"  # noqa: S101 - the options say so
        raise first

    async def get(self, url: str, *, may_lack: bool = False) -> Any:
        """The JSON of an answer; None if it may lack and does.

        Raises:
            RegistryError: of the kind that says what is wrong.
        """
        accept = (404,) if may_lack else ()
        headers = {"Accept": "application/json"}
        async with self.opened("GET", url, headers=headers, accept=accept) as response:
            return None if response.status in accept else await self._json(response)

    async def post(self, url: str, document: Any) -> tuple[Any, Mapping[str, str]]:
        """The JSON of the answer to a document, and its headers.

        Raises:
            RegistryUnavailable: also if another server would have to answer.
            RegistryError: of the kind that says what is wrong.
        """
        headers = {"Accept": "application/json"}
        async with self.opened("POST", url, headers=headers, document=document) as response:
            if str(response.url) != url:
                raise RegistryUnavailable(f"{url} leads no longer; the leader is asked again")
            return await self._json(response), response.headers

    @asynccontextmanager
    async def opened(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        document: Any = None,
        accept: Collection[int] = (),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer whose body is still to be read, from wherever redirects lead.

        Leaving the context ends the connection unless the body has been read.

        Raises:
            RegistryAuthError: if the credentials are refused.
            RegistryUnavailable: if nobody answers, or says that it cannot.
            RegistryProtocolError: if the question is not understood.
        """
        response = await self._send(method, url, headers, document)
        try:
            if response.status != 200 and response.status not in accept:  # noqa: PLR2004 - success
                body = await self._body(response)
                raise self._refusal(
                    response.status, body.decode(errors="replace"), str(response.url)
                )
            yield response
        finally:
            response.close()

    async def read(self, response: aiohttp.ClientResponse, within: float) -> bytes:
        """Some bytes of a stream that does not end.

        Raises:
            TimeoutError: if none come within so many seconds; one may go on reading.
            RegistryUnavailable: if it has ended.
        """
        async with asyncio.timeout(within), self._mapped_errors(str(response.url)):
            data = await response.content.readany()
        if not data:
            raise RegistryUnavailable(f"{response.url} has ended the stream; it is opened again")
        return data

    # --- How ------------------------------------------------------------------------

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], document: Any
    ) -> aiohttp.ClientResponse:
        """Send, and follow redirects; credentials that have been exchanged are tried again."""
        credentials = await self._credentials()
        for _ in range(_MOST_REDIRECTS):
            response = await self._sent(method, url, {**headers, **credentials}, document)
            if response.status in _AUTH and (newer := await self._credentials()) != credentials:
                response.close()
                credentials = newer
                response = await self._sent(method, url, {**headers, **credentials}, document)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            url = self._next(url, response.headers.get("Location", ""), bool(credentials))
        msg = f"{self._product} redirects from {url} in circles; there may be no leader at present"
        raise RegistryUnavailable(msg)

    def _next(self, url: str, location: str, has_credentials: bool) -> str:
        """Where a redirect leads; Mesos' is relative to the protocol (``//host:port/path``)."""
        if not location:
            raise RegistryProtocolError(f"{url} redirects to nowhere; is this {self._product}?")
        target = urljoin(url, location)
        if urlsplit(target).scheme not in {"http", "https"}:
            raise RegistryProtocolError(f"{url} redirects to {target!r}, which is no web address")
        if has_credentials and _origin(target) not in self._trusted:
            msg = f"{url} names {_origin(target)} as the leader, which is not among masters: credentials are sent to no other; add it"
            raise RegistryUnavailable(msg)
        return target

    async def _sent(
        self, method: str, url: str, headers: Mapping[str, str], document: Any
    ) -> aiohttp.ClientResponse:
        more = {"User-Agent": self._context.user_agent}
        data = None
        if document is not None:
            more["Content-Type"] = "application/json"
            data = json.dumps(document)
        async with self._mapped_errors(url), asyncio.timeout(self._config.timeout):
            session = self._session = self._session or self._connect()
            return await session.request(
                method, url, headers={**headers, **more}, data=data, allow_redirects=False
            )

    def _connect(self) -> aiohttp.ClientSession:
        # Timeouts are ours, since a stream has no end; what comes is not decoded as a whole.
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls()),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    def _tls(self) -> ssl.SSLContext:
        config = self._config
        return tls_context(
            self._context.base_path,
            ca_file=config.ca_file,
            cert_file=config.cert_file,
            key_file=config.key_file,
            verify=config.verify,
        )

    async def _credentials(self) -> dict[str, str]:
        config = self._config
        if config.token is not None:
            return {"Authorization": f"token={await _secret(config.token, 'token')}"}
        if config.password is not None:
            password = await _secret(config.password, "password")
            pair = base64.b64encode(f"{config.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    async def decoded(self, data: bytes) -> Any:
        """The JSON of some bytes; of many, read in a thread, since it takes its time.

        Raises:
            ValueError: if they are no JSON.
        """
        if len(data) < _LARGE:
            return json.loads(data)
        return await self._context.in_thread(json.loads, data)

    async def _json(self, response: aiohttp.ClientResponse) -> Any:
        body = await self._body(response)
        try:
            return await self.decoded(body)
        except ValueError as error:
            msg = f"{response.url} does not answer like {self._product}: {error}; check the address"
            raise RegistryProtocolError(msg) from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """All of a body; the time for an answer bounds each pause, not the whole."""
        body = bytearray()
        async with self._mapped_errors(str(response.url)):
            while True:
                async with asyncio.timeout(self._config.timeout):
                    data = await response.content.readany()
                if not data:
                    return bytes(body)
                body += data

    @asynccontextmanager
    async def _mapped_errors(self, url: str) -> AsyncIterator[None]:
        """Make the errors of the library ours."""
        place = f"{self._product} at {_origin(url)}"
        try:
            yield
        except ssl.SSLError as error:
            msg = f"TLS with {place} fails: {error}; check ca_file, cert_file and key_file"
            raise RegistryUnavailable(msg) from error
        except FileNotFoundError as error:
            msg = f"a file for TLS with {place} is not there; check ca_file, cert_file and key_file"
            raise RegistryUnavailable(msg) from error
        except TimeoutError as error:
            msg = f"{place} does not answer in time; check address and network"
            raise RegistryUnavailable(msg) from error
        except (aiohttp.ClientError, OSError) as error:
            what = str(error) or type(error).__name__
            msg = f"{place} cannot be reached: {what}; check address and server"
            raise RegistryUnavailable(msg) from error

    def _refusal(self, status: int, body: str, url: str) -> RegistryError:
        """What an answer without success means."""
        shown = f"{status} {' '.join(body.split())[:_SHOWN]}".strip()
        if status in _AUTH:
            msg = f"{self._product} refuses the credentials for {url}: {shown}; check username and password, or token"
            return RegistryAuthError(msg)
        if status >= _SERVER_FAULT or status == _BUSY:
            return RegistryUnavailable(
                f"{self._product} cannot answer {url}: {shown}; it is asked again"
            )
        return RegistryProtocolError(
            f"{url} does not answer like {self._product}: {shown}; check the address"
        )


def _origin(url: str) -> str:
    """Scheme, host and port, so that equal ones are equal texts."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def _secret(secret: Secret, option: str) -> str:
    try:
        return await secret.read()
    except (OSError, KeyError, UnicodeDecodeError) as error:
        msg = f"the {option} cannot be read: {type(error).__name__}: {error}; check {option}_file or {option}_env"
        raise RegistryAuthError(msg) from error
