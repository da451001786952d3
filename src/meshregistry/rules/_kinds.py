"""Every kind of routing document, and the door to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.documents import suggestion
from meshregistry.rules._alpha_documents import destination_policy, route_rule
from meshregistry.rules._alpha_forms import DestinationPolicyForm, RouteRuleForm
from meshregistry.rules._decision_documents import (
    DrainForm,
    LossAcceptanceForm,
    SourceShiftForm,
    drain,
    loss_acceptance,
    source_shift,
)
from meshregistry.rules._environment_documents import EnvironmentForm, environment
from meshregistry.rules._forms import field_notes
from meshregistry.rules._gateway_api_forms import (
    GrpcRouteForm,
    HttpRouteForm,
    TcpRouteForm,
    TlsRouteForm,
)
from meshregistry.rules._gateway_api_gateway import (
    GatewayForm as GatewayApiForm,
)
from meshregistry.rules._gateway_api_gateway import (
    GrantForm,
    kubernetes_gateway,
    reference_grant,
)
from meshregistry.rules._gateway_api_routes import grpc_route, http_route, tcp_route, tls_route
from meshregistry.rules._ingress import IngressForm, ingress
from meshregistry.rules._istio_destination_rule import destination_rule
from meshregistry.rules._istio_forms import VirtualServiceForm
from meshregistry.rules._istio_gateway import GatewayForm, gateway
from meshregistry.rules._istio_policy_forms import DestinationRuleForm
from meshregistry.rules._istio_proxy_config import ProxyConfigForm, proxy_config
from meshregistry.rules._istio_security import (
    AuthorizationPolicyForm,
    PeerAuthenticationForm,
    RequestAuthenticationForm,
    authorization_policy,
    peer_authentication,
    request_authentication,
)
from meshregistry.rules._istio_sidecar import SidecarForm, sidecar
from meshregistry.rules._istio_virtual_service import virtual_service
from meshregistry.rules._reading import Reading, RuleKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.documents import RuleDocument

_ISTIO = ("v1", "v1beta1", "v1alpha3")


def _kind(
    group: str,
    kind: str,
    read: Callable[[RuleDocument, str], Reading],
    form: type[Any],
    versions: tuple[str, ...],
) -> RuleKind:
    fields = tuple(field_notes(form))
    return RuleKind(group=group, kind=kind, versions=versions, read=read, fields=fields)


RULE_KINDS: tuple[RuleKind, ...] = (
    _kind("networking.istio.io", "VirtualService", virtual_service, VirtualServiceForm, _ISTIO),
    _kind("networking.istio.io", "DestinationRule", destination_rule, DestinationRuleForm, _ISTIO),
    _kind("networking.istio.io", "Gateway", gateway, GatewayForm, _ISTIO),
    _kind("networking.istio.io", "Sidecar", sidecar, SidecarForm, _ISTIO),
    _kind("networking.istio.io", "ProxyConfig", proxy_config, ProxyConfigForm, ("v1", "v1beta1")),
    *(
        _kind("security.istio.io", kind, read, form, ("v1", "v1beta1"))
        for kind, read, form in (
            ("PeerAuthentication", peer_authentication, PeerAuthenticationForm),
            ("RequestAuthentication", request_authentication, RequestAuthenticationForm),
            ("AuthorizationPolicy", authorization_policy, AuthorizationPolicyForm),
        )
    ),
    *(
        _kind("gateway.networking.k8s.io", kind, read, form, versions)
        for kind, read, form, versions in (
            ("Gateway", kubernetes_gateway, GatewayApiForm, ("v1", "v1beta1")),
            ("HTTPRoute", http_route, HttpRouteForm, ("v1", "v1beta1")),
            ("GRPCRoute", grpc_route, GrpcRouteForm, ("v1",)),
            ("TLSRoute", tls_route, TlsRouteForm, ("v1", "v1alpha3", "v1alpha2")),
            ("TCPRoute", tcp_route, TcpRouteForm, ("v1", "v1alpha2")),
            ("ReferenceGrant", reference_grant, GrantForm, ("v1", "v1beta1")),
        )
    ),
    _kind("config.istio.io", "RouteRule", route_rule, RouteRuleForm, ("v1alpha2",)),
    _kind(
        "config.istio.io",
        "DestinationPolicy",
        destination_policy,
        DestinationPolicyForm,
        ("v1alpha2",),
    ),
    _kind("networking.k8s.io", "Ingress", ingress, IngressForm, ("v1",)),
    *(
        _kind("meshregistry.dev", kind, read, form, ("v1",))
        for kind, read, form in (
            ("Environment", environment, EnvironmentForm),
            ("SourceShift", source_shift, SourceShiftForm),
            ("Drain", drain, DrainForm),
            ("LossAcceptance", loss_acceptance, LossAcceptanceForm),
        )
    ),
)
"""The kinds that are read, with their fields."""

_ELSEWHERE = {
    "ServiceEntry": "put it into a source of the kind file: it describes services",
    "WorkloadEntry": "put it into a source of the kind file: it describes services",
    "EgressRule": "put it into a source of the kind file: it describes a service",
    "EnvoyFilter": "write a plugin with a resource patch, docs/how-to/patch-resources.md",
}


def read_rules(document: RuleDocument, domain: str) -> Reading:
    """Understand a routing document; never raises for what is in it.

    Args:
        document: the document.
        domain: of the mesh, with which short host names are completed.
    """
    key = document.key
    known = next(
        (one for one in RULE_KINDS if (one.group, one.kind) == (key.group, key.kind)), None
    )
    if known is None:
        place = document.root.get("kind") or document.root
        remedy = _ELSEWHERE.get(key.kind) or suggestion(key.kind, [one.kind for one in RULE_KINDS])
        reason = f"{key.kind} of {key.group or 'no API group'} is not a routing document"
        return Reading(errors=(place.fault(reason, remedy),))
    if document.version not in known.versions:
        place = document.root.get("apiVersion") or document.root
        reason = f"the version {document.version!r} of {key.kind} is not known"
        remedy = f"write {known.group}/{known.versions[0]}"
        return Reading(errors=(place.fault(reason, remedy),))
    return known.read(document, domain)
