"""Requests to an API server through the official client; its exceptions become ours here.

Objects are read as plain JSON: models of the client would cost ten times the memory and
time, and its own watch reconnects without a pause.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import frozen

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry_kubernetes._status import UNAUTHORIZED, Refused, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from meshregistry.spi import RegistryContext
    from meshregistry_kubernetes._collection import Collection
    from meshregistry_kubernetes._config import KubernetesConfig

_OK, _CREATED, _ACCEPTED = 200, 201, 202
_LONGEST_LINE = 64 * 2**20
_CHUNK = 2**16
_METADATA = "as={kind};g=meta.k8s.io;v=v1"


@frozen
class _Sent:
    """What is asked of the server beside the place."""

    verb: str = "GET"
    name: str = ""
    body: Mapping[str, Any] | None = None

    @property
    def expected(self) -> tuple[int, ...]:
        """The statuses of success."""
        return (_OK,) if self.verb == "GET" else (_OK, _CREATED, _ACCEPTED)


_READ = _Sent()


class ClusterClient:
    """A client of one cluster; an async context manager. A `Transport` of the list-watch.

    Args:
        config: says where the cluster is.
        context: of the source.
        connections: how many requests may be open at a time.
    """

    def __init__(
        self, config: KubernetesConfig, context: RegistryContext, *, connections: int
    ) -> None:
        self._config = config
        self._context = context
        self._connections = connections
        self._api: Any = None
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._api = await self._open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._api.close()

    async def list(self, collection: Collection, query: Mapping[str, str]) -> Any:
        """The document of a listing.

        Raises:
            Refused: with what the server says.
            RegistryError: if there is no answer, or no JSON.
        """
        seconds = self._config.request_timeout
        async with self._get(collection, query, "List", seconds) as response:
            with _ours(self._server):
                body = await response.read()
            return _parse(body, f"list {collection}")

    async def change(
        self,
        verb: Literal["GET", "POST", "PUT", "DELETE"],
        collection: Collection,
        name: str = "",
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read, make, replace or delete one object, and give what the server says of it.

        Raises:
            Refused: with what the server says.
            RegistryError: if there is no answer, or no JSON.
        """
        seconds = self._config.request_timeout
        sent = _Sent(verb, name, body)
        async with self._get(collection, {}, "", seconds, sent=sent) as response:
            with _ours(self._server):
                answer = await response.read()
            return _parse(answer, f"{verb.lower()} {collection}")

    @asynccontextmanager
    async def watch(
        self, collection: Collection, query: Mapping[str, str], seconds: float
    ) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """The events of a watch; entered once the server has agreed.

        Silence beyond the time that the watch was asked to last means that the connection
        is dead.

        Raises:
            Refused: with what the server says.
            RegistryError: if there is no answer, the connection breaks, or it is no JSON.
        """
        patience = seconds + self._config.request_timeout
        async with self._get(collection, query, "", patience) as response:
            yield self._events(response, collection)

    # --- How ------------------------------------------------------------------------

    @property
    def _server(self) -> str:
        return str(self._api.configuration.host) if self._api is not None else "the cluster"

    @asynccontextmanager
    async def _get(
        self,
        collection: Collection,
        query: Mapping[str, str],
        suffix: str,
        patience: float,
        *,
        sent: _Sent = _READ,
    ) -> AsyncIterator[Any]:
        api = self._api
        response = await self._send(api, collection, query, suffix, patience, sent=sent)
        if response.status == UNAUTHORIZED:
            # Tokens rotate; read them anew before the credentials count as refused.
            response.release()
            await self._renew(api)
            response = await self._send(self._api, collection, query, suffix, patience, sent=sent)
        try:
            if response.status not in sent.expected:
                with _ours(self._server):
                    body = await response.read()
                wait = response.headers.get("Retry-After", "")
                raise Refused(Status.parse(_status(body), code=response.status, retry_after=wait))
            yield response
        finally:
            # A watch has no end to read to: the connection is closed with it.
            response.close()

    async def _send(
        self,
        api: Any,
        collection: Collection,
        query: Mapping[str, str],
        suffix: str,
        patience: float,
        *,
        sent: _Sent,
    ) -> Any:
        from aiohttp import ClientTimeout  # noqa: PLC0415 - heavy: only when a source is followed

        accept = "application/json"
        if collection.is_metadata:
            partial = _METADATA.format(kind=f"PartialObjectMetadata{suffix}")
            accept = f"application/json;{partial},application/json"
        given = {"Accept": accept}
        if sent.body is not None:
            given["Content-Type"] = "application/json"
        method, url, headers, body, _ = await api.param_serialize(
            sent.verb,
            "/".join(filter(None, (collection.path, sent.name))),
            query_params=list(query.items()),
            header_params=given,
            body=sent.body,
            auth_settings=["BearerToken"],
        )
        wait = self._config.request_timeout
        timeout = ClientTimeout(total=None, connect=wait, sock_connect=wait, sock_read=patience)
        with _ours(self._server):
            # The headers of a watch come at once, only its events may take their time.
            async with asyncio.timeout(wait):
                answer = await api.call_api(method, url, headers, body, _request_timeout=timeout)
        return answer.response

    async def _events(
        self, response: Any, collection: Collection
    ) -> AsyncIterator[tuple[str, Any]]:
        rest = bytearray()
        with _ours(self._server):
            async for chunk in response.content.iter_chunked(_CHUNK):
                searched = len(rest)
                rest += chunk
                if rest.find(b"\n", searched) < 0:
                    if len(rest) > _LONGEST_LINE:
                        msg = f"an event of {collection} is larger than {_LONGEST_LINE} bytes; look for the object in the cluster"
                        raise RegistryProtocolError(msg)
                    continue
                *lines, last = bytes(rest).split(b"\n")
                rest = bytearray(last)
                for line in lines:
                    if line.strip():
                        yield _event(line, collection)
        if rest.strip():
            msg = f"{self._server} ended the watch of {collection} in the middle of an event; it is asked again"
            raise RegistryUnavailable(msg)

    async def _renew(self, refused: Any) -> None:
        async with self._renewing:
            if self._api is refused:
                self._api = await self._open()
                await refused.close()

    async def _open(self) -> Any:
        # Heavy (a second, 50 MB): only when a source is followed.
        from kubernetes.aio.client.api_client import ApiClient  # noqa: PLC0415 - see above
        from kubernetes.aio.client.configuration import Configuration  # noqa: PLC0415 - see above

        settings = Configuration()
        with _ours("the cluster"):
            await self._load(settings)
        settings.connection_pool_maxsize = self._connections
        # What the session would find in the environment it looks for in threads, for each
        # request anew, and reads a netrc file besides.
        settings.client_session_kwargs = {"trust_env": False}
        settings.proxy = settings.proxy or _proxy(settings.host)
        with _ours(settings.host):
            api = ApiClient(settings)
        api.user_agent = self._context.user_agent
        return api

    async def _load(self, settings: Any) -> None:
        """Where the cluster is: the named file, the pod's service account, or the usual file."""
        from kubernetes.aio import config as module  # noqa: PLC0415 - heavy

        config: Any = module  # it has no annotations
        ours = self._config
        if (
            ours.kubeconfig is None
            and ours.context is None
            and "KUBERNETES_SERVICE_HOST" in os.environ
        ):
            config.load_incluster_config(client_configuration=settings)
            return
        path = ours.kubeconfig
        await config.load_kube_config(
            config_file=None if path is None else str(self._context.base_path / path.expanduser()),
            context=ours.context,
            client_configuration=settings,
            persist_config=False,
        )


def _proxy(server: str) -> str | None:
    """The proxy that the environment names for a server, as other programs find it."""
    parts = urlsplit(server)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


@contextmanager
def _ours(server: str) -> Iterator[None]:
    """The one place where foreign exceptions become ours.

    Raises:
        RegistryError: of the kind that says how to retry.
    """
    import ssl  # noqa: PLC0415 - beside the heavy ones

    import aiohttp  # noqa: PLC0415 - heavy
    from kubernetes.aio.client.exceptions import OpenApiException  # noqa: PLC0415 - heavy
    from kubernetes.aio.config import ConfigException  # noqa: PLC0415 - heavy

    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError) as error:
        msg = f"the certificate of {server} is not accepted: {error}; correct certificate-authority in the kubeconfig"
        raise RegistryAuthError(msg) from error
    except ConfigException as error:
        msg = f"the kubeconfig does not say how to reach the cluster: {error}; correct kubeconfig and context of the source"
        raise RegistryUnavailable(msg) from error
    except TimeoutError as error:
        msg = f"{server} does not answer in time; see whether it is up and reachable"
        raise RegistryUnavailable(msg) from error
    except (aiohttp.ClientError, OpenApiException, OSError) as error:
        said = str(error) or type(error).__name__
        msg = f"{server} cannot be reached: {said}; see whether it is up and reachable"
        raise RegistryUnavailable(msg) from error


def _parse(body: bytes, what: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        msg = f"the answer to {what} is no JSON: {error}; see whether the address is that of an API server"
        raise RegistryProtocolError(msg) from error


def _status(body: bytes) -> Any:
    """The Status in a refusal; whoever stands in between may refuse in other words."""
    try:
        return json.loads(body)
    except ValueError:
        return {"message": body[:200].decode(errors="replace").strip()}


def _event(line: bytes, collection: Collection) -> tuple[str, Any]:
    event = _parse(line, f"watch {collection}")
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        msg = f"an event of {collection} has no object; see whether the address is that of an API server"
        raise RegistryProtocolError(msg)
    return str(event.get("type")), event["object"]
