"""A request in Envoy's access log (v3) as the attributes of a report. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.mixer import vocabulary as v
from meshregistry.mixer.fronts._extra import accesslog_pb2
from meshregistry.mixer.fronts._log_common import begun, elapsed, set_response_time
from meshregistry.mixer.fronts._reading import protocol_of, set_request, size_of, time_of

if TYPE_CHECKING:
    from meshregistry.mixer import AttributeBag
    from meshregistry.mixer.fronts._reporter import Reporter

_NO_CODE = 500
# Entries of other types tell of a request that goes on, or of one of its tries.
_LAST = frozenset({accesslog_pb2.NotSet, accesslog_pb2.DownstreamEnd})
_UNSPECIFIED = 0


def is_last(entry: Any) -> bool:
    """Whether this is the entry that a request is reported by."""
    common = entry.common_properties
    return common.access_log_type in _LAST and not common.intermediate_log_entry


def request_bag(entry: Any, reporter: Reporter) -> tuple[AttributeBag, tuple[str, ...]]:
    """The attributes of an ``HTTPAccessLogEntry``, and what was stated in vain."""
    common, request, response = entry.common_properties, entry.request, entry.response
    builder, said = begun(common, reporter)
    headers = _request_headers(request)
    method = _method(request)
    # What the client asked for; a route may have asked the service for something else.
    path = request.original_path or request.path
    set_request(builder, headers, path=path, method=method, host=request.authority)
    builder.set(v.REQUEST_SCHEME, request.scheme or "http")
    builder.set(v.REQUEST_TIME, time_of(common.start_time))
    builder.set(v.REQUEST_SIZE, size_of(request.request_body_bytes))
    total = request.request_headers_bytes + request.request_body_bytes
    builder.set(v.REQUEST_TOTAL_SIZE, size_of(total))
    builder.set(v.RESPONSE_CODE, response.response_code.value or _NO_CODE)
    builder.set(v.RESPONSE_SIZE, size_of(response.response_body_bytes))
    total = response.response_headers_bytes + response.response_body_bytes
    builder.set(v.RESPONSE_TOTAL_SIZE, size_of(total))
    took = elapsed(common)
    builder.set(v.RESPONSE_DURATION, took)
    set_response_time(builder, common, took)
    answered = _lower(response.response_headers)
    trailers = _lower(response.response_trailers)
    builder.set(v.RESPONSE_HEADERS, answered | trailers)
    for attribute, name in (
        (v.RESPONSE_GRPC_STATUS, "grpc-status"),
        (v.RESPONSE_GRPC_MESSAGE, "grpc-message"),
    ):
        builder.set(attribute, trailers.get(name, answered.get(name)))
    if protocol_of(headers) == protocol_of(answered):
        return builder.build(), said.refused
    # The request's type is logged only if Envoy is asked to.
    return builder.set(v.CONTEXT_PROTOCOL, "grpc").build(), said.refused


def _method(request: Any) -> str:
    """The name of the method; empty if Envoy does not know it."""
    if request.request_method == _UNSPECIFIED:
        return ""
    descriptor = request.DESCRIPTOR.fields_by_name["request_method"].enum_type
    known = descriptor.values_by_number.get(request.request_method)
    return "" if known is None else str(known.name)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _request_headers(request: Any) -> dict[str, str]:
    """The headers that are logged, and those that have fields of their own."""
    own = {
        ":authority": request.authority,
        ":method": _method(request),
        ":path": request.path,
        ":scheme": request.scheme,
        "x-forwarded-for": request.forwarded_for,
        "user-agent": request.user_agent,
        "referer": request.referer,
        "x-request-id": request.request_id,
    }
    return {name: value for name, value in own.items() if value} | _lower(request.request_headers)
