"""From the API's objects what is kept of them. Pure.

Each ``keep_…`` takes a JSON object and gives a frozen value, or a `Broken` one that names the
service it belongs to. Defaults of absent fields are those of the API's own types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.model import Health, Labels, Locality
from meshregistry_kubernetes._objects import (
    HOSTNAME,
    REGION,
    SERVICE_NAME,
    SUBZONE,
    ZONE,
    Broken,
    Group,
    Kept,
    KeptNamespace,
    KeptNode,
    KeptPod,
    KeptService,
    KeptSlice,
    Key,
    ServicePort,
    SliceEndpoint,
)
from meshregistry_kubernetes._workload import workload_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_BETA = "failure-domain.beta.kubernetes.io/"
_EXPORT_TO = "networking.istio.io/exportTo"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def key_of(document: Any) -> Key:
    """Namespace and name; empty texts where the object has none."""
    metadata = _mapping(document.get("metadata") if isinstance(document, dict) else None)
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def uid_of(document: Any) -> str:
    """What tells an object from one of the same name before it."""
    metadata = _mapping(document.get("metadata") if isinstance(document, dict) else None)
    return str(metadata.get("uid") or "")


def keep_service(document: Any) -> KeptService | Broken:
    """Keep a ``v1.Service``."""
    key = key_of(document)
    try:
        return _service(key, document)
    except _MALFORMED as error:
        return Broken(key, _reason("Service", key, error), key, uid_of(document))


def keep_slice(document: Any) -> KeptSlice | Broken:
    """Keep a ``discovery.k8s.io/v1.EndpointSlice``.

    Its service is named by a label, never by its own name. FQDN slices have no defined
    meaning and hold nothing for us.
    """
    key = key_of(document)
    service = (key[0], str(_labels(document).get(SERVICE_NAME) or ""))
    try:
        groups: tuple[Group, ...] = ()
        if document["addressType"] != "FQDN":
            ports = tuple(
                (port.get("name") or "", _port(port["port"]) if port.get("port") else None)
                for port in document.get("ports") or ()
            )
            endpoints = tuple(_endpoint(one) for one in document.get("endpoints") or ())
            groups = (Group(ports, endpoints),)
        return KeptSlice(key, service, groups, uid_of(document))
    except _MALFORMED as error:
        return Broken(key, _reason("EndpointSlice", key, error), service, uid_of(document))


def keep_endpoints(document: Any) -> KeptSlice | Broken:
    """Keep a ``v1.Endpoints``: each subset is its addresses times its ports."""
    key = key_of(document)
    try:
        groups = tuple(_subset(subset) for subset in document.get("subsets") or ())
        return KeptSlice(key, key, groups, uid_of(document))
    except _MALFORMED as error:
        return Broken(key, _reason("Endpoints", key, error), key, uid_of(document))


def keep_pod(document: Any) -> KeptPod | Broken:
    """Keep a ``v1.Pod``."""
    key = key_of(document)
    try:
        account = str(_mapping(document.get("spec")).get("serviceAccountName") or "")
        host = str(_mapping(document.get("status")).get("hostIP") or "")
        labels, metadata = _copied(_labels(document)), _mapping(document.get("metadata"))
        workload = workload_of(key[1], labels, metadata.get("ownerReferences") or ())
        return KeptPod(key, uid_of(document), labels, account, host, workload)
    except _MALFORMED as error:
        return Broken(key, _reason("Pod", key, error), uid=uid_of(document))


def keep_node(document: Any) -> KeptNode | Broken:
    """Keep a ``v1.Node`` or its metadata; the labels of GA count before those of beta."""
    key = key_of(document)
    try:
        labels = _labels(document)
        status = _mapping(document.get("status"))
        addresses = [(one["type"], one["address"]) for one in status.get("addresses") or ()]
        ready = [one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"]
        return KeptNode(
            key=key,
            uid=uid_of(document),
            locality=Locality(
                str(labels.get(REGION) or labels.get(f"{_BETA}region") or ""),
                str(labels.get(ZONE) or labels.get(f"{_BETA}zone") or ""),
                str(labels.get(SUBZONE) or ""),
            ),
            hostname=str(labels.get(HOSTNAME) or key[1]),
            external_ips=tuple(at for kind, at in addresses if kind == "ExternalIP"),
            internal_ips=tuple(at for kind, at in addresses if kind == "InternalIP"),
            is_ready=ready in ([], ["True"]),
        )
    except _MALFORMED as error:
        return Broken(key, _reason("Node", key, error), uid=uid_of(document))


def keep_namespace(document: Any) -> KeptNamespace:
    """Keep a ``v1.Namespace`` or its metadata."""
    return KeptNamespace(key_of(document), uid_of(document))


KEEPERS: Mapping[str, Callable[[Any], Kept]] = {
    "services": keep_service,
    "endpointslices": keep_slice,
    "endpoints": keep_endpoints,
    "pods": keep_pod,
    "nodes": keep_node,
    "namespaces": keep_namespace,
}
"""Resource to what keeps its objects."""


# --- Parts of objects ---------------------------------------------------------------


def _service(key: Key, document: Any) -> KeptService:
    if not key[1]:
        msg = "metadata.name is missing"
        raise ValueError(msg)
    spec = _mapping(document.get("spec"))
    ips = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    balancer = _mapping(_mapping(document.get("status")).get("loadBalancer"))
    annotations = _mapping(_mapping(document.get("metadata")).get("annotations"))
    return KeptService(
        key=key,
        uid=uid_of(document),
        kind=spec.get("type") or "ClusterIP",
        is_headless="None" in ips,
        cluster_ips=tuple(ip for ip in ips if ip and ip != "None"),
        families=tuple(spec.get("ipFamilies") or ()),
        ports=tuple(_service_port(port) for port in spec.get("ports") or ()),
        external_name=spec.get("externalName") or "",
        external=tuple(_ingress(balancer.get("ingress") or ())),
        external_ips=tuple(spec.get("externalIPs") or ()),
        is_local=spec.get("externalTrafficPolicy") == "Local",
        labels=_copied(_labels(document)),
        export_to=_exported(annotations.get(_EXPORT_TO)),
    )


def _service_port(port: Any) -> ServicePort:
    return ServicePort(
        name=port.get("name") or "",
        number=_port(port["port"]),
        transport=port.get("protocol") or "TCP",
        app_protocol=port.get("appProtocol") or "",
        node_port=_port(port["nodePort"]) if port.get("nodePort") else 0,
    )


def _port(number: Any) -> int:
    if not isinstance(number, int) or not 0 < number < 2**16:
        msg = f"{number!r} is not a port: it must be from 1 to 65535"
        raise ValueError(msg)
    return number


def _ingress(entries: Iterable[Any]) -> Iterable[tuple[str, bool]]:
    """With the mode Proxy packets do not carry the address, so the cluster does not answer to it."""
    for entry in entries:
        if entry.get("ip"):
            yield entry["ip"], entry.get("ipMode", "VIP") == "VIP"
        elif entry.get("hostname"):
            yield entry["hostname"], False


def _exported(text: str | None) -> tuple[str, ...]:
    """A list with commas; ``~`` is nobody, and no annotation everybody."""
    if text is None:
        return ("*",)
    return tuple(word for part in text.split(",") if (word := part.strip()) and word != "~")


def _endpoint(one: Any) -> SliceEndpoint:
    reference = _mapping(one.get("targetRef"))
    is_pod = reference.get("kind") == "Pod"
    hints = _mapping(one.get("hints")).get("forZones") or ()
    # Before v1 the zone was one of the topology labels of the endpoint.
    zone = one.get("zone") or _mapping(one.get("deprecatedTopology")).get(ZONE) or ""
    return SliceEndpoint(
        address=one["addresses"][0],
        health=_health(_mapping(one.get("conditions"))),
        pod=(reference["namespace"], reference["name"]) if is_pod else None,
        pod_uid=str(reference.get("uid") or "") if is_pod else "",
        node=one.get("nodeName") or "",
        zone=zone,
        hints=tuple(sorted(hint["name"] for hint in hints)),
    )


def _health(conditions: Mapping[str, Any]) -> Health:
    """``ready`` decides; one that still serves while it terminates is draining.

    Absent conditions mean ready, serving, not terminating (the types of v1 say so).
    """
    if conditions.get("ready") in {None, True}:
        return Health.HEALTHY
    if conditions.get("terminating") is True and conditions.get("serving") in {None, True}:
        return Health.DRAINING
    return Health.UNHEALTHY


def _subset(subset: Any) -> Group:
    ports = tuple(
        (port.get("name") or "", _port(port["port"])) for port in subset.get("ports") or ()
    )
    lists = (("addresses", Health.HEALTHY), ("notReadyAddresses", Health.UNHEALTHY))
    endpoints = []
    for name, health in lists:
        for one in subset.get(name) or ():
            reference = _mapping(one.get("targetRef"))
            is_pod = reference.get("kind") == "Pod"
            endpoints.append(
                SliceEndpoint(
                    address=one["ip"],
                    health=health,
                    pod=(reference["namespace"], reference["name"]) if is_pod else None,
                    pod_uid=str(reference.get("uid") or "") if is_pod else "",
                    node=one.get("nodeName") or "",
                )
            )
    return Group(ports, tuple(endpoints))


def _mapping(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        msg = f"{value!r:.60} is no object"
        raise TypeError(msg)
    return value


def _labels(document: Any) -> Mapping[str, str]:
    return _mapping(_mapping(document.get("metadata")).get("labels"))


def _copied(labels: Mapping[str, str]) -> Labels:
    return Labels({str(name): str(value) for name, value in labels.items()})


def _reason(kind: str, key: Key, error: Exception) -> str:
    said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return f"the {kind} {'/'.join(key)} is malformed: {said}; look at it with kubectl"
