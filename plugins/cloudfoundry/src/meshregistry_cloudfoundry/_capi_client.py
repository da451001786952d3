"""Requests to the Cloud Controller, with tokens of UAA, pages and rate limits; on aiohttp."""

from __future__ import annotations

import asyncio
import base64
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import aiohttp

from meshregistry.errors import (
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.spi import tls_context
from meshregistry_cloudfoundry._capi_http import (
    Listing,
    Page,
    is_moving,
    pause_of,
    refusal,
)
from meshregistry_cloudfoundry._uaa import Token, grant, token_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from meshregistry.spi import RegistryContext, Secret
    from meshregistry_cloudfoundry._config import CapiConfig

_TRIES = 3
_OK = 200
_UNAUTHORIZED = 401
_TOO_MANY = 429


class CapiClient:
    """One client for the life of a source; an async context manager.

    Args:
        config: how to reach the platform.
        context: of the source.
    """

    def __init__(self, config: CapiConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._base = config.api if "://" in config.api else f"https://{config.api}"
        self._base = self._base.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._uaa = ""
        self._token = Token()
        self._renewing = asyncio.Lock()
        self._resume_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.renew()

    async def renew(self) -> None:
        """Close connections; the next request reads certificates and finds UAA again."""
        session, self._session = self._session, None
        self._uaa = ""
        if session is not None:
            await session.close()

    async def listing(self, path: str, **query: str) -> Listing:
        """Everything of a kind, page by page, with what was asked to be included.

        Pages of a set that changes meanwhile can lack something: they are read again then.

        Raises:
            RegistryError: of the kind that says how to retry.
        """
        for _ in range(_TRIES):
            listing = Listing()
            url = f"{self._base}{path}"
            parameters: Mapping[str, str] | None = {
                **query,
                "per_page": str(self._config.per_page),
                "order_by": "created_at",
            }
            while url:
                page = Page.of(await self._get(url, parameters), path)
                listing.add(page)
                # The address of the next page holds the query; it is followed on this host only.
                url, parameters = self._next(page.following), None
            if not is_moving(listing):
                return listing
        msg = f"{path} of {self._base} changes while it is read; it is asked again"
        raise RegistryUnavailable(msg)

    async def get(self, path: str) -> Any:
        """The JSON of one thing.

        Raises:
            RegistryError: of the kind that says how to retry.
        """
        return await self._get(f"{self._base}{path}")

    # --- Requests -------------------------------------------------------------------

    def _next(self, address: str) -> str:
        """The token goes to the API and to nobody else, whatever an answer says."""
        if not address:
            return ""
        parts, own = urlsplit(address), urlsplit(self._base)
        if (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
            msg = f"the next page is on {parts.scheme}://{parts.hostname} and not on {self._base}; write the address by which the platform calls itself as api"
            raise RegistryProtocolError(msg)
        return address

    async def _get(self, url: str, parameters: Mapping[str, str] | None = None) -> Any:
        is_renewed = False
        for _ in range(_TRIES):
            await self._rest()
            token = await self._valid_token()
            headers = {"Authorization": f"bearer {token.access}"}
            status, said, body = await self._send("GET", url, headers, parameters)
            self._heed(said)
            if status == _OK:
                return body
            if status == _UNAUTHORIZED and not is_renewed:
                # Revoked before its time, for one when the keys of UAA were exchanged.
                is_renewed = True
                self._forget(token)
            elif status == _TOO_MANY:
                self._resume_at = max(self._resume_at, self._context.clock.now() + pause_of(said))
            else:
                raise refusal(status, body, url)
        msg = f"{self._base} limits the rate of requests; it is asked again later"
        raise RegistryUnavailable(msg)

    async def _rest(self) -> None:
        """Wait until the rate limit allows a request."""
        clock = self._context.clock
        pause = self._resume_at - clock.now()
        if pause <= 0:
            return
        if pause > self._config.longest_pause:
            msg = f"the rate limit of {self._base} allows nothing for {pause:.0f} s; make interval longer, or ask for a higher limit"
            raise RegistryUnavailable(msg)
        self._context.count("rate_limited")
        await clock.sleep(pause)

    def _heed(self, said: Mapping[str, str]) -> None:
        if said.get("X-RateLimit-Remaining") == "0":
            self._resume_at = max(self._resume_at, self._context.clock.now() + pause_of(said))

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        parameters: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], Any]:
        async with self._mapped_errors(url):
            session = self._session = self._session or self._connect()
            async with session.request(
                method,
                url,
                params=parameters,
                data=form,
                headers={"Accept": "application/json", **headers},
                allow_redirects=False,
            ) as response:
                is_json = "json" in response.content_type
                body = await response.json() if is_json else await response.text()
                return response.status, response.headers, body

    def _connect(self) -> aiohttp.ClientSession:
        config = self._config
        tls = tls_context(self._context.base_path, ca_file=config.ca_file, verify=config.verify)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=config.concurrency),
            timeout=aiohttp.ClientTimeout(total=config.timeout),
            headers={"User-Agent": self._context.user_agent},
        )

    @asynccontextmanager
    async def _mapped_errors(self, url: str) -> AsyncIterator[None]:
        """Make the errors of the client ours."""
        parts = urlsplit(url)
        where = f"{parts.scheme}://{parts.netloc}{parts.path}"
        try:
            yield
        except RegistryError:
            raise
        except (ssl.SSLError, aiohttp.ClientSSLError) as error:
            msg = f"TLS with {where} fails: {error}; check ca_file"
            raise RegistryUnavailable(msg) from error
        except FileNotFoundError as error:
            msg = f"a file for TLS with {where} is not there; check ca_file"
            raise RegistryUnavailable(msg) from error
        except TimeoutError as error:
            msg = f"{where} does not answer in time; check api and network, or make timeout longer"
            raise RegistryUnavailable(msg) from error
        except (aiohttp.ClientError, OSError) as error:
            what = str(error) or type(error).__name__
            msg = f"{where} cannot be reached: {what}; check api and network"
            raise RegistryUnavailable(msg) from error
        except ValueError as error:
            msg = f"{where} does not answer like a Cloud Controller: {error}; check api"
            raise RegistryProtocolError(msg) from error

    # --- Tokens ---------------------------------------------------------------------

    async def _valid_token(self) -> Token:
        async with self._renewing:
            if not self._token.is_valid(self._context.clock.now()):
                self._token = await self._new_token(self._token)
            return self._token

    def _forget(self, token: Token) -> None:
        """Ask for another one, unless that has been done since."""
        if self._token.access == token.access:
            self._token = Token(refresh=token.refresh)

    async def _new_token(self, old: Token) -> Token:
        """By the refresh token that came with the last one, else by the credentials."""
        if old.refresh:
            try:
                return await self._asked({"grant_type": "refresh_token"}, refresh=old.refresh)
            except RegistryAuthError:
                self._context.count("refused_refresh_tokens")
        self._token = Token()
        config = self._config
        return await self._asked(
            grant(config.user, has_refresh_token=config.refresh_token is not None),
            password=await self._secret(config.password, "password"),
            refresh=await self._secret(config.refresh_token, "refresh_token"),
        )

    async def _asked(self, form: Mapping[str, str], *, password: str = "", refresh: str) -> Token:
        if not self._uaa:
            self._uaa = await self._find_uaa()
        secret = await self._secret(self._config.client_secret, "client_secret")
        more = {"password": password} if form["grant_type"] == "password" else {}
        more |= {"refresh_token": refresh} if form["grant_type"] == "refresh_token" else {}
        headers = {"Authorization": _basic(self._config.client_id, secret)}
        status, _, body = await self._send(
            "POST", f"{self._uaa}/oauth/token", headers, form={**form, **more}
        )
        return token_of(status, body, self._uaa, self._context.clock.now())

    async def _find_uaa(self) -> str:
        """Where the platform says that tokens are given."""
        status, _, body = await self._send("GET", f"{self._base}/", {})
        if status != _OK:
            raise refusal(status, body, self._base)
        links = body.get("links") if isinstance(body, dict) else None
        found = (links or {}).get("uaa") or (links or {}).get("login") or {}
        address = found.get("href") if isinstance(found, dict) else None
        if not isinstance(address, str):
            msg = f"{self._base} does not say where UAA is; write the address of the Cloud Foundry API as api"
            raise RegistryProtocolError(msg)
        if self._base.startswith("https:") and not address.startswith("https:"):
            msg = f"{self._base} names a UAA without TLS, to which no credentials are sent; look at links.uaa of {self._base}/"
            raise RegistryProtocolError(msg)
        return address.rstrip("/")

    async def _secret(self, secret: Secret | None, option: str) -> str:
        if secret is None:
            return ""
        try:
            return await secret.read()
        except (OSError, KeyError, UnicodeDecodeError) as error:
            msg = f"{option} cannot be read: {type(error).__name__}: {error}; check {option}_file or {option}_env"
            raise RegistryAuthError(msg) from error


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
