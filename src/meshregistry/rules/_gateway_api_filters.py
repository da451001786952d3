"""Filters of Gateway API routes, as neutral values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.documents import Seconds
from meshregistry.model import Hostname
from meshregistry.rules import _gateway_api_forms as forms
from meshregistry.rules._istio_actions import refused
from meshregistry.rules._matches import TextMatch, TextMatchKind
from meshregistry.rules._routes import (
    Cors,
    Destination,
    HeaderOperations,
    Mirror,
    Redirect,
    RedirectPort,
    Rewrite,
)
from meshregistry.rules._wire import header_name_fault, header_value_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.documents import AnyNode
    from meshregistry.rules._forms import Reader

_ALL = 100.0
_FIELDS = {
    "RequestHeaderModifier": "request",
    "ResponseHeaderModifier": "response",
    "RequestRedirect": "redirect",
    "URLRewrite": "rewrite",
    "RequestMirror": "mirror",
    "CORS": "cors",
}


def destination(
    reader: Reader, place: AnyNode, form: forms.BackendForm | forms.TargetForm
) -> Destination | None:
    """The service that a backend names; in another namespace it needs to be granted."""
    key = reader.document.key
    namespace = form.namespace or key.namespace
    if form.port is None:
        reader.fail(place, "the port is missing", "add port: with one of the service's")
    try:
        host = Hostname(f"{form.name}.{namespace}.svc.{reader.domain}")
    except ValueError as error:
        reader.fail(place, str(error), "write the name of a service")
        return None
    asker = f"{key.kind}/{key.namespace}" if namespace != key.namespace else ""
    return Destination(host, "", form.port, asker)


def filtered(
    reader: Reader, nodes: Iterable[AnyNode], *, is_backend: bool = False
) -> dict[str, Any]:
    """The fields of an `HttpRoute` that filters give; of a backend, headers only."""
    found: dict[str, Any] = {}
    mirrors: list[Mirror] = []
    for node, form in reader.forms(nodes, forms.FilterForm):
        name = _FIELDS[form.type]
        value = getattr(form, name)
        if value is None:
            reader.fail(node, f"the filter {form.type} says nothing", "add the field of its name")
            continue
        if is_backend and name not in {"request", "response"}:
            reader.fail(node, f"a backend has no {form.type}", "put it into the rule's filters")
            continue
        if name in {"request", "response"}:
            target = "response_headers" if name == "response" and not is_backend else name
            found[target] = _operations(reader, node, value)
        elif name == "redirect":
            found["redirect"] = _redirect(reader, value)
        elif name == "rewrite":
            found["rewrite"] = _rewrite(reader, value)
        elif name == "cors":
            found["cors"] = _cors(reader, value)
        elif (mirror := _mirror(reader, value)) is not None:
            mirrors.append(mirror)
    if mirrors:
        found["mirrors"] = tuple(mirrors)
    return found


def _operations(reader: Reader, node: AnyNode, form: forms.HeadersForm) -> HeaderOperations:
    for header in (*form.set, *form.add):
        refused(reader, node, header_name_fault(header.name))
        refused(reader, node, header_value_fault(header.value))
    for name in form.remove:
        refused(reader, node, header_name_fault(name))
    return HeaderOperations(
        set=tuple((one.name, one.value) for one in form.set),
        add=tuple((one.name, one.value) for one in form.add),
        remove=form.remove,
    )


def _path(
    reader: Reader, node: AnyNode, form: forms.PathModifierForm | None
) -> tuple[str | None, str | None]:
    """The whole path and the prefix that replace, of which one is given at most."""
    if form is None:
        return None, None
    full = form.full if form.type == "ReplaceFullPath" else None
    prefix = form.prefix if form.type == "ReplacePrefixMatch" else None
    if full is None and prefix is None:
        reader.fail(node, f"{form.type} says no path", "add the field of its name")
    refused(reader, node, text_fault(full or prefix or ""))
    return full, prefix


def _redirect(reader: Reader, node: AnyNode) -> Redirect | None:
    form = reader.form(node, forms.RedirectForm)
    if form is None:
        return None
    full, prefix = _path(reader, node, form.path)
    port: int | RedirectPort | None = form.port
    if port is None and form.scheme is not None:
        port = RedirectPort.PROTOCOL
    return Redirect(
        path=full,
        prefix=prefix,
        authority=form.hostname,
        scheme=form.scheme or "",
        port=port,
        status=form.status,
    )


def _rewrite(reader: Reader, node: AnyNode) -> Rewrite | None:
    form = reader.form(node, forms.RewriteForm)
    if form is None:
        return None
    full, prefix = _path(reader, node, form.path)
    refused(reader, node, text_fault(form.hostname))
    return Rewrite(path=prefix, whole_path=full, authority=form.hostname)


def _mirror(reader: Reader, node: AnyNode) -> Mirror | None:
    form = reader.form(node, forms.MirrorForm)
    if form is None:
        return None
    if form.backend is None:
        reader.fail(node, "the backend is missing", "add backendRef: {name: …, port: …}")
        return None
    backend = reader.form(form.backend, forms.TargetForm)
    target = None if backend is None else destination(reader, form.backend, backend)
    if target is None:
        return None
    percent = _ALL if form.percent is None else float(form.percent)
    if form.fraction is not None:
        percent = _ALL * form.fraction.numerator / form.fraction.denominator
    return Mirror(destination=target, percent=min(percent, _ALL))


def _cors(reader: Reader, node: AnyNode) -> Cors | None:
    form = reader.form(node, forms.CorsForm)
    if form is None:
        return None
    return Cors(
        origins=tuple(map(_origin, form.origins)),
        methods=form.methods,
        headers=form.headers,
        exposed=form.exposed,
        max_age=None if form.max_age is None else Seconds(float(form.max_age)),
        is_credentials_allowed=form.credentials,
    )


def _origin(text: str) -> TextMatch:
    """An origin; a star stands for any text."""
    if "*" not in text:
        return TextMatch(TextMatchKind.EXACT, text)
    pattern = ".*".join(part.replace(".", r"\.") for part in text.split("*"))
    return TextMatch(TextMatchKind.REGEX, pattern)
