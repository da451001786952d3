"""What filters do to the requests of single routes: faults for testing, and CORS.

Both filters stand in every chain and do nothing until a route says something to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.extensions.filters.common.fault.v3 import fault_pb2 as delay_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.type.v3 import percent_pb2

from meshregistry.generate._route_match import string_match

if TYPE_CHECKING:
    from meshregistry.documents import Seconds
    from meshregistry.rules import Cors, FaultInjection

FAULT = "envoy.filters.http.fault"
CORS = "envoy.filters.http.cors"


def fraction(percent: float) -> percent_pb2.FractionalPercent:
    """A percentage; in millionths if it is not a whole number."""
    if float(percent).is_integer():
        return percent_pb2.FractionalPercent(
            numerator=int(percent), denominator=percent_pb2.FractionalPercent.HUNDRED
        )
    return percent_pb2.FractionalPercent(
        numerator=round(percent * 10_000), denominator=percent_pb2.FractionalPercent.MILLION
    )


def nanoseconds(seconds: Seconds) -> int:
    """Exactly what a Duration can hold."""
    return round(seconds * 1e9)


def fault_filter(fault: FaultInjection) -> fault_pb2.HTTPFault:
    """The message for injected faults."""
    message = fault_pb2.HTTPFault()
    if fault.delay is not None:
        message.delay.CopyFrom(delay_pb2.FaultDelay(percentage=fraction(fault.delay.percent)))
        message.delay.fixed_delay.FromNanoseconds(nanoseconds(fault.delay.seconds))
    if fault.abort is not None:
        message.abort.percentage.CopyFrom(fraction(fault.abort.percent))
        if fault.abort.http_status is not None:
            message.abort.http_status = fault.abort.http_status
        elif fault.abort.grpc_status is not None:
            message.abort.grpc_status = fault.abort.grpc_status
    return message


def cors_policy(cors: Cors) -> cors_pb2.CorsPolicy:
    """The message for cross-origin rules; lists are joined as the headers want them."""
    message = cors_pb2.CorsPolicy(
        allow_methods=",".join(cors.methods),
        allow_headers=",".join(cors.headers),
        expose_headers=",".join(cors.exposed),
    )
    for origin in cors.origins:
        string_match(message.allow_origin_string_match.add(), origin)
    if cors.max_age is not None:
        message.max_age = str(round(cors.max_age))
    if cors.is_credentials_allowed is not None:
        message.allow_credentials.value = cors.is_credentials_allowed
    if cors.is_unmatched_forwarded is not None:
        message.forward_not_matching_preflights.value = cors.is_unmatched_forwarded
    return message
