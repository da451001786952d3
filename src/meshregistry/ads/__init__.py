"""The xDS protocol as an object without I/O: messages and time in, messages out."""

from meshregistry.ads._messages import (
    Acked,
    AdsEvent,
    AdsMessage,
    AdsRequest,
    DeltaRequest,
    DeltaResponse,
    Nacked,
    Request,
    Response,
    StaleNonce,
    Subscribed,
    Unsubscribed,
)

__all__ = [
    "Acked",
    "AdsEvent",
    "AdsMessage",
    "AdsRequest",
    "DeltaRequest",
    "DeltaResponse",
    "Nacked",
    "Request",
    "Response",
    "StaleNonce",
    "Subscribed",
    "Unsubscribed",
]
