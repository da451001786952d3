"""What a route of a VirtualService does with requests: the pieces, as neutral values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.documents import MappingNode
from meshregistry.rules import _istio_forms as forms
from meshregistry.rules._matches import TextMatch, TextMatchKind
from meshregistry.rules._routes import (
    Abort,
    Cors,
    Delay,
    Destination,
    DirectResponse,
    FaultInjection,
    HeaderOperations,
    Mirror,
    Redirect,
    RedirectPort,
    Retry,
    Rewrite,
    WeightedDestination,
)
from meshregistry.rules._wire import (
    expression_fault,
    header_name_fault,
    header_value_fault,
    substitution_fault,
    text_fault,
)

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode
    from meshregistry.rules._forms import Reader

_GRPC_CODES = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]
_REDIRECTS = (301, 302, 303, 307, 308)
_ALL = 100.0
_AUTHORITY = ":authority"


def actions(reader: Reader, node: AnyNode, form: forms.RouteForm) -> dict[str, Any]:
    """The arguments of an `HttpRoute` that say what is done with its requests."""
    headers = form.headers or forms.HeadersForm()
    return {
        "redirect": _redirect(reader, form.redirect),
        "response": _response(reader, form.response),
        "rewrite": _rewrite(reader, form.rewrite),
        "retry": _retry(reader, form.retries),
        "fault": _fault(reader, form.fault),
        "mirrors": tuple(_mirrors(reader, form)),
        "cors": _cors(reader, form.cors),
        "request": operations(reader, node, headers.request),
        "response_headers": operations(reader, node, headers.response),
    }


def text_match(reader: Reader, node: AnyNode, *, is_path: bool = False) -> TextMatch | None:
    """Read a StringMatch."""
    form = reader.form(node, forms.TextForm)
    if form is None:
        return None
    given = [
        (kind, value)
        for kind, value in (
            (TextMatchKind.EXACT, form.exact),
            (TextMatchKind.PREFIX, form.prefix),
            (TextMatchKind.REGEX, form.regex),
        )
        if value is not None
    ]
    if len(given) != 1:
        reader.fail(node, "a match is one of exact, prefix and regex", "write exactly one of them")
        return None
    kind, value = given[0]
    if kind is TextMatchKind.REGEX and not is_expression(reader, node, value):
        return None
    if refused(reader, node, text_fault(value)):
        return None
    if is_path and not value:
        reader.fail(node, "the path is empty", "write a path such as /")
        return None
    return TextMatch(kind, value)


def is_expression(reader: Reader, node: AnyNode, text: str) -> bool:
    """Whether a text is an expression; what RE2 lacks is refused, too."""
    return not refused(reader, node, expression_fault(text))


def refused(reader: Reader, node: AnyNode, fault: str) -> bool:
    """Note a fault, if it is one."""
    if not fault:
        return False
    reason, _, remedy = fault.rpartition(": ")
    reader.fail(node, reason, remedy)
    return True


def operations(reader: Reader, node: AnyNode, form: forms.HeaderForm | None) -> HeaderOperations:
    """Changes of headers."""
    if form is None:
        return HeaderOperations()
    for name, value in (*(form.set or {}).items(), *(form.add or {}).items()):
        refused(reader, node, "" if name == _AUTHORITY else header_name_fault(name))
        refused(reader, node, header_value_fault(value))
    for name in form.remove:
        fault = header_name_fault(name)
        if name.lower() == "host":
            fault = "the Host header cannot be removed: rewrite the authority"
        refused(reader, node, fault)
    return HeaderOperations(
        set=tuple((form.set or {}).items()),
        add=tuple((form.add or {}).items()),
        remove=form.remove,
    )


def destination(reader: Reader, node: AnyNode | None) -> Destination | None:
    """Read a Destination; short host names are completed."""
    form = None if node is None else reader.form(node, forms.DestinationForm)
    if form is None or node is None:
        return None
    place = (node.get("host") if isinstance(node, MappingNode) else None) or node
    host = reader.host(place, form.host)
    if host is None:
        return None
    return Destination(host, form.subset, form.port.number if form.port else None)


def share_of(
    reader: Reader,
    node: AnyNode,
    form: forms.ShareForm | forms.ConnectionShareForm,
    *,
    is_alone: bool,
) -> WeightedDestination | None:
    """A destination with its weight; one that is alone may leave it out."""
    if form.destination is None:
        reader.fail(node, "the destination is missing", "add destination: {host: …}")
    target = destination(reader, form.destination)
    if target is None:
        return None
    headers = getattr(form, "headers", None) or forms.HeadersForm()
    weight = form.weight if form.weight is not None else (1 if is_alone else 0)
    return WeightedDestination(
        destination=target,
        weight=weight,
        request=operations(reader, node, headers.request),
        response=operations(reader, node, headers.response),
    )


def _redirect(reader: Reader, node: AnyNode | None) -> Redirect | None:
    form = None if node is None else reader.form(node, forms.RedirectForm)
    if form is None or node is None:
        return None
    if form.code not in _REDIRECTS:
        reader.fail(node, f"{form.code} is not a redirect", "write 301, 302, 303, 307 or 308")
        return None
    for text in (form.uri or "", form.authority, form.scheme):
        refused(reader, node, text_fault(text))
    if form.port is not None and form.derive_port is not None:
        reader.fail(node, "port and derivePort exclude each other", "keep one")
    derived = RedirectPort(form.derive_port.value) if form.derive_port else None
    return Redirect(
        path=form.uri,
        authority=form.authority,
        scheme=form.scheme,
        port=form.port if form.port is not None else derived,
        status=form.code,
    )


def _response(reader: Reader, node: AnyNode | None) -> DirectResponse | None:
    form = None if node is None else reader.form(node, forms.ResponseForm)
    if form is None:
        return None
    body = (form.body.string or "") if form.body else ""
    return DirectResponse(status=form.status, body=body.encode())


def _rewrite(reader: Reader, node: AnyNode | None) -> Rewrite | None:
    form = None if node is None else reader.form(node, forms.RewriteForm)
    if form is None or node is None:
        return None
    if form.uri is not None and form.regex is not None:
        reader.fail(node, "uri and uriRegexRewrite exclude each other", "keep one")
    if form.uri is None and form.regex is None and not form.authority:
        reader.fail(node, "nothing is rewritten", "write uri, uriRegexRewrite or authority")
    for text in (form.uri or "", form.authority):
        refused(reader, node, text_fault(text))
    if form.regex is not None and is_expression(reader, node, form.regex.match):
        refused(reader, node, substitution_fault(form.regex.match, form.regex.rewrite))
    return Rewrite(
        path=form.uri,
        authority=form.authority,
        pattern=form.regex.match if form.regex else "",
        substitution=form.regex.rewrite if form.regex else "",
    )


def _retry(reader: Reader, node: AnyNode | None) -> Retry | None:
    form = None if node is None else reader.form(node, forms.RetryForm)
    if form is None:
        return None
    return Retry(
        attempts=form.attempts,
        per_try_timeout=form.per_try_timeout,
        retry_on=tuple(word.strip() for word in form.retry_on.split(",") if word.strip()),
        is_to_other_localities=form.remote,
        is_previous_host_avoided=form.avoids,
        backoff=form.backoff,
    )


def _fault(reader: Reader, node: AnyNode | None) -> FaultInjection | None:
    form = None if node is None else reader.form(node, forms.FaultForm)
    if form is None or node is None:
        return None
    delay = None if form.delay is None else reader.form(form.delay, forms.DelayForm)
    abort = None if form.abort is None else reader.form(form.abort, forms.AbortForm)
    if form.delay is None and form.abort is None:
        reader.fail(node, "no fault is given", "write delay: or abort:")
    if delay is not None and delay.fixed is None and delay.exponential is None:
        reader.fail(form.delay, "the delay has no length", "write fixedDelay: 1s")
    return FaultInjection(
        delay=Delay(seconds=delay.fixed, percent=_percent(delay.percentage, delay.percent))
        if delay is not None and delay.fixed is not None
        else None,
        abort=None if abort is None else _abort(reader, form.abort, abort),
    )


def _abort(reader: Reader, node: AnyNode, form: forms.AbortForm) -> Abort | None:
    if (form.http_status is None) == (not form.grpc_status):
        reader.fail(node, "an abort has one status", "write httpStatus: or grpcStatus:")
        return None
    code: int | None = None
    if form.grpc_status:
        names = dict(zip(_GRPC_CODES, range(len(_GRPC_CODES)), strict=True))
        text = form.grpc_status
        code = int(text) if text.isdecimal() else names.get(text.upper())
        if code is None or code >= len(_GRPC_CODES):
            reader.fail(node, f"{text!r} is not a gRPC status", "write one such as UNAVAILABLE")
            return None
    return Abort(
        http_status=form.http_status,
        grpc_status=code,
        percent=_percent(form.percentage, form.percent),
    )


def _percent(form: forms.PercentForm | None, older: int | None) -> float:
    if form is not None:
        return form.value
    return _ALL if older is None else float(older)


def _mirrors(reader: Reader, form: forms.RouteForm) -> list[Mirror]:
    found = []
    if form.mirror is not None:
        target = destination(reader, form.mirror)
        if target is not None:
            percent = _percent(form.mirror_percentage, form.mirror_percent)
            found.append(Mirror(destination=target, percent=percent))
    for node, one in reader.forms(form.mirrors, forms.MirrorForm):
        if one.destination is None:
            reader.fail(node, "the destination is missing", "add destination: {host: …}")
        target = destination(reader, one.destination)
        if target is not None:
            found.append(Mirror(destination=target, percent=_percent(one.percentage, None)))
    return found


def _cors(reader: Reader, node: AnyNode | None) -> Cors | None:
    form = None if node is None else reader.form(node, forms.CorsForm)
    if form is None or node is None:
        return None
    if form.unmatched not in {None, "FORWARD", "IGNORE", "UNSPECIFIED"}:
        reader.fail(node, f"unmatchedPreflights is {form.unmatched!r}", "write FORWARD or IGNORE")
    if form.max_age is not None and not float(form.max_age).is_integer():
        reader.fail(node, f"maxAge is {form.max_age} s", "write whole seconds")
    origins = [match for one in form.origins if (match := text_match(reader, one)) is not None]
    origins += (TextMatch(TextMatchKind.EXACT, one) for one in form.origin)
    return Cors(
        origins=tuple(origins),
        methods=form.methods,
        headers=form.headers,
        exposed=form.exposed,
        max_age=form.max_age,
        is_credentials_allowed=form.credentials,
        is_unmatched_forwarded={"FORWARD": True, "IGNORE": False}.get(form.unmatched or ""),
    )
