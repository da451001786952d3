"""The answer to a check as Envoy is told it (ext_authz v3). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshregistry.mixer import Code, HeaderOperation, Operation, Status
from meshregistry.mixer import vocabulary as v
from meshregistry.mixer._status import http_code, is_without_content
from meshregistry.mixer.client import FORWARDED_HEADER
from meshregistry.mixer.fronts._extra import base_pb2, external_auth_pb2
from meshregistry.mixer.fronts._granting import is_granted, is_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.server import Checked

_TOKEN = re.compile(r":?[!#$%&'*+.^_`|~0-9a-z-]+")
_NO_VALUE = re.compile(r"[\0\r\n]")
_NOT_REMOVABLE = frozenset({"host"})
_LOWEST, _HIGHEST = 200, 599

REPLACE: Final = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
APPEND: Final = base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


class QuotaUnknown(Exception):
    """A quota could not be asked; who asked decides what that means."""


def status_of(checked: Checked, wanted: Mapping[str, int]) -> Status:
    """What policy and quotas come to.

    Quota that is not granted in full is exhausted; one of which the answer says nothing, or
    whose keeper is not there, is granted.

    Raises:
        QuotaUnknown: if a quota could not be asked.
    """
    status = checked.outcome.status
    if not status.is_ok:
        return status
    exhausted = []
    for name, amount in wanted.items():
        granted = checked.quotas.get(name)
        if granted is None:
            continue
        if is_granted(granted.answer, amount):
            continue
        if is_unknown(granted.answer):
            raise QuotaUnknown(f"{name}: {granted.answer.status}")
        exhausted.append(name)
    if exhausted:
        return Status(Code.RESOURCE_EXHAUSTED, f"Quota is exhausted for: {','.join(exhausted)}")
    return status


def response_of(
    checked: Checked, status: Status, *, is_http: bool, has_forwarded: bool
) -> tuple[Any, tuple[str, ...]]:
    """The ``CheckResponse``, and the names of headers that could not be changed as wanted.

    Args:
        checked: the answer.
        status: of policy and quotas together.
        is_http: whether a request was asked about; a connection has no headers.
        has_forwarded: whether the request has a header that is not for the service.
    """
    response = external_auth_pb2.CheckResponse()
    directive = checked.outcome.directive
    dropped: list[str] = []
    facts = response.dynamic_metadata.fields
    facts[v.CHECK_CACHE_HIT].bool_value = checked.is_cached
    if not status.is_ok:
        facts[v.CHECK_ERROR_CODE].number_value = status.code
        facts[v.CHECK_ERROR_MESSAGE].string_value = str(status)
    response.status.code = status.code
    response.status.message = status.message
    if not is_http:
        return response, ()
    if status.is_ok and not directive.direct_code:
        allowed = response.ok_response
        allowed.SetInParent()
        dropped += _change(allowed.headers, directive.request_headers, allowed.headers_to_remove)
        dropped += _change(allowed.response_headers_to_add, directive.response_headers)
        if has_forwarded:
            allowed.headers_to_remove.append(FORWARDED_HEADER)
        return response, tuple(dropped)
    denied = response.denied_response
    is_own = checked.outcome.status == status
    code = directive.direct_code if is_own else 0
    if status.is_ok:
        # Envoy answers in place of the service only if it hears that it must not go on.
        response.status.code = Code.ABORTED
        response.status.message = "answered in place of the service"
        denied.body = directive.direct_body
    else:
        denied.body = (directive.direct_body if is_own else "") or str(status)
    denied.status.code = code if _LOWEST <= code <= _HIGHEST else http_code(status.code or 2)
    if is_without_content(denied.status.code):
        # Envoy would send it, and who reads the response take it for the next one's beginning.
        denied.body = ""
    if is_own:
        dropped += _change(denied.headers, directive.response_headers)
    return response, tuple(dropped)


def _change(
    target: Any, operations: Iterable[HeaderOperation], removed: Any = None
) -> Iterable[str]:
    """Write header operations; gives the names of those that Envoy has no word for."""
    dropped = []
    for one in operations:
        name = one.name.lower()
        if not _TOKEN.fullmatch(name) or _NO_VALUE.search(one.value):
            dropped.append(one.name)
        elif one.operation is not Operation.REMOVE:
            how = APPEND if one.operation is Operation.APPEND else REPLACE
            option = target.add(append_action=how)
            option.header.key, option.header.value = name, one.value
        elif removed is None or name.startswith(":") or name in _NOT_REMOVABLE:
            dropped.append(one.name)
        else:
            removed.append(name)
    return dropped
