"""``list``: looks for a value in a list, given by the configuration, a file or a web server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import url2pathname

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.errors import MixerError
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._lists import Contains, EntryType, contains, entries_of, symbol
from meshregistry.mixer.adapters._trouble import Trouble
from meshregistry.mixer.spi import (
    LIST_ENTRY,
    CheckAnswer,
    Code,
    Handler,
    MixerAdapter,
    Status,
    ValueType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes, ListEntry

_TIMEOUT = 3.0
"""Seconds that a provider may take; the first list is waited for."""
_LARGEST = 64 << 20
_OK = 200
_TEXTS = frozenset(
    {
        ValueType.STRING,
        ValueType.IP_ADDRESS,
        ValueType.DNS_NAME,
        ValueType.EMAIL_ADDRESS,
        ValueType.URI,
    }
)


@frozen(kw_only=True)
class ListConfig:
    """Parameters of ``list``.

    Attributes:
        provider_url: where the list is: ``http://``, ``https://`` or ``file:``, whose path may
            be relative to the configuration's folder. An entry stands on each line; a list of
            IP_ADDRESSES is YAML, ``whitelist: [10.0.0.0/8, 192.0.2.1]``, also where `blacklist`
            is set. Empty: `overrides` are the whole list.
        refresh_interval: how often it is fetched; at least a second.
        ttl: how long a list counts that could not be fetched again; at least the refresh
            interval. After that, checks fail until it is there again.
        caching_interval: how long clients may keep an answer, and so how late a change of the
            list can come to them.
        caching_use_count: how often clients may use an answer.
        overrides: further entries, of the same kind as the list's.
        entry_type: what entries are: texts, texts whose case does not matter, IP addresses and
            networks, or regular expressions (RE2, found anywhere in the value).
        blacklist: what is in the list is denied; otherwise, what is not.
    """

    provider_url: str = ""
    refresh_interval: Seconds = Seconds(60.0)
    ttl: Seconds = Seconds(300.0)
    caching_interval: Seconds = Seconds(300.0)
    caching_use_count: int = 10_000
    overrides: list[str] = field(factory=list)
    entry_type: EntryType = "STRINGS"
    blacklist: bool = False


def _faults(config: ListConfig, instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    url = urlsplit(config.provider_url)
    if config.provider_url and not _is_provider(url):
        yield (
            f"provider_url: {config.provider_url!r} is no address of a list; write http://, "
            "https:// with a host, or file: with a path"
        )
    if not (config.provider_url or config.overrides):
        yield "there is no list; write providerUrl, overrides or both"
    if config.refresh_interval < 1:
        yield "refresh_interval: must be at least 1s"
    if config.ttl < config.refresh_interval:
        yield "ttl: must be at least the refresh interval"
    if config.caching_use_count < 0:
        yield "caching_use_count: must not be negative"
    try:
        contains(config.overrides, config.entry_type)
    except ValueError as error:
        yield f"overrides: {error}"
    for name, instance in instances.items():
        kind = instance.types.get("value", ValueType.STRING)
        if kind not in _TEXTS:
            yield f"the value of {name} is {kind.name}, and lists have texts and IP addresses"


def _is_provider(url: SplitResult) -> bool:
    if url.scheme == "file":
        return not url.netloc and bool(url.path)
    return url.scheme in {"http", "https"} and bool(url.hostname)


class ListHandler(Handler):
    """Keeps the list and looks into it."""

    def __init__(self, config: ListConfig, context: HandlerContext) -> None:
        self._config = config
        self._context = context
        self._contains: Contains | None = None
        self._body: bytes | None = None
        self._fetched = 0.0
        self._fault = "it has not been fetched yet"
        self._trouble = Trouble(context)
        self._session: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        url = self._config.provider_url
        if not url:
            self._contains = contains(self._config.overrides, self._config.entry_type)
            return
        if urlsplit(url).scheme != "file":
            aiohttp = imported("aiohttp", "mixer-server")
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT))
        try:
            await self._refresh()
        except BaseException:
            await self.close()
            raise
        self._task = asyncio.create_task(self._refreshing(), name=f"{self._context.name}-refresh")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._session is not None:
            await self._session.close()

    async def check(self, instance: ListEntry) -> CheckAnswer:
        has = self._list()
        value = symbol(instance.value)
        try:
            if value is None:
                raise ValueError("the value is neither a text nor an IP address")  # noqa: TRY301 - one answer for all of them
            is_found = has(value)
        except ValueError as error:
            return self._answer(Code.INVALID_ARGUMENT, str(error))
        if is_found and self._config.blacklist:
            return self._answer(Code.PERMISSION_DENIED, f"{value} is blacklisted")
        if not (is_found or self._config.blacklist):
            return self._answer(Code.PERMISSION_DENIED, f"{value} is not whitelisted")
        return self._answer(Code.OK)

    def _answer(self, code: Code, message: str = "") -> CheckAnswer:
        return CheckAnswer(
            status=Status(code, message),
            valid_duration=self._config.caching_interval,
            valid_use_count=self._config.caching_use_count,
        )

    def _list(self) -> Contains:
        """The list as it is known.

        Raises:
            MixerError: if there is none, or it is too old.
        """
        if self._contains is not None and self._config.provider_url:
            age = self._context.now() - self._fetched
            if age > self._config.ttl:
                self._contains, self._body = None, None
                self._context.count("purged_lists")
        if self._contains is None:
            raise MixerError(f"there is no list of {self._config.provider_url}: {self._fault}")
        return self._contains

    # --- The provider ---------------------------------------------------------------------

    async def _refreshing(self) -> None:
        while True:
            await self._context.sleep(self._config.refresh_interval)
            await self._refresh()

    async def _refresh(self) -> None:
        """Fetch the list; what cannot be fetched or read leaves the former one."""
        try:
            body = await self._fetch()
            if body != self._body:
                self._contains = await self._context.in_thread(self._read, body)
                self._body = body
                self._context.count("changed_lists")
        except (OSError, ValueError, TimeoutError) as error:
            self._fault = str(error) or type(error).__name__
            self._context.count("failed_fetches")
            self._trouble.is_there(
                f"the list of {self._config.provider_url} cannot be had: {self._fault}"
            )
        else:
            self._trouble.is_over(f"the list of {self._config.provider_url} is there again")
            self._fetched = self._context.now()
            self._context.count("fetches")

    async def _fetch(self) -> bytes:
        """The body.

        Raises:
            OSError: if it cannot be had.
            ValueError: if the answer is not 200, or too large.
        """
        url = urlsplit(self._config.provider_url)
        if url.scheme == "file":
            path = self._context.base_path / url2pathname(url.path)
            return await self._context.in_thread(Path.read_bytes, path)
        aiohttp = imported("aiohttp", "mixer-server")
        try:
            async with self._session.get(self._config.provider_url) as response:
                if response.status != _OK:
                    raise ValueError(f"the answer is {response.status}, not 200")
                body = bytearray()
                async for piece in response.content.iter_chunked(1 << 16):
                    body += piece
                    if len(body) > _LARGEST:
                        raise ValueError(f"the list has more than {_LARGEST >> 20} MiB")
                return bytes(body)
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error

    def _read(self, body: bytes) -> Contains:
        entries = entries_of(body.decode(), self._config.entry_type)
        return contains((*entries, *self._config.overrides), self._config.entry_type)


LIST: Final = MixerAdapter(
    name="list",
    config_class=ListConfig,
    templates=(LIST_ENTRY,),
    open=ListHandler,
    check=_faults,
    aliases=("listchecker",),
    summary="looks for a value in a list from the configuration, a file or a web server",
)
