"""Protobuf requests in, bytes of responses out.

Requests are parsed by protobuf. Responses are joined from bytes that already exist, and
one that many streams get is one object: the same resources, version and nonce give the
identical ``bytes``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import define

from meshregistry.ads import DeltaRequest, DeltaResponse, Request
from meshregistry.errors import RemoteAdsError
from meshregistry.model import Locality, Node, Resource
from meshregistry.server._extra import discovery_pb2, json_format, message
from meshregistry.server._wire import (
    any_record,
    any_ttl_frame,
    delta_frame,
    delta_ttl_frame,
    head,
    heartbeat,
    nonce_field,
    removed_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.ads import AdsMessage, AdsRequest

_MIB = 1 << 20
# An Envoy with 1,000 clusters repeats 50 kB of names in each answer.
_KEPT_REQUEST = 1 << 17
_KEPT_REQUESTS = 4 * _MIB
_KEPT_LISTS = 64
# What a request weighs besides its bytes, roughly: else small ones would pile up.
_REQUEST_WEIGHT = 1 << 10


def decode_request(
    data: bytes,
    *,
    is_delta: bool,
    type_url: str = "",
    share: Callable[[tuple[str, ...]], tuple[str, ...]] = tuple,
) -> tuple[AdsRequest, Node | None]:
    """Parse a ``DiscoveryRequest`` or ``DeltaDiscoveryRequest``, and the node in it if any.

    Args:
        data: as received.
        is_delta: which of the two it is.
        type_url: the type of a separate service, where a request may leave it out; empty
            on an aggregated stream.
        share: gives one object for equal lists of names.

    Raises:
        RemoteAdsError: if the bytes are malformed, or the type is missing or another one.
    """
    kind = discovery_pb2.DeltaDiscoveryRequest if is_delta else discovery_pb2.DiscoveryRequest
    try:
        parsed = kind.FromString(data)
    except message.DecodeError as error:
        reason = f"the request of {len(data)} bytes is not a {kind.DESCRIPTOR.full_name}: send one"
        raise RemoteAdsError(reason) from error
    url = parsed.type_url or type_url
    if not url:
        raise RemoteAdsError("the request has no type_url: an aggregated stream needs one")
    if type_url and url != type_url:
        reason = f"this service serves {type_url} and not {url}: use the aggregated service"
        raise RemoteAdsError(reason)
    try:
        node = decode_node(parsed.node) if parsed.HasField("node") else None
    except (json_format.Error, ValueError) as error:
        reason = f"the node's metadata is not JSON ({error}): send finite numbers only"
        raise RemoteAdsError(reason) from error
    failure = parsed.error_detail.message if parsed.HasField("error_detail") else None
    if is_delta:
        locators = parsed.resource_locators_subscribe
        leaving = parsed.resource_locators_unsubscribe
        return DeltaRequest(
            type_url=url,
            subscribe=(*parsed.resource_names_subscribe, *(each.name for each in locators)),
            unsubscribe=(*parsed.resource_names_unsubscribe, *(each.name for each in leaving)),
            initial_versions=dict(parsed.initial_resource_versions),
            nonce=parsed.response_nonce,
            error=failure,
        ), node
    return Request(
        type_url=url,
        names=share((*parsed.resource_names, *(each.name for each in parsed.resource_locators))),
        version=parsed.version_info,
        nonce=parsed.response_nonce,
        error=failure,
    ), node


class Decoder:
    """Decodes requests; equal bytes give the same value.

    Streams that are sent the same bytes answer with the same bytes, so most answers to a
    fan-out are parsed once. Answers to different fan-outs differ in their nonces only: equal
    lists of names in them are one object, so that a session sees at once that its
    subscription is as it was. What is kept is bounded; the oldest goes first.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool, str], AdsRequest] = {}
        self._weight = 0
        self._lists: dict[tuple[str, ...], tuple[str, ...]] = {}

    def decode(
        self, data: bytes, *, is_delta: bool, type_url: str = ""
    ) -> tuple[AdsRequest, Node | None]:
        """As `decode_request`."""
        key = (data, is_delta, type_url)
        known = self._known.get(key)
        if known is not None:
            return known, None
        request, node = decode_request(
            data, is_delta=is_delta, type_url=type_url, share=self._shared
        )
        if node is None and len(data) <= _KEPT_REQUEST:
            self._known[key] = request
            self._weight += len(data) + _REQUEST_WEIGHT
            while self._weight > _KEPT_REQUESTS:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._weight -= len(oldest[0]) + _REQUEST_WEIGHT
        return request, node

    def _shared(self, names: tuple[str, ...]) -> tuple[str, ...]:
        known = self._lists.setdefault(names, names)
        if len(self._lists) > _KEPT_LISTS:
            del self._lists[next(iter(self._lists))]
        return known


def decode_node(node: Any) -> Node:
    """What a ``core.v3.Node`` message claims."""
    build = node.user_agent_build_version.version
    numbers = f"{build.major_number}.{build.minor_number}.{build.patch}"
    version = numbers if node.HasField("user_agent_build_version") else node.user_agent_version
    where = node.locality
    return Node(
        id=node.id,
        cluster=node.cluster,
        metadata=json_format.MessageToDict(node.metadata),
        locality=Locality(where.region, where.zone, where.sub_zone),
        user_agent_name=node.user_agent_name,
        user_agent_version=version,
        client_features=frozenset(node.client_features),
    )


@define(eq=False)
class _Kept:
    """A response that was encoded, and all that it was made from."""

    outline: tuple[Any, ...]
    shortcut: tuple[Any, ...]
    resources: tuple[Resource, ...]
    heartbeats: tuple[Resource, ...]
    body_length: int
    nonce: str
    data: bytes


class Encoder:
    """Encodes responses; the same content gives the same object.

    A response is looked up by the identity of its tuple of resources (streams that take
    everything share the set's own tuple). Failing that, by its outline: type, version, how
    many resources, which is the first and which the last; then the tuples are compared,
    which is quick where they hold the same objects. What is kept has a limit in bytes; the
    oldest goes first.

    Attributes:
        hits: responses that existed already.
        misses: responses that had to be joined.
        size: bytes kept.
    """

    def __init__(self, *, max_bytes: int = 32 * _MIB) -> None:
        self.hits = 0
        self.misses = 0
        self.size = 0
        self._max_bytes = max_bytes
        self._by_outline: OrderedDict[tuple[Any, ...], _Kept] = OrderedDict()
        # The ids in the keys stay valid because the entries keep what they name.
        self._by_shortcut: dict[tuple[Any, ...], _Kept] = {}

    def encode(self, response: AdsMessage, *, supports_ttl: bool = False) -> bytes:
        """The bytes of a response.

        Args:
            response: what to encode.
            supports_ttl: whether the client understands a time to live.
        """
        is_delta = isinstance(response, DeltaResponse)
        removed: tuple[str, ...] = ()
        heartbeats: tuple[Resource, ...] = ()
        if isinstance(response, DeltaResponse):
            removed, heartbeats = response.removed, response.heartbeats
        resources = response.resources
        shown = (response.type_url, response.version, is_delta, supports_ttl, removed)
        shortcut = (*shown, id(resources), id(heartbeats))
        kept = self._by_shortcut.get(shortcut)
        if kept is None:
            ends = (id(resources[0]), id(resources[-1])) if resources else ()
            outline = (*shown, len(resources), len(heartbeats), *ends)
            kept = self._by_outline.get(outline)
            if kept is None or kept.resources != resources or kept.heartbeats != heartbeats:
                self.misses += 1
                data, length = _joined(response, supports_ttl=supports_ttl)
                kept = _Kept(outline, shortcut, resources, heartbeats, length, response.nonce, data)
                self._keep(kept)
                return data
        self.hits += 1
        if kept.nonce != response.nonce:
            body = memoryview(kept.data)[: kept.body_length]
            kept.data = b"".join((body, nonce_field(response.nonce)))
            kept.nonce = response.nonce
        return kept.data

    def _keep(self, kept: _Kept) -> None:
        if kept.body_length > self._max_bytes:
            return
        self._drop(self._by_outline.pop(kept.outline, None))
        self._by_outline[kept.outline] = self._by_shortcut[kept.shortcut] = kept
        self.size += kept.body_length
        while self.size > self._max_bytes:
            self._drop(self._by_outline.popitem(last=False)[1])

    def _drop(self, kept: _Kept | None) -> None:
        if kept is not None:
            del self._by_shortcut[kept.shortcut]
            self.size -= kept.body_length


def _joined(response: AdsMessage, *, supports_ttl: bool) -> tuple[bytes, int]:
    """A response's bytes, and how many of them stand before the nonce."""
    pieces = [head(response.version, response.type_url)]
    if isinstance(response, DeltaResponse):
        for resource in response.resources:
            is_mortal = supports_ttl and resource.ttl is not None
            frame = delta_ttl_frame if is_mortal else delta_frame
            pieces += (frame(resource), resource.bytes)
        pieces += map(heartbeat, response.heartbeats)
        pieces.append(removed_names(response.removed))
    elif supports_ttl and any(resource.ttl is not None for resource in response.resources):
        for resource in response.resources:
            if resource.ttl is None:
                pieces.append(any_record(resource))
            else:
                pieces += (any_ttl_frame(resource), resource.bytes)
    else:
        # This loop is what a large push costs before anything is written.
        pieces += [each.any_record or any_record(each) for each in response.resources]
    ending = nonce_field(response.nonce)
    pieces.append(ending)
    data = b"".join(pieces)
    return data, len(data) - len(ending)
