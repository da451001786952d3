"""Ingress of Kubernetes (networking.k8s.io): plain HTTP at every router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import in_, min_len

from meshregistry.documents import MappingNode, ScalarNode
from meshregistry.model import Hostname
from meshregistry.rules._forms import Reader, idle, refused, works
from meshregistry.rules._gateways import Gateway, GatewayServer
from meshregistry.rules._istio_actions import refused as is_refused
from meshregistry.rules._matches import HttpMatch, TextMatch, TextMatchKind
from meshregistry.rules._routes import Destination, HttpRoute, RouteRule, WeightedDestination
from meshregistry.rules._wire import text_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

_OURS = ("", "istio", "meshregistry")
_ANNOTATION = "kubernetes.io/ingress.class"
_PORT = 80
_TYPES = ("Exact", "Prefix", "ImplementationSpecific")


@frozen(kw_only=True)
class PortForm:
    """ServiceBackendPort."""

    number: int | None = works("", default=None)
    name: Any = refused("ports are not found by name", "write number:")


@frozen(kw_only=True)
class ServiceForm:
    """IngressServiceBackend."""

    name: str = field(validator=min_len(1))
    port: PortForm | None = works("", form=PortForm)


@frozen(kw_only=True)
class BackendForm:
    """IngressBackend."""

    service: ServiceForm | None = works("", form=ServiceForm)
    resource: Any = refused("only services can be backends", "write service:")


@frozen(kw_only=True)
class PathForm:
    """HTTPIngressPath."""

    path: str = works("default: all", default="")
    type: str = works(
        "Exact, Prefix (by segments) or ImplementationSpecific (.* at the end: a prefix)",
        default="ImplementationSpecific",
        alias="pathType",
        validator=in_(_TYPES),
    )
    backend: Any = works("", form=BackendForm)


@frozen(kw_only=True)
class PathsForm:
    """HTTPIngressRuleValue."""

    paths: tuple[Any, ...] = works("exact ones first, then longer ones", form=PathForm, default=())


@frozen(kw_only=True)
class RuleForm:
    """IngressRule."""

    host: str = works("default: any", default="")
    http: PathsForm | None = works("", form=PathsForm)


@frozen(kw_only=True)
class IngressForm:
    """Ingress."""

    ingress_class: str = works(
        "istio, meshregistry or none; others are left alone", default="", alias="ingressClassName"
    )
    backend: Any = works("for what no rule takes", form=BackendForm, alias="defaultBackend")
    rules: tuple[Any, ...] = works("", form=RuleForm, default=())
    tls: Any = idle("certificates cannot be had by name: write a Gateway with files")


def ingress(document: RuleDocument, domain: str) -> Reading:
    """Read an Ingress: a gateway at port 80 of every router, and routes for it."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    form = None if spec is None else reader.form(spec, IngressForm)
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
    if form is None or spec is None:
        return reader.result(tuple)
    wanted = form.ingress_class or _annotated(document.root)
    if wanted not in _OURS:
        reader.warn(spec, f"is for the class {wanted} and has no effect", "write class istio")
        return reader.result(tuple)
    rules = list(_rules(reader, spec, form))
    key = document.key
    name = f"ingress-{key.name}"
    gateway = Gateway(
        namespace=key.namespace,
        name=name,
        servers=(
            GatewayServer(
                port=_PORT,
                port_name="http",
                hosts=(f"{key.namespace}/*",),
                origin=reader.origin(spec),
            ),
        ),
        created=document.created,
        origin=reader.origin(document.root),
    )
    return reader.result(
        lambda: (
            gateway,
            *(
                RouteRule(
                    namespace=key.namespace,
                    name=f"{key.name}-{index}",
                    hosts=(host,),
                    gateways=(gateway.key,),
                    http=routes,
                    created=document.created,
                    origin=reader.origin(document.root),
                )
                for index, (host, routes) in enumerate(rules)
            ),
        )
    )


def _annotated(root: MappingNode) -> str:
    metadata = root.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, MappingNode) else None
    found = annotations.get(_ANNOTATION) if isinstance(annotations, MappingNode) else None
    return found.text if isinstance(found, ScalarNode) else ""


def _rules(
    reader: Reader, spec: AnyNode, form: IngressForm
) -> Iterator[tuple[str, tuple[HttpRoute, ...]]]:
    """Each host with its routes; what a host does not take, the default backend does."""
    rest = () if form.backend is None else tuple(_forwarded(reader, form.backend, HttpMatch()))
    by_host: dict[str, list[HttpRoute]] = {}
    for node, rule in reader.forms(form.rules, RuleForm):
        host = rule.host or "*"
        try:
            host = host if host == "*" else Hostname(host)
        except ValueError as error:
            reader.fail(node, str(error), "write a host name")
            continue
        routes = by_host.setdefault(host, [])
        for place, path in reader.forms(rule.http.paths if rule.http else (), PathForm):
            if path.backend is None:
                reader.fail(place, "the backend is missing", "add backend: {service: …}")
            else:
                routes += _forwarded(reader, path.backend, _match(reader, place, path))
    if not by_host and not rest:
        reader.fail(spec, "there is neither a rule nor a default backend", "add rules:")
    if rest:
        by_host.setdefault("*", [])
    for host, routes in by_host.items():
        yield host, (*sorted(routes, key=_rank), *rest)


def _rank(route: HttpRoute) -> tuple[bool, int]:
    path = route.matches[0].path if route.matches else None
    is_exact = path is not None and path.kind is TextMatchKind.EXACT
    return (not is_exact, -len(path.value) if path else 0)


def _match(reader: Reader, node: AnyNode, form: PathForm) -> HttpMatch:
    text = form.path
    is_refused(reader, node, text_fault(text))
    if not text:
        return HttpMatch()
    if not text.startswith("/"):
        reader.fail(node, f"the path {text!r} is relative", "begin it with /")
    kind = TextMatchKind.EXACT
    if form.type == "Prefix":
        kind = TextMatchKind.SEGMENTS
    elif form.type == "ImplementationSpecific" and text.endswith(".*"):
        kind, text = TextMatchKind.PREFIX, text.removesuffix(".*")
    return HttpMatch(path=TextMatch(kind, text))


def _forwarded(reader: Reader, node: AnyNode, match: HttpMatch) -> Iterator[HttpRoute]:
    form = reader.form(node, BackendForm)
    if form is None:
        return
    service = form.service
    if service is None or service.port is None or service.port.number is None:
        reader.fail(node, "the service or its port is missing", "write service: {name, port}")
        return
    host = f"{service.name}.{reader.document.key.namespace}.svc.{reader.domain}"
    target = Destination(Hostname(host), "", service.port.number)
    yield HttpRoute(
        matches=(match,),
        destinations=(WeightedDestination(destination=target),),
        origin=reader.origin(node),
    )
