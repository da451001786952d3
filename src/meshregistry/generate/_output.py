"""What generators give back, and the way a message becomes a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from google.protobuf.any_pb2 import Any as AnyMessage

from meshregistry.errors import GenerationError
from meshregistry.model import Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message


def _resources(some: Iterable[Resource]) -> tuple[Resource, ...]:
    return tuple(some)


def _faults(some: Iterable[GenerationError]) -> tuple[GenerationError, ...]:
    return tuple(some)


@frozen(kw_only=True, eq=False)
class Generated:
    """Resources, and what had to be left out of them or replaced."""

    resources: tuple[Resource, ...] = field(default=(), converter=_resources)
    faults: tuple[GenerationError, ...] = field(default=(), converter=_faults)


def encoded(message: Message) -> bytes:
    """Serialise deterministically: equal messages give equal bytes, everywhere."""
    content: bytes = message.SerializeToString(deterministic=True)
    return content


def resource(
    type_url: str, name: str, message: Message, references: Iterable[tuple[str, str]] = ()
) -> Resource:
    """Encode a message as a named resource."""
    return Resource(type_url, name, encoded(message), references=references)


def packed(message: Message) -> Any:
    """Wrap a message in an ``Any``, for extension points of Envoy's configuration."""
    wrapped = AnyMessage()
    wrapped.Pack(message, deterministic=True)
    return wrapped
