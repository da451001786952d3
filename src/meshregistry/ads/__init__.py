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
from meshregistry.ads._session import REMOVAL_GRACE, WARM_TIMEOUT, Session
from meshregistry.ads._status import TypeState, TypeStatus
from meshregistry.ads._subscription import Diff

__all__ = [
    "REMOVAL_GRACE",
    "WARM_TIMEOUT",
    "Acked",
    "AdsEvent",
    "AdsMessage",
    "AdsRequest",
    "DeltaRequest",
    "DeltaResponse",
    "Diff",
    "Nacked",
    "Request",
    "Response",
    "Session",
    "StaleNonce",
    "Subscribed",
    "TypeState",
    "TypeStatus",
    "Unsubscribed",
]
