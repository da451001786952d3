"""Gateway and ReferenceGrant of the Kubernetes Gateway API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import NOTHING, frozen
from attrs.validators import ge, in_, le, min_len

from meshregistry.documents import MappingNode, ScalarNode, SequenceNode
from meshregistry.model import Hostname, Labels, Selector
from meshregistry.rules._forms import Reader, idle, refused, works
from meshregistry.rules._gateways import (
    Gateway,
    GatewayServer,
    GatewayTls,
    GatewayTlsMode,
    ServerProtocol,
)
from meshregistry.rules._grants import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

_LABEL = "gateway.networking.k8s.io/gateway-name"
_CERTIFICATE, _KEY = "meshregistry.dev/certificate", "meshregistry.dev/private-key"
_FROM = ("Same", "All")
_PROTOCOLS = ("HTTP", "HTTPS", "TLS", "TCP")


@frozen(kw_only=True)
class TlsForm:
    """GatewayTLSConfig."""

    mode: str = works(
        "Terminate or Passthrough", default="Terminate", validator=in_(("Terminate", "Passthrough"))
    )
    options: dict[str, str] = works(
        f"{_CERTIFICATE} and {_KEY}: files on the proxy", factory=dict, default=NOTHING
    )
    certificates: Any = refused(
        "certificates cannot be had by name",
        f"write files as options {_CERTIFICATE} and {_KEY}",
        alias="certificateRefs",
    )
    validation: Any = refused(
        "clients cannot be verified here", "use a Gateway of Istio", alias="frontendValidation"
    )


@frozen(kw_only=True)
class AllowedForm:
    """AllowedRoutes."""

    namespaces: Any = works("from: Same or All; Selector is refused")
    kinds: Any = idle("the protocol says which kinds of routes there are")


@frozen(kw_only=True)
class ListenerForm:
    """Listener."""

    name: str = works("by which routes choose it", default="", validator=min_len(1))
    hostname: str = works("default: any", default="")
    port: int = works("", default=NOTHING, validator=[ge(1), le(65535)])
    protocol: str = works("", default=NOTHING, validator=in_(_PROTOCOLS))
    tls: Any = works("", form=TlsForm)
    allowed: Any = works("", form=AllowedForm, alias="allowedRoutes")


@frozen(kw_only=True)
class GatewayForm:
    """Gateway."""

    gateway_class: str = works("any will do", default="", alias="gatewayClassName")
    listeners: tuple[Any, ...] = works("", form=ListenerForm, default=NOTHING, validator=min_len(1))
    addresses: Any = idle("the proxies listen where the mesh settings say")
    infrastructure: Any = idle("no proxies are deployed")
    allowed: Any = refused(
        "listeners of others are not known", "write them here", alias="allowedListeners"
    )
    tls: Any = refused("TLS is a listener's", "write it there")
    default_scope: Any = idle("routes name their gateways", alias="defaultScope")


def kubernetes_gateway(document: RuleDocument, domain: str) -> Reading:
    """Read a Gateway: for routers with the label ``gateway-name`` of its name, as in Istio."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    form = None if spec is None else reader.form(spec, GatewayForm)
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
    if form is None:
        return reader.result(tuple)
    servers = [_server(reader, *one) for one in reader.forms(form.listeners, ListenerForm)]
    key = document.key
    return reader.result(
        lambda: (
            Gateway(
                namespace=key.namespace,
                name=key.name,
                selector=Selector(Labels({_LABEL: key.name})),
                servers=tuple(server for server in servers if server is not None),
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def _server(reader: Reader, node: AnyNode, form: ListenerForm) -> GatewayServer | None:
    host = "*"
    if form.hostname:
        try:
            host = Hostname(form.hostname)
        except ValueError as error:
            reader.fail(node, str(error), "write a host name such as *.example.com")
    protocol = ServerProtocol(form.protocol)
    tls: GatewayTls | None = None
    if protocol in {ServerProtocol.HTTPS, ServerProtocol.TLS}:
        tls = _tls(reader, node, form.tls, protocol)
    elif form.tls is not None:
        reader.fail(node, f"{form.protocol} has no tls", "write protocol: HTTPS or TLS")
    return GatewayServer(
        port=form.port,
        port_name=form.name,
        protocol=protocol,
        hosts=(f"{_home(reader, form.allowed)}/{host}",),
        tls=tls,
        name=form.name,
        origin=reader.origin(node),
    )


def _home(reader: Reader, node: AnyNode | None) -> str:
    """The namespace whose routes a listener takes; ``*``: all."""
    own = reader.document.key.namespace
    allowed = None if node is None else reader.form(node, AllowedForm)
    place = None if allowed is None else allowed.namespaces
    if place is None:
        return own
    if not isinstance(place, MappingNode):
        reader.fail(place, f"must be a mapping, not {place.kind}", "write {from: All}")
        return own
    reader.errors += place.unknown(("from", "selector"))
    said = place.get("from")
    text = said.text if isinstance(said, ScalarNode) else "Same"
    if text not in _FROM or place.get("selector") is not None:
        reader.fail(
            said or place, "namespaces cannot be selected by label", f"write {' or '.join(_FROM)}"
        )
    return "*" if text == "All" else own


def _tls(
    reader: Reader, node: AnyNode, place: AnyNode | None, protocol: ServerProtocol
) -> GatewayTls | None:
    form = TlsForm() if place is None else reader.form(place, TlsForm)
    if form is None:
        return None
    if form.mode == "Passthrough":
        if protocol is ServerProtocol.HTTPS:
            reader.fail(node, "what passes through cannot be read as HTTP", "write protocol: TLS")
        return GatewayTls(mode=GatewayTlsMode.PASSTHROUGH)
    certificate, key = form.options.get(_CERTIFICATE, ""), form.options.get(_KEY, "")
    if not (certificate and key) and not reader.errors:
        reader.fail(
            place or node,
            "the listener has no certificate",
            f"write files as options {_CERTIFICATE} and {_KEY}",
        )
    return GatewayTls(mode=GatewayTlsMode.SIMPLE, server_certificate=certificate, private_key=key)


@frozen(kw_only=True)
class GrantToForm:
    """ReferenceGrantTo."""

    group: str = works("empty", default="")
    kind: str = works("Service", default="", validator=min_len(1))
    name: str = works("default: all", default="")


@frozen(kw_only=True)
class GrantForm:
    """ReferenceGrant."""

    to: tuple[Any, ...] = works("", form=GrantToForm, default=NOTHING, validator=min_len(1))


def reference_grant(document: RuleDocument, domain: str) -> Reading:
    """Read a ReferenceGrant: who may refer from other namespaces to services of this one."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    if not isinstance(spec, MappingNode):
        reader.fail(document.root, "the document has no spec", "add spec:")
        return reader.result(tuple)
    askers = list(_askers(reader, spec))
    # That key is a word of Python, and has been read.
    form = reader.form(spec.without(("from",)), GrantForm)
    names = [
        one.name
        for _, one in (reader.forms(form.to, GrantToForm) if form else ())
        if one.kind == "Service" and not one.group
    ]
    key = document.key
    return reader.result(
        lambda: (
            Grant(
                namespace=key.namespace,
                name=key.name,
                askers=tuple(askers),
                services=tuple(names),
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def _askers(reader: Reader, spec: MappingNode) -> Iterator[str]:
    said = spec.get("from")
    if not isinstance(said, SequenceNode) or not said.items:
        reader.fail(said or spec, "nobody is named", "add from: with kind and namespace")
        return
    for node in said.items:
        if not isinstance(node, MappingNode):
            reader.fail(
                node, f"must be a mapping, not {node.kind}", "write {group, kind, namespace}"
            )
            continue
        reader.errors += node.unknown(("group", "kind", "namespace"))
        kind, namespace = node.get("kind"), node.get("namespace")
        if isinstance(kind, ScalarNode) and isinstance(namespace, ScalarNode):
            yield f"{kind.text}/{namespace.text}"
        else:
            reader.fail(node, "kind or namespace is missing", "write both")
