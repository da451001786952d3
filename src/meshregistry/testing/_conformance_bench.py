"""What each rule of the kit works with: capabilities, the backend, the runner."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from meshregistry.model import ServiceRecord
from meshregistry.testing._conformance_source import FollowedSource, noted_task
from meshregistry.testing._loops import every_error_handled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from meshregistry.model import RecordKey
    from meshregistry.spi import RegistryKind

CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "garble": ("garble",),
    "outage": ("break_", "heal"),
    "writes_in_outage": (),
    "truncate": ("truncate", "heal"),
    "silence": ("silence",),
    "slow": ("slow", "heal"),
    "credentials": ("refuse_credentials", "heal"),
    "wipe": ("wipe",),
    "attempts": ("attempts",),
    "atomic": (),
}
"""What a backend may be able to do, and the methods that it then needs."""


class Case:
    """What an author gives, beside the rules; see `RegistryConformance`."""

    kind: ClassVar[RegistryKind]
    capabilities: ClassVar[Collection[str]] = ()
    latency: ClassVar[float] = 5.0
    settle: ClassVar[float] = 0.3
    outage: ClassVar[float] = 1.5
    slowness: ClassVar[float] = 0.5
    promptness: ClassVar[float] = 1.0
    attempts_per_second: ClassVar[float] = 20.0
    cpu_share: ClassVar[float] = 0.5
    changes: ClassVar[int] = 10_000
    timeout: ClassVar[float] = 120.0
    base_path: ClassVar[Path] = Path()

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        unknown = sorted(set(cls.capabilities) - CAPABILITIES.keys())
        if unknown:
            msg = f"{cls.__name__}: there is no capability {unknown[0]!r}; use some of {', '.join(sorted(CAPABILITIES))}"
            raise TypeError(msg)

    def config(self, backend: Any) -> Any:
        """The options with which the adapter reaches this backend.

        Raises:
            NotImplementedError: unless the author gives it.
        """
        msg = f"{type(self).__name__} needs a method config(self, backend)"
        raise NotImplementedError(msg)

    def record(self, host: str, *addresses: str) -> ServiceRecord:
        """What the kit puts into the backend; override it if that must look different."""
        return ServiceRecord.parse(host, port=8080, endpoints=[f"{one}:8080" for one in addresses])


class Bench:
    """A backend with what should be published of it, for one rule.

    Args:
        case: the author's test class.
        backend: the author's backend.

    Attributes:
        expected: what the adapter should publish by now, by record key.
    """

    def __init__(self, case: Case, backend: Any) -> None:
        self.case = case
        self.backend = backend
        self.expected: dict[RecordKey, ServiceRecord] = {}

    def can(self, capability: str) -> bool:
        """Whether the author has declared a capability."""
        return capability in self.case.capabilities

    def following(self, *, remembers: bool = True) -> FollowedSource:
        """The adapter, to be entered; its options are asked for now."""
        return FollowedSource(
            self.case.kind,
            self.case.config(self.backend),
            latency=self.case.latency,
            base_path=self.case.base_path,
            remembers=remembers,
        )

    async def put(self, host: str, *addresses: str) -> ServiceRecord:
        """Put a service into the backend; what the adapter should publish for it."""
        record = await self.ask("put", self.case.record(host, *addresses))
        if not isinstance(record, ServiceRecord):
            msg = f"backend.put returned {record!r}: it must return the ServiceRecord that the adapter should publish"
            raise TypeError(msg)
        self.expected[record.key] = record
        return record

    async def remove(self, record: ServiceRecord) -> None:
        """Take a service out of the backend."""
        await self.ask("remove", record.key)
        self.expected.pop(record.key, None)

    async def ask(self, name: str, *arguments: object) -> Any:
        """Call a method of the backend, be it sync or async."""
        result = getattr(self.backend, name)(*arguments)
        return await result if inspect.isawaitable(result) else result

    async def attempts(self) -> int:
        """How often the adapter has turned to the backend, if that can be known."""
        return int(await self.ask("attempts")) if self.can("attempts") else 0

    async def clear(self) -> None:
        """Take out what was put, for backends that outlive a test."""
        for record in tuple(self.expected.values()):
            await self.remove(record)


_CaseT = TypeVar("_CaseT", bound=Case)


def rule(
    *capabilities: str,
) -> Callable[[Callable[[_CaseT, Bench], Awaitable[None]]], Callable[[_CaseT, Any], None]]:
    """Make a test method for pytest of a coroutine function that takes a `Bench`.

    It runs on a loop of its own, and is skipped without these capabilities. Errors that
    nobody handled on that loop fail it, too.
    """

    def decorate(
        body: Callable[[_CaseT, Bench], Awaitable[None]],
    ) -> Callable[[_CaseT, Any], None]:
        def test(self: _CaseT, backend: Any) -> None:
            for capability in capabilities:
                if capability not in self.capabilities:
                    pytest.skip(f"{type(self).__name__} lacks the capability {capability!r}")
            with asyncio.Runner() as runner:
                runner.run(_conduct(self, backend, body))

        # Not functools.wraps: pytest would follow it to the signature of the coroutine.
        test.__name__, test.__qualname__ = body.__name__, body.__qualname__
        test.__doc__, test.__module__ = body.__doc__, body.__module__
        return test

    return decorate


async def _conduct(
    case: _CaseT, backend: Any, body: Callable[[_CaseT, Bench], Awaitable[None]]
) -> None:
    asyncio.get_running_loop().set_task_factory(noted_task)
    with every_error_handled():
        async with asyncio.timeout(case.timeout), AsyncExitStack() as stack:
            if hasattr(backend, "__aenter__"):
                backend = await stack.enter_async_context(backend)
            _check_backend(case, backend)
            bench = Bench(case, backend)
            await body(case, bench)
            await bench.clear()


def _check_backend(case: Case, backend: object) -> None:
    """A capability is a promise: its methods must be there."""
    needed = {"put": "every backend", "remove": "every backend"}
    for capability in case.capabilities:
        needed |= dict.fromkeys(CAPABILITIES[capability], f"the capability {capability!r}")
    for method, reason in needed.items():
        if not callable(getattr(backend, method, None)):
            msg = f"{type(backend).__name__} has no method {method}, which {reason} needs"
            raise TypeError(msg)
