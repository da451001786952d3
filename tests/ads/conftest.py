"""A session with a hand on the other end of its stream."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from meshregistry.ads import AdsMessage, DeltaRequest, Request, Session
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, ResourceSet

if TYPE_CHECKING:
    from collections.abc import Callable


class Stream:
    """Requests go in by hand; what the session would send now comes out."""

    def __init__(self, **options: Any) -> None:
        numbers = count(1)
        self.session = Session(**{"nonces": lambda: f"n{next(numbers)}", **options})
        self.now = 0.0
        self.events: list[Any] = []

    def offer(self, *resources: Resource | ResourceSet) -> list[AdsMessage]:
        """Offer a set, or resources of one."""
        first = resources[0] if resources else None
        whole = first if isinstance(first, ResourceSet) else ResourceSet.of(resources)
        self.session.offer(whole)
        return self.sent()

    def sent(self, after: float = 0.0) -> list[AdsMessage]:
        """What is to be sent, some seconds later."""
        self.now += after
        return self.session.messages_to_send(self.now)

    def request(self, type_url: str, *names: str, **fields: Any) -> list[AdsMessage]:
        """A state-of-the-world request, and what it makes the session send."""
        request = Request(type_url=type_url, names=names, **fields)
        self.events = self.session.receive(request, self.now)
        return self.sent()

    def change(self, type_url: str, **fields: Any) -> list[AdsMessage]:
        """An incremental request, and what it makes the session send."""
        request = DeltaRequest(type_url=type_url, **fields)
        self.events = self.session.receive(request, self.now)
        return self.sent()

    def answer(
        self, message: AdsMessage, *names: str, error: str | None = None
    ) -> list[AdsMessage]:
        """Accept a response, or refuse it."""
        if self.session.is_delta:
            return self.change(message.type_url, nonce=message.nonce, error=error)
        version = message.version if error is None else ""
        return self.request(
            message.type_url, *names, nonce=message.nonce, version=version, error=error
        )


@pytest.fixture
def sotw() -> Stream:
    """An aggregated state-of-the-world stream."""
    return Stream(is_delta=False)


@pytest.fixture
def delta() -> Stream:
    """An aggregated incremental stream."""
    return Stream(is_delta=True)


@pytest.fixture
def stream() -> Callable[..., Stream]:
    """Makes a stream with the options of a session."""
    return Stream


@pytest.fixture
def cluster() -> Callable[..., Resource]:
    """Makes a cluster that needs the assignment of its name."""
    return lambda name, version=1: _resource(CLUSTER, name, version, (ENDPOINT, name))


@pytest.fixture
def assignment() -> Callable[..., Resource]:
    """Makes an assignment."""
    return lambda name, version=1: _resource(ENDPOINT, name, version)


@pytest.fixture
def listener() -> Callable[..., Resource]:
    """Makes a listener that needs some routes."""
    return lambda name, version=1, routes=(): _resource(
        LISTENER, name, version, *((ROUTE, route) for route in routes)
    )


@pytest.fixture
def route() -> Callable[..., Resource]:
    """Makes a route that needs some clusters."""
    return lambda name, version=1, clusters=(): _resource(
        ROUTE, name, version, *((CLUSTER, needed) for needed in clusters)
    )


@pytest.fixture
def named() -> Callable[[AdsMessage], tuple[str, ...]]:
    """The type's last word and the names in a message; those removed have a minus."""

    def named(message: AdsMessage) -> tuple[str, ...]:
        removed = getattr(message, "removed", ())
        kind = message.type_url.rpartition(".")[2]
        names = [f"{r.name}={r.bytes.decode()}" for r in message.resources]
        return (kind, *names, *(f"-{name}" for name in removed))

    return named


def _resource(type_url: str, name: str, version: int, *references: tuple[str, str]) -> Resource:
    return Resource(type_url, name, str(version).encode(), references=references)
