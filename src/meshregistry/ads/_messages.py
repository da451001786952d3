"""Requests, responses and events of the xDS protocol, as frozen values without protobuf."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from meshregistry.model import Resource


@frozen(kw_only=True)
class Request:
    """A state-of-the-world ``DiscoveryRequest``.

    Attributes:
        type_url: the resource type; filled in by the caller on separate streams.
        names: ``resource_names``, the whole list each time.
        version: ``version_info`` of the last response that was accepted.
        nonce: ``response_nonce`` of the response that this answers; empty at first.
        error: the message of ``error_detail``; None unless this is a NACK.
    """

    type_url: str
    names: tuple[str, ...] = ()
    version: str = ""
    nonce: str = ""
    error: str | None = None


@frozen(kw_only=True)
class DeltaRequest:
    """An incremental ``DeltaDiscoveryRequest``.

    Attributes:
        type_url: the resource type; filled in by the caller on separate streams.
        subscribe: ``resource_names_subscribe``.
        unsubscribe: ``resource_names_unsubscribe``.
        initial_versions: ``initial_resource_versions``: what the client holds, by name.
        nonce: ``response_nonce`` of the response that this answers; empty if spontaneous.
        error: the message of ``error_detail``; None unless this is a NACK.
    """

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(factory=dict)
    nonce: str = ""
    error: str | None = None


@frozen(kw_only=True)
class Response:
    """A state-of-the-world ``DiscoveryResponse``.

    Attributes:
        type_url: the resource type.
        version: ``version_info``, of the type.
        resources: in canonical order; a wildcard response of a one-part set shares the
            set's own tuple, so that encoders can recognise it by identity.
        nonce: unique within the stream.
    """

    type_url: str
    version: str
    resources: tuple[Resource, ...]
    nonce: str


@frozen(kw_only=True)
class DeltaResponse:
    """An incremental ``DeltaDiscoveryResponse``.

    Attributes:
        type_url: the resource type.
        version: ``system_version_info``, for people; comparing goes by digests.
        resources: added or changed; the digest is each one's version.
        removed: names that are gone, or never were.
        nonce: unique within the stream.
        heartbeats: resources that are sent without a body, to prolong their time to live.
    """

    type_url: str
    version: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]
    nonce: str
    heartbeats: tuple[Resource, ...] = ()


@frozen
class Subscribed:
    """The client wants something new of a type; `names` are those that are new."""

    type_url: str
    names: tuple[str, ...]


@frozen
class Unsubscribed:
    """The client wants some names of a type no longer."""

    type_url: str
    names: tuple[str, ...]


@frozen
class Acked:
    """The client has accepted the response with this nonce."""

    type_url: str
    version: str
    nonce: str


@frozen
class Nacked:
    """The client has refused the response with this nonce."""

    type_url: str
    version: str
    nonce: str
    error: str


@frozen
class StaleNonce:
    """The request answers an older response than the last one; state of the world ignores it."""

    type_url: str
    nonce: str


AdsRequest = Request | DeltaRequest
AdsMessage = Response | DeltaResponse
AdsEvent = Subscribed | Unsubscribed | Acked | Nacked | StaleNonce
