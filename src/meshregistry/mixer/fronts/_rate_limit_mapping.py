"""Envoy's rate-limit descriptors (v3) as attributes and quotas. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from meshregistry.mixer import AttributeBag, BagBuilder
from meshregistry.mixer import vocabulary as v
from meshregistry.mixer.fronts._extra import rls_pb2
from meshregistry.mixer.fronts._granting import is_granted
from meshregistry.mixer.fronts._reading import set_service
from meshregistry.mixer.fronts._statics import typed_value
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshregistry.mixer.spi import QuotaAnswer

QUOTA_KEY: Final = "quota"
"""The entry that names the quota; without one the domain does."""

DESCRIPTOR: Final = "ratelimit.descriptor"
"""The attribute that holds the entries which are no attributes."""

_HEADER = re.compile(r"request\.headers\[[\"']?([^\]\"']+)[\"']?\]")
_ADDRESSES = {"remote_address", "masked_remote_address"}
_CLUSTER_PARTS = 4
_INT64_MAX = (1 << 63) - 1
_UINT32_MAX = (1 << 32) - 1
_LIMIT = rls_pb2.RateLimitResponse.RateLimit
# The lengths in seconds of windows that the protocol has words for.
_UNITS = {
    1.0: _LIMIT.SECOND,
    60.0: _LIMIT.MINUTE,
    3_600.0: _LIMIT.HOUR,
    86_400.0: _LIMIT.DAY,
    604_800.0: _LIMIT.WEEK,
}
_NO_UNIT = _LIMIT.UNKNOWN
_LONGEST = 315_576_000_000


@frozen(kw_only=True)
class Wanted:
    """What one descriptor asks for.

    Attributes:
        quota: the name of the quota.
        amount: how much of it.
        bag: what dimensions are made of.
        id: the same when it is asked once more; empty if nothing says so.
    """

    quota: str
    amount: int
    bag: AttributeBag = field(factory=AttributeBag)
    id: str = ""


def wanted(request: Any, stated: Mapping[str, object]) -> tuple[Wanted, ...]:
    """One for each descriptor of a ``RateLimitRequest``, in order. It never fails.

    Args:
        request: of Envoy.
        stated: attributes of the filter's configuration.
    """
    return tuple(
        _wanted(request, index, one, stated) for index, one in enumerate(request.descriptors)
    )


def _wanted(request: Any, index: int, descriptor: Any, stated: Mapping[str, object]) -> Wanted:
    builder = BagBuilder(AttributeBag(stated))
    headers: dict[str, str] = {}
    others: dict[str, str] = {}
    quota, request_id = request.domain, ""
    for entry in descriptor.entries:
        if entry.key == QUOTA_KEY:
            quota = entry.value
        elif not _set(builder, headers, entry.key, entry.value):
            others[entry.key] = entry.value
        if entry.key.lower() in {"x-request-id", "request.id"}:
            request_id = entry.value
    builder.set(v.REQUEST_HEADERS, headers or None).set(DESCRIPTOR, others or None)
    amount = request.hits_addend or 1
    if descriptor.HasField("hits_addend"):
        amount = min(descriptor.hits_addend.value, _INT64_MAX)
    return Wanted(
        quota=quota,
        amount=amount,
        bag=builder.build(),
        # With the amount: a request that is charged once more at its end, for what it was, asks
        # something else.
        id=f"{request_id}/{index}/{amount}/" if request_id else "",
    )


def _set(builder: BagBuilder, headers: dict[str, str], key: str, text: str) -> bool:
    """Take an entry for an attribute, if it is one."""
    header = _HEADER.fullmatch(key)
    if header is not None:
        headers[header[1].lower()] = text
        return True
    if key in _ADDRESSES:
        address = typed_value(v.ORIGIN_IP, text)
        # A masked address has a prefix length: it is no address, but text to count by.
        builder.set(v.ORIGIN_IP, address).set(v.SOURCE_IP, address)
        return address is not None
    if key == "destination_cluster":
        parts = text.split("|")
        host = parts[3] if len(parts) == _CLUSTER_PARTS else text
        # A proxy's cluster for its own workload names no service; what is stated stays.
        if host:
            set_service(builder, host)
        return bool(host)
    if key == "source_cluster":
        builder.set(v.SOURCE_SERVICE, text)
        return True
    if key not in STANDARD or key == v.REQUEST_HEADERS:
        return False
    value = typed_value(key, text)
    builder.set(key, value)
    return value is not None


def response(wants: Sequence[Wanted], answers: Sequence[QuotaAnswer]) -> Any:
    """The ``RateLimitResponse``: a status for each descriptor, in order."""
    found = rls_pb2.RateLimitResponse(overall_code=rls_pb2.RateLimitResponse.OK)
    for want, answer in zip(wants, answers, strict=True):
        status = found.statuses.add(code=rls_pb2.RateLimitResponse.OK)
        if not is_granted(answer, want.amount):
            status.code = found.overall_code = rls_pb2.RateLimitResponse.OVER_LIMIT
        seconds = answer.valid_duration
        if 0 < seconds <= _LONGEST:
            whole = int(seconds)
            status.duration_until_reset.seconds = whole
            status.duration_until_reset.nanos = int((seconds - whole) * 1e9)
        if answer.limit is not None:
            # One without the other would tell callers that nothing is left.
            status.current_limit.requests_per_unit = _uint32(answer.limit.amount)
            status.current_limit.unit = _UNITS.get(answer.limit.window, _NO_UNIT)
            status.limit_remaining = _uint32(answer.limit.remaining)
    return found


def _uint32(amount: int) -> int:
    return min(max(amount, 0), _UINT32_MAX)
