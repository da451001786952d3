"""Type-checked, never run: a registry kind of a third party, by polling and by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.errors import RegistryUnavailable
from meshregistry.model import ServiceRecord
from meshregistry.spi import (
    PollingRegistry,
    Registry,
    RegistryContext,
    RegistryKind,
    Seconds,
    Secret,
    Sink,
    hookimpl,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen(kw_only=True)
class Config:
    """What a source of this kind may say in the settings."""

    address: str
    interval: Seconds = Seconds(5.0)
    token: Secret | None = None


class Watching:
    """A registry that is told of changes."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def run(self, sink: Sink) -> None:
        """State goes to the sink; an exception says what is wrong."""
        sink.replace([ServiceRecord.parse("reviews.shop", port=9080, endpoints=["10.0.0.1:9080"])])
        sink.part("dc2").confirm()
        await asyncio.Event().wait()
        raise RegistryUnavailable(f"{self._config.address} does not answer: start it")


async def list_all() -> Iterable[ServiceRecord]:
    """Everything, each time."""
    return [ServiceRecord.parse("reviews.shop", port=9080, endpoints=["10.0.0.1:9080"])]


def open_watching(config: Any, context: RegistryContext) -> Registry:
    """The constructor of a kind."""
    return Watching(config)


def open_polling(config: Any, context: RegistryContext) -> Registry:
    """The same, from one function."""
    return PollingRegistry(list_all, config.interval, context)


@hookimpl
def meshregistry_register_registries() -> list[RegistryKind]:
    """Two kinds of one plugin."""
    return [
        RegistryKind(name="watching", config_class=Config, open=open_watching, summary="watches"),
        RegistryKind(name="polling", config_class=Config, open=open_polling, summary="polls"),
    ]
