"""What an adapter implements, and what it is given: registry, sink, context, kind.

The life of an attempt: the core calls `RegistryKind.open`, then `Registry.run` once. The
adapter publishes to the sink until it is cancelled or raises; the core restarts it with
back-off. It need not compare anything: the core drops what is equal.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from attrs import field, frozen
from attrs.validators import instance_of, is_callable, matches_re, optional

from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    import logging
    from random import Random

    from meshregistry.errors import RecordError, RegistryError
    from meshregistry.model import EndpointKey, RecordKey, ServiceKey, ServiceRecord, SourceId

P = ParamSpec("P")
T = TypeVar("T")


class Condition(enum.Enum):
    """How a source, or a part of one, is doing.

    STARTING: no complete listing yet. SYNCED: what is held is current. STALE: it may not
    be. FAILED: credentials are refused or the plugin is at fault; retries are slow. Data
    is kept in all of them.
    """

    STARTING = "STARTING"
    SYNCED = "SYNCED"
    STALE = "STALE"
    FAILED = "FAILED"

    def __str__(self) -> str:
        return self.value


class Sink(Protocol):
    """Where a registry publishes. Every method may be called from any thread.

    A sink belongs to one call of `Registry.run`; once that has ended, every method is a
    counted no-op. The first data call of a run is `replace`; earlier `upsert` and
    `remove` are held and applied on top of it.
    """

    def replace(
        self, records: Iterable[ServiceRecord], *, faulty: Iterable[RecordError] = ()
    ) -> None:
        """Publish a complete listing; what is not in it is gone.

        The iterable is consumed before anything changes; one that raises changes
        nothing. Keys named in `faulty` keep their last good record; a fault without a key
        means that nothing is removed in this round.
        """

    def upsert(self, record: ServiceRecord) -> None:
        """Publish one whole record."""

    def remove(self, key: RecordKey) -> None:
        """Publish that a record is really gone; an unknown key is no error."""

    def confirm(self) -> None:
        """Say that the backend was asked and nothing has changed."""

    def degrade(self, error: RegistryError) -> None:
        """Report a fault and keep the data.

        A `RecordError` belongs to its key and leaves the condition alone; any other makes
        the part STALE until its next `replace` or `confirm`.
        """

    def part(self, name: str) -> Sink:
        """A sink for an independently complete piece: a datacenter, a namespace."""


class Registry(Protocol):
    """One attempt to follow a backend."""

    async def run(self, sink: Sink) -> None:
        """Publish until cancelled. Returning is a fault; raising leads to a restart.

        Raises:
            RegistryError: of the kind that says how to retry.
        """


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""


class RegistryContext(Protocol):
    """What the core gives an adapter; only the core makes one.

    Tests of adapters use `meshregistry.testing.context`. There is no HTTP client: an
    adapter brings its own.
    """

    @property
    def source_id(self) -> SourceId:
        """The id of the source in the settings."""

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger bound to the source."""

    @property
    def clock(self) -> Clock:
        """The clock to use."""

    @property
    def random(self) -> Random:
        """The randomness to use, for jitter."""

    @property
    def mesh_domain(self) -> str:
        """The domain of the mesh, such as ``mesh.local``."""

    @property
    def base_path(self) -> Path:
        """The folder of the settings file."""

    @property
    def user_agent(self) -> str:
        """What to send as ``User-Agent``."""

    @property
    def client(self) -> Any:
        """What `RegistryKind.connect` gave for the life of the source; None without it."""

    def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run a blocking call in a daemon thread that the source owns."""

    def parts(self, names: Iterable[str]) -> None:
        """Declare the parts that must sync, in order of precedence."""

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the source, shown with its metrics."""


OpenRegistry = Callable[[Any, RegistryContext], Registry]
Connect = Callable[[Any, RegistryContext], AbstractAsyncContextManager[Any]]


class Lease(Protocol):
    """A registration that ends unless it is renewed."""

    async def renew(self) -> None:
        """Prolong it by its time to live; if it is no longer there, it is written again.

        Raises:
            RegistryError: if the backend does not answer.
        """

    async def deregister(self) -> None:
        """End it now."""


class Registrar(Protocol):
    """Writes records into a backend, where every process that follows it sees them.

    What is registered is known by its service and the identities of its endpoints, so that
    another process can go on with it: whoever registers the same again takes it over.
    """

    async def register(self, record: ServiceRecord, ttl: float) -> Lease:
        """Register for `ttl` seconds; what stands there already is replaced.

        Raises:
            ValueError: if the backend cannot hold what the record says.
            RegistryError: if the backend does not take it.
        """

    async def deregister(self, service: ServiceKey, endpoints: Iterable[EndpointKey]) -> None:
        """End a registration, whoever made it; one that is not there is no error.

        Raises:
            ValueError: if the backend could not hold such a one.
            RegistryError: if the backend does not answer.
        """


@frozen(kw_only=True)
class RegistryKind:
    """A named type of registry: what a plugin registers.

    Attributes:
        name: what users write as ``kind:``; lower case.
        config_class: a frozen attrs class; users' options are structured into it strictly.
        open: ``open(config, context) -> Registry``; no I/O.
        summary: one line for ``meshregistry plugins``.
        connect: ``connect(config, context)`` gives one client for several uses, as an
            async context manager that is opened once per source.
        registrar: makes a `Registrar`, if the backend can be written to; no I/O. It raises
            ConfigError if the source's options rule that out, which is asked without a client.
        check: ``check(config, base_path)`` gives every fault of what the configuration
            points to on this machine, without any backend; for ``meshregistry check``.
        is_guarded: whether the sudden loss of many endpoints is withheld unless the settings
            say otherwise; false where what it says is always meant.
    """

    name: str = field(validator=matches_re(r"[a-z][a-z0-9-]*"))
    config_class: type[Any] = field(validator=instance_of(type))
    open: OpenRegistry = field(validator=is_callable())
    summary: str = ""
    connect: Connect | None = field(default=None, validator=optional(is_callable()))
    registrar: Callable[[Any, RegistryContext], Registrar] | None = field(
        default=None, validator=optional(is_callable())
    )
    check: Callable[[Any, Path], Iterable[ConfigError]] | None = field(
        default=None, validator=optional(is_callable())
    )
    is_guarded: bool = True


CORE_KEYS: Sequence[str] = (
    "id",
    "kind",
    "required",
    "namespace",
    "stale_after",
    "sync_timeout",
    "shadow",
    "weight",
    "priority",
    "network",
    "cluster",
    "identity",
    "merge",
    "guard",
    "enabled",
    "labels",
    "source_options",
)
"""Keys of a source that belong to the core; a config class must not have such a field."""
