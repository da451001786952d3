"""Protobuf's wire format by hand, as far as responses need it.

A repeated field may be written element by element (protobuf encoding, "Message
structure": a message is a series of records, in any order), so a response is a join of
pieces that already exist. What stands before a resource's bytes, its *frame*, is the tags
and lengths of the messages around it. A state-of-the-world response names many resources
again for one that changed, so frame and bytes are kept as one *record* there: a join of a
thousand records is one pass. An incremental one names few, and joins the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.model import Resource

_LENGTH_DELIMITED = 2
_CONTINUE = 0x80
_SEVEN_BITS = 0x7F
_NANOS = 1_000_000_000

# DiscoveryResponse and DeltaDiscoveryResponse agree on these.
_VERSION = 1
_RESOURCES = 2
_TYPE_URL = 4
_NONCE = 5
# Only in DeltaDiscoveryResponse.
_REMOVED = 6
# google.protobuf.Any.
_ANY_TYPE_URL = 1
_ANY_VALUE = 2
# envoy.service.discovery.v3.Resource.
_RESOURCE_VERSION = 1
_RESOURCE_BODY = 2
_RESOURCE_NAME = 3
_RESOURCE_TTL = 6
_RESOURCE_URL = "type.googleapis.com/envoy.service.discovery.v3.Resource"


def varint(number: int) -> bytes:
    """A non-negative integer in base 128, least significant group first."""
    groups = bytearray()
    while number > _SEVEN_BITS:
        groups.append(number & _SEVEN_BITS | _CONTINUE)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def header(number: int, length: int) -> bytes:
    """Tag and length of a field whose content follows."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(length)


def text(number: int, value: str) -> bytes:
    """A string field; an empty one is left out, as proto3 does."""
    encoded = value.encode()
    return header(number, len(encoded)) + encoded if encoded else b""


def head(version: str, type_url: str) -> bytes:
    """The fields of a response before its resources."""
    return text(_VERSION, version) + text(_TYPE_URL, type_url)


def removed_names(names: Iterable[str]) -> bytes:
    """``removed_resources`` of an incremental response; an empty name stays a name."""
    encoded = (name.encode() for name in names)
    return b"".join(header(_REMOVED, len(name)) + name for name in encoded)


def nonce_field(nonce: str) -> bytes:
    """The nonce, which always ends a response."""
    return text(_NONCE, nonce)


def any_record(resource: Resource) -> bytes:
    """A resource as a state-of-the-world response says it, whole; kept."""
    record = resource.any_record
    if record is None:
        inner = _any(resource.type_url, len(resource.bytes))
        length = len(inner) + len(resource.bytes)
        record = b"".join((header(_RESOURCES, length), inner, resource.bytes))
        object.__setattr__(resource, "any_record", record)
    return record


def delta_frame(resource: Resource) -> bytes:
    """What stands before a resource's bytes in an incremental response; kept."""
    frame = resource.delta_frame
    if frame is None:
        inner = _wrapped(resource)
        frame = header(_RESOURCES, len(inner) + len(resource.bytes)) + inner
        object.__setattr__(resource, "delta_frame", frame)
    return frame


def any_ttl_frame(resource: Resource) -> bytes:
    """What stands before a resource's bytes there, with the time to live, for a client that understands it.

    xDS protocol, "TTL": in state of the world the resource goes into a ``Resource``, and
    that into the ``Any``.
    """
    inner = _wrapped(resource, _life(resource))
    outer = _any(_RESOURCE_URL, len(inner) + len(resource.bytes))
    length = len(outer) + len(inner) + len(resource.bytes)
    return header(_RESOURCES, length) + outer + inner


def delta_ttl_frame(resource: Resource) -> bytes:
    """As `delta_frame`, with the time to live, for a client that understands it."""
    inner = _wrapped(resource, _life(resource))
    return header(_RESOURCES, len(inner) + len(resource.bytes)) + inner


def heartbeat(resource: Resource) -> bytes:
    """A ``Resource`` without a body, which prolongs a timer in delta (xDS protocol, "TTL")."""
    content = _description(resource) + _life(resource)
    return header(_RESOURCES, len(content)) + content


def _any(type_url: str, length: int) -> bytes:
    return text(_ANY_TYPE_URL, type_url) + header(_ANY_VALUE, length)


def _description(resource: Resource) -> bytes:
    return text(_RESOURCE_VERSION, resource.digest) + text(_RESOURCE_NAME, resource.name)


def _life(resource: Resource) -> bytes:
    if resource.ttl is None:
        return b""
    duration = _duration(resource.ttl)
    return header(_RESOURCE_TTL, len(duration)) + duration


def _wrapped(resource: Resource, life: bytes = b"") -> bytes:
    inner = _any(resource.type_url, len(resource.bytes))
    body = header(_RESOURCE_BODY, len(inner) + len(resource.bytes))
    return _description(resource) + life + body + inner


def _duration(seconds: float) -> bytes:
    """The fields of ``google.protobuf.Duration`` (1: seconds, 2: nanoseconds)."""
    whole, nanos = divmod(round(seconds * _NANOS), _NANOS)
    fields = (b"\x08" + varint(whole)) if whole else b""
    return fields + (b"\x10" + varint(nanos) if nanos else b"")
