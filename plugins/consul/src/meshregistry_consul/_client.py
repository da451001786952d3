"""Requests to a Consul agent, on py-consul's asyncio client, with its errors made ours."""

from __future__ import annotations

import hashlib
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import aiohttp
import consul  # type: ignore[import-untyped]  # it has no types
import consul.aio  # type: ignore[import-untyped]  # likewise
from attrs import field, frozen

from meshregistry.errors import (
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.spi import tls_context
from meshregistry_consul._config import parse_address
from meshregistry_consul._index import Cursor, longest_answer, spread_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from consul.base import Response  # type: ignore[import-untyped]  # likewise

    from meshregistry.spi import RegistryContext
    from meshregistry_consul._config import ConsulConfig

_AUTH = (401, 403)
_BUSY = (429, 503)
_NOT_FOUND = 404
_RETRIES = 2
_SERVER_FAULT = 500
_SPARE_CONNECTIONS = 8
_SHOWN = 200
_UNKNOWN = ("Unknown check", "Unknown service", "does not have associated TTL")


@frozen
class Answer:
    """What the agent said.

    Attributes:
        body: the JSON.
        index: ``X-Consul-Index``; 0 if there was none.
        content_hash: ``X-Consul-ContentHash``; empty if there was none.
        digest: of the body, to tell whether anything has changed.
        is_filtered: whether results were left out that the token may not see.
        hides_by_default: whether the agent hides what no token allows.
    """

    body: Any
    index: int = 0
    content_hash: str = ""
    digest: bytes = field(default=b"", repr=False)
    is_filtered: bool = False
    hides_by_default: bool = False


class _Transport(consul.aio.HTTPClient):  # type: ignore[misc]  # py-consul is not typed
    """py-consul's transport, with a TLS context and a connection limit of our own.

    Its own constructor hands aiohttp options that aiohttp has deprecated.
    """

    def __init__(
        self, scheme: str, host: str, port: int, *, tls: ssl.SSLContext | bool, limit: int
    ) -> None:
        shown = f"[{host}]" if ":" in host else host
        consul.base.HTTPClient.__init__(self, shown, port, scheme)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=limit))

    async def send(
        self,
        method: str,
        path: str,
        parameters: list[tuple[str, str]],
        *,
        headers: dict[str, str],
        timeout: float,
        body: bytes,
    ) -> Response:
        """One request of any method."""
        return await self._request(
            lambda response: response,
            method,
            self.uri(path, parameters),
            headers=headers,
            data=body or None,
            connections_timeout=timeout,
        )


class ConsulClient:
    """One client for the life of a source; an async context manager.

    Args:
        config: how to reach the agent.
        context: of the source.

    Attributes:
        known: names that were published, by datacenter: what a filtered listing lacks is
            not gone for that reason, also after a new attempt.
    """

    def __init__(self, config: ConsulConfig, context: RegistryContext) -> None:
        self.known: dict[str, set[str]] = {}
        self._config = config
        self._context = context
        self._transport: _Transport | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.renew()

    async def renew(self) -> None:
        """Close connections; the next request reads certificates again."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def get(
        self,
        path: str,
        *,
        dc: str = "",
        filter_: str = "",
        cursor: Cursor = Cursor(),  # noqa: B008 - frozen, so it may be shared
        wait: float = 0.0,
        is_recursive: bool = False,
    ) -> Answer:
        """Ask, and wait for news if the cursor says so.

        Of the key-value store, all keys of a prefix can be asked for; there may be none.

        Raises:
            RegistryAuthError: if the token is refused.
            RegistryUnavailable: if nobody answers, or not from a state to be relied upon.
            RegistryProtocolError: if the question or the answer is not understood.
        """
        # A server that has just started is still reading its log: what it lists then lacks keys
        # that nobody deleted. One that answers consistently has read all of it.
        is_first = is_recursive and not cursor.is_blocking
        parameters = self._parameters(dc, filter_, must_be_consistent=is_first)
        if is_recursive:
            parameters.append(("recurse", ""))
        timeout: float = self._config.timeout
        if cursor.is_blocking:
            wait = spread_wait(wait, self._context.random)
            parameters += cursor.parameters(wait)
            timeout = longest_answer(wait, timeout)
        response, token = await self._sent("GET", path, parameters, timeout)
        return self._answer(response, path, has_token=bool(token), may_lack=is_recursive)

    async def change(
        self, method: Literal["PUT", "DELETE"], path: str, *, dc: str = "", body: bytes = b""
    ) -> Any:
        """Write or delete a key, and give the JSON of the answer.

        Raises:
            RegistryAuthError: if the token is refused.
            RegistryUnavailable: if nobody answers.
            RegistryProtocolError: if the request is not understood.
        """
        parameters = self._parameters(dc, "", is_read=False)
        response, token = await self._sent(
            method, path, parameters, self._config.timeout, body=body
        )
        return self._answer(response, path, has_token=bool(token), may_lack=False).body

    async def put(self, path: str, document: Any = None, *, options: tuple[str, ...] = ()) -> bool:
        """Tell the agent something; whether it knows what was spoken of.

        Args:
            path: of the agent's own API, since what is told here ends with the agent.
            document: what is sent, as JSON.
            options: parameters that are turned on.

        Raises:
            RegistryAuthError: if the token is refused.
            RegistryUnavailable: if nobody answers.
            RegistryProtocolError: if the agent does not take it.
        """
        parameters = [(name, "true") for name in options]
        parameters += [
            (name, value)
            for name, value in (("ns", self._config.ns), ("partition", self._config.partition))
            if value
        ]
        body = b"" if document is None else json.dumps(document).encode()
        response, _ = await self._sent("PUT", path, parameters, self._config.timeout, body=body)
        # Before 1.10, what an agent does not know was a fault of the server (500).
        if response.code == _NOT_FOUND or any(one in response.body for one in _UNKNOWN):
            return False
        if response.code != 200:  # noqa: PLR2004 - the one status of success here
            raise _refusal(response.code, response.body.strip(), self._config.address, path)
        return True

    async def _sent(
        self,
        method: str,
        path: str,
        parameters: list[tuple[str, str]],
        timeout: float,
        *,
        body: bytes = b"",
    ) -> tuple[Response, str]:
        """The answer, after another try where one helps; and the token that was used."""
        token = await self._token()
        response = await self._send(
            method, path, parameters, token=token, timeout=timeout, body=body
        )
        for _ in range(_RETRIES):
            if response.code in _AUTH and (newer := await self._token()) != token:
                # The file has a new token since: try that before giving up.
                token = newer
            elif response.code in _BUSY:
                await self._context.clock.sleep(self._context.random.uniform(0.5, 1.5))
            else:
                break
            response = await self._send(
                method, path, parameters, token=token, timeout=timeout, body=body
            )
        return response, token

    async def _send(
        self,
        method: str,
        path: str,
        parameters: list[tuple[str, str]],
        *,
        token: str,
        timeout: float,
        body: bytes,
    ) -> Response:
        headers = {"User-Agent": self._context.user_agent}
        if token:
            headers["X-Consul-Token"] = token
        async with self._mapped_errors():
            transport = self._transport = self._transport or self._connect()
            return await transport.send(
                method, path, parameters, headers=headers, timeout=timeout, body=body
            )

    def _connect(self) -> _Transport:
        config = self._config
        scheme, host, port = parse_address(config.address)
        # Each query that waits holds a connection; agents allow 200 of one address.
        parts = max(1, len(config.datacenters))
        limit = parts * (config.max_watches + config.concurrency + _SPARE_CONNECTIONS)
        tls = self._tls() if scheme == "https" else False
        return _Transport(scheme, host, port, tls=tls, limit=limit)

    def _tls(self) -> ssl.SSLContext:
        config = self._config
        return tls_context(
            self._context.base_path,
            ca_file=config.ca_file,
            cert_file=config.cert_file,
            key_file=config.key_file,
            verify=config.verify,
        )

    def _parameters(
        self, dc: str, filter_: str, *, is_read: bool = True, must_be_consistent: bool = False
    ) -> list[tuple[str, str]]:
        config = self._config
        parameters = [
            (name, value)
            for name, value in (
                ("dc", dc),
                ("ns", config.ns),
                ("partition", config.partition),
                ("filter", filter_),
            )
            if value
        ]
        consistency = "consistent" if must_be_consistent else config.consistency
        if is_read and consistency != "default":
            parameters.append((consistency, ""))
        return parameters

    async def _token(self) -> str:
        if self._config.token is None:
            return ""
        try:
            return await self._config.token.read()
        except (OSError, KeyError, UnicodeDecodeError) as error:
            msg = f"the token cannot be read: {type(error).__name__}: {error}; check token_file or token_env"
            raise RegistryAuthError(msg) from error

    @asynccontextmanager
    async def _mapped_errors(self) -> AsyncIterator[None]:
        """Make the errors of the client ours."""
        address = self._config.address
        try:
            yield
        except RegistryError:
            raise
        except ssl.SSLError as error:
            msg = f"TLS with {address} fails: {error}; check ca_file, cert_file and key_file"
            raise RegistryUnavailable(msg) from error
        except FileNotFoundError as error:
            msg = (
                f"a file for TLS with {address} is not there; check ca_file, cert_file and key_file"
            )
            raise RegistryUnavailable(msg) from error
        except (TimeoutError, consul.Timeout) as error:
            msg = (
                f"the Consul agent at {address} does not answer in time; check address and network"
            )
            raise RegistryUnavailable(msg) from error
        except (aiohttp.ClientError, OSError) as error:
            what = str(error) or type(error).__name__
            msg = (
                f"the Consul agent at {address} cannot be reached: {what}; check address and agent"
            )
            raise RegistryUnavailable(msg) from error
        except (UnicodeDecodeError, consul.ConsulException) as error:
            msg = f"{address} does not answer like Consul: {error}; check the address"
            raise RegistryProtocolError(msg) from error

    def _answer(self, response: Response, path: str, *, has_token: bool, may_lack: bool) -> Answer:
        headers, address = response.headers, self._config.address
        is_lacking = may_lack and response.code == _NOT_FOUND
        if response.code != 200 and not is_lacking:  # noqa: PLR2004 - the one status of success here
            raise _refusal(response.code, response.body.strip(), address, path)
        try:
            body = [] if is_lacking else json.loads(response.body)
            index = int(headers.get("X-Consul-Index") or 0)
            last_contact = int(headers.get("X-Consul-LastContact") or 0) / 1000
        except ValueError as error:
            msg = f"{address} does not answer {path} like Consul: {error}; check the address"
            raise RegistryProtocolError(msg) from error
        # The streaming backend says that it knows no leader although there is one.
        is_streaming = headers.get("X-Consul-Query-Backend") == "streaming"
        if headers.get("X-Consul-KnownLeader") == "false" and not is_streaming:
            msg = f"Consul at {address} has no leader, so its answer may lack anything; wait for the servers"
            raise RegistryUnavailable(msg)
        if last_contact > self._config.max_staleness:
            msg = f"the Consul server behind {address} is {last_contact:g} s behind its leader; see max_staleness"
            raise RegistryUnavailable(msg)
        return Answer(
            body,
            index,
            headers.get("X-Consul-ContentHash", ""),
            hashlib.blake2b(response.body.encode(), digest_size=16).digest(),
            headers.get("X-Consul-Results-Filtered-By-ACLs") == "true",
            headers.get("X-Consul-Default-ACL-Policy") == "deny" and not has_token,
        )


def _refusal(code: int, body: str, address: str, path: str) -> RegistryError:
    """What an answer without success means."""
    shown = f"{code} {body[:_SHOWN]}"
    if code in _AUTH or "ACL not found" in body or "Permission denied" in body:
        return RegistryAuthError(
            f"Consul at {address} refuses the token for {path}: {shown}; see the permissions in the README"
        )
    # A filter that Consul cannot read is answered by 400 or 500, by version and backend.
    is_ours = "Selector" in body or "boolean expression" in body
    if (code < _SERVER_FAULT and code not in _BUSY) or is_ours:
        return RegistryProtocolError(
            f"Consul at {address} refuses {path}: {shown}; check filter, catalog_filter, ns and partition"
        )
    return RegistryUnavailable(
        f"Consul at {address} cannot answer {path}: {shown}; it is asked again"
    )
