"""``rbac``: allows what roles allow, as ``ServiceRole`` and ``ServiceRoleBinding`` documents say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from attrs import frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._roles import Roles, specs_of
from meshregistry.mixer.spi import (
    AUTHORIZATION,
    CheckAnswer,
    Code,
    Handler,
    MixerAdapter,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.documents import DocumentKey
    from meshregistry.errors import ConfigError
    from meshregistry.mixer.adapters._roles import Spec
    from meshregistry.mixer.config import ConfigFiles
    from meshregistry.mixer.spi import Authorization, HandlerContext, InstanceTypes

_USES = 1_000_000_000
"""How often clients may use an answer, as the original's."""


@frozen(kw_only=True)
class RbacConfig:
    """Parameters of ``rbac``.

    Attributes:
        config_store_url: ``fs:`` and the path of a file or folder with the documents, which may
            be relative to the configuration's folder and may be that folder itself.
        cache_duration: how long clients may keep an answer, and so how late a change of the
            documents can come to them.
        refresh_interval: how often the documents are read again.
    """

    config_store_url: str
    cache_duration: Seconds = Seconds(60.0)
    refresh_interval: Seconds = Seconds(2.0)


def _faults(config: RbacConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    url = urlsplit(config.config_store_url)
    if url.scheme != "fs" or url.netloc or not url.path:
        yield (
            f"config_store_url: {config.config_store_url!r} cannot be read; put the documents "
            "into a folder and write fs:///path"
        )
    if config.refresh_interval <= 0:
        yield "refresh_interval: must be more than 0"


class RbacHandler(Handler):
    """Keeps the documents and asks them."""

    def __init__(self, config: RbacConfig, context: HandlerContext) -> None:
        self._config = config
        self._context = context
        path = url2pathname(urlsplit(config.config_store_url).path)
        config_files = imported("meshregistry.mixer.config", "mixer-server").ConfigFiles
        self._files: ConfigFiles = config_files((Path(context.base_path / path),))
        self._specs: Mapping[DocumentKey, Spec] = {}
        self._told: frozenset[str] = frozenset()
        self._roles = Roles()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the documents.

        Raises:
            OSError: if they are not there.
        """
        await self._read()
        self._task = asyncio.create_task(self._following(), name=f"{self._context.name}-roles")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def check(self, instance: Authorization) -> CheckAnswer:
        is_allowed = self._roles.allow(instance.subject, instance.action)
        denied = Status(Code.PERMISSION_DENIED, "RBAC: permission denied.")
        return CheckAnswer(
            status=Status() if is_allowed else denied,
            valid_duration=self._config.cache_duration,
            valid_use_count=_USES,
        )

    async def _following(self) -> None:
        while True:
            await self._context.sleep(self._config.refresh_interval)
            try:
                await self._read()
            except OSError as error:
                # What was read last stays in force.
                self._context.count("failed_reads")
                self._tell([f"the roles cannot be read: {error}"])

    async def _read(self) -> None:
        listing = await self._context.in_thread(self._files.read)
        if listing is None:
            return
        faults: list[ConfigError] = list(listing.faults)
        self._specs = specs_of(listing.documents, self._specs, faults)
        self._roles = Roles.of(self._specs)
        self._context.count("reads")
        self._tell(map(str, faults))

    def _tell(self, faults: Iterable[str]) -> None:
        """Log what is wrong, each once for as long as it is."""
        said = frozenset(faults)
        for one in sorted(said - self._told):
            self._context.logger.warning("%s", one)
        self._context.count("faults", len(said - self._told))
        self._told = said


RBAC: Final = MixerAdapter(
    name="rbac",
    config_class=RbacConfig,
    templates=(AUTHORIZATION,),
    open=RbacHandler,
    check=_faults,
    summary="allows what ServiceRole and ServiceRoleBinding documents allow",
)
