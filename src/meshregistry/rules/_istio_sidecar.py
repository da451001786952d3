"""Sidecar of networking.istio.io: what some workloads see, and where they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import and_, ge, in_, le, min_len

from meshregistry.documents import MappingNode
from meshregistry.model import Labels, Protocol, Selector
from meshregistry.rules._forms import Reader, idle, refused, texts, works
from meshregistry.rules._gateways import EgressListener, IngressListener, SidecarScope
from meshregistry.rules._mesh import OutboundTrafficPolicy

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

_MODES = tuple(one.value for one in OutboundTrafficPolicy)
_SOCKET = "unix://"
_LOCAL = ("127.0.0.1", "[::1]")
_HIGHEST_PORT = 65535


@frozen(kw_only=True)
class SelectorForm:
    """WorkloadSelector."""

    labels: dict[str, str] = field(validator=min_len(1))


@frozen(kw_only=True)
class PortForm:
    """SidecarPort."""

    number: int = field(validator=and_(ge(1), le(_HIGHEST_PORT)))
    protocol: str = works("of ingress; of egress, the service's counts", default="TCP")
    name: str = works("", default="")
    target: Any = idle("it is deprecated in Istio, too", alias="targetPort")


@frozen(kw_only=True)
class IngressForm:
    """IstioIngressListener."""

    port: PortForm | None = works("at the proxy's addresses in the catalog", form=PortForm)
    bind: Any = refused("listeners are at the proxy's addresses", "leave it out")
    capture: Any = idle("there is no interception", alias="captureMode")
    endpoint: str = works(
        "127.0.0.1:PORT, [::1]:PORT or unix:///path; default: the same port",
        default="",
        alias="defaultEndpoint",
    )
    tls: Any = refused("listeners of workloads do not speak TLS yet", "leave it out")
    pool: Any = refused("limits cannot be set here", "leave it out", alias="connectionPool")


@frozen(kw_only=True)
class EgressForm:
    """IstioEgressListener."""

    port: PortForm | None = works("only this port of the hosts", form=PortForm)
    bind: Any = refused("listeners are at 127.0.0.1", "leave it out")
    capture: Any = idle("there is no interception", alias="captureMode")
    hosts: tuple[str, ...] = works(
        "namespace/host; ./ is the workload's own, */ any, ~/ none", validator=min_len(1)
    )


@frozen(kw_only=True)
class OutboundForm:
    """OutboundTrafficPolicy."""

    mode: str = field(default="REGISTRY_ONLY", validator=in_(_MODES))
    proxy: Any = refused(
        "unknown hosts cannot be sent to a proxy", "leave it out", alias="egressProxy"
    )


@frozen(kw_only=True)
class SidecarForm:
    """Sidecar."""

    selector: SelectorForm | None = works(
        "default: all others of the namespace", form=SelectorForm, alias="workloadSelector"
    )
    ingress: tuple[Any, ...] = works("instead of the services' ports", form=IngressForm, default=())
    egress: tuple[Any, ...] = works("default: all that is exported", form=EgressForm, default=())
    outbound: OutboundForm | None = works(
        "default: the mesh's", form=OutboundForm, alias="outboundTrafficPolicy"
    )
    pool: Any = refused("limits cannot be set here", "leave it out", alias="inboundConnectionPool")


def sidecar(document: RuleDocument, domain: str) -> Reading:
    """Read a Sidecar."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
        return reader.result(tuple)
    form = reader.form(spec, SidecarForm)
    if form is None:
        return reader.result(tuple)
    egress = [_egress(reader, *one) for one in reader.forms(form.egress, EgressForm)]
    ingress = [_ingress(reader, *one) for one in reader.forms(form.ingress, IngressForm)]
    key = document.key
    return reader.result(
        lambda: (
            SidecarScope(
                namespace=key.namespace,
                name=key.name,
                selector=Selector(Labels(form.selector.labels)) if form.selector else None,
                egress=tuple(egress),
                ingress=tuple(one for one in ingress if one is not None),
                outbound=OutboundTrafficPolicy(form.outbound.mode) if form.outbound else None,
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def _egress(reader: Reader, node: AnyNode, form: EgressForm) -> EgressListener:
    places = texts(node.get("hosts") if isinstance(node, MappingNode) else None)
    for place, text in places:
        home, slash, host = text.partition("/")
        if not (slash and home and host):
            reader.fail(place, f"{text!r} names no namespace", "write namespace/host or */host")
        elif "*" in host.removeprefix("*"):
            reader.fail(place, f"{host!r} is not a host", "write a host, *.suffix or *")
    hosts = tuple(host.lower() for host in form.hosts)
    return EgressListener(hosts=hosts, port=form.port.number if form.port else None)


def _ingress(reader: Reader, node: AnyNode, form: IngressForm) -> IngressListener | None:
    if form.port is None:
        reader.fail(node, "the port is missing", "add port: {number: 8080, protocol: HTTP}")
        return None
    place = (node.get("defaultEndpoint") if isinstance(node, MappingNode) else None) or node
    address, _, port = form.endpoint.rpartition(":")
    is_local = address in _LOCAL and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT
    if form.endpoint and not form.endpoint.startswith(_SOCKET) and not is_local:
        reader.fail(
            place,
            f"{form.endpoint!r} is not where a workload can be reached",
            "write 127.0.0.1:PORT, [::1]:PORT or unix:///path",
        )
    return IngressListener(
        port=form.port.number,
        protocol=Protocol.parse(form.port.protocol),
        default_endpoint=form.endpoint,
    )
