"""What a catalog tells of the workload behind an address or a uid. Pure.

Endpoints know their address, labels and identity. What else there is to know comes from
labels, which registries' adapters may give their endpoints: those of `LABELS`, Istio's, and
those of Kubernetes' stateful sets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from attrs import frozen

from meshregistry.mixer.spi import StringMap

if TYPE_CHECKING:
    from meshregistry.mixer.spi import Value
    from meshregistry.model import Catalog, Endpoint

LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "meshregistry.io/pod-name": "the name of the pod",
        "meshregistry.io/host-ip": "the address of the machine that it runs on",
        "meshregistry.io/workload-name": "the name of the deployment, or whatever made the pod; else its own",
        "meshregistry.io/workload-kind": "its kind, in the plural, such as ``deployments``",
    }
)
"""Labels of endpoints by which a registry's adapter tells what else is not known."""

_POD, _HOST, _WORKLOAD, _KIND = LABELS
_ISTIO_WORKLOAD = "service.istio.io/workload-name"
_STATEFUL_POD = "statefulset.kubernetes.io/pod-name"
_IDENTITY = re.compile(r"spiffe://[^/]+/ns/(?P<namespace>[^/]+)/sa/(?P<account>[^/]+)")
_UID = "kubernetes://"
_STATEFUL = "statefulsets"
_VERSIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("deployments", "replicasets", "daemonsets", _STATEFUL), "apps/v1"),
        **dict.fromkeys(("jobs", "cronjobs"), "batch/v1"),
        "replicationcontrollers": "v1",
    }
)
"""Group and version of each kind that owns pods; of other kinds nobody says it.

A pod that nothing made is its own workload, and has no owner.
"""


@frozen(kw_only=True)
class Workload:
    """What is known of one workload; what is not is empty.

    Attributes:
        address: packed.
        labels: of its endpoint.
        namespace: of its identity, else of its service.
        account: of its identity.
        pod: its name.
        host: the packed address of its machine.
        name: of what made the pod.
        kind: of what made the pod, in the plural.
    """

    address: bytes
    labels: Mapping[str, str]
    namespace: str = ""
    account: str = ""
    pod: str = ""
    host: bytes = b""
    name: str = ""
    kind: str = ""

    @property
    def uid(self) -> str:
        """``kubernetes://pod.namespace``."""
        return f"{_UID}{self.pod}.{self.namespace}" if self.pod and self.namespace else ""

    def outputs(self, side: str) -> Mapping[str, Value]:
        """The attributes of a side that are known."""
        home = self.namespace if self.name else ""
        version = _VERSIONS.get(self.kind, "") if home else ""
        found: dict[str, Value] = {
            "pod_uid": self.uid,
            "pod_ip": self.address,
            "pod_name": self.pod,
            "labels": StringMap(dict(self.labels)),
            "namespace": self.namespace,
            "service_account_name": self.account,
            "host_ip": self.host,
            "workload_uid": f"istio://{home}/workloads/{self.name}" if home else "",
            "workload_name": self.name,
            "workload_namespace": home,
            "owner": f"{_UID}apis/{version}/namespaces/{home}/{self.kind}/{self.name}"
            if version
            else "",
        }
        return {f"{side}_{name}": value for name, value in found.items() if value}


def by_address(catalog: Catalog, address: bytes) -> Workload | None:
    """The workload at an address; None if there is none, or several in networks of their own."""
    text = _text(address)
    if not text:
        return None
    found = [
        (endpoint, entry.service.namespace)
        for entry in catalog.at_address(text)
        for endpoint in entry.endpoints
        if endpoint.address == text
    ]
    if len({endpoint.network for endpoint, _ in found}) != 1:
        return None
    # One that says who it is goes before one that another registry knows by address only.
    return _workload(
        *max(found, key=lambda one: (bool(one[0].workload_identity), len(one[0].labels)))
    )


def by_uid(catalog: Catalog) -> Mapping[str, Workload]:
    """All workloads whose uid is known, by it."""
    found: dict[str, Workload] = {}
    for entry in catalog:
        for endpoint in entry.endpoints:
            if _POD in endpoint.labels or _STATEFUL_POD in endpoint.labels:
                workload = _workload(endpoint, entry.service.namespace)
                if workload.uid and workload.address:
                    found.setdefault(workload.uid, workload)
    return found


def _workload(endpoint: Endpoint, namespace: str | None) -> Workload:
    labels = endpoint.labels
    identity = _IDENTITY.fullmatch(endpoint.workload_identity)
    pod = labels.get(_POD, "") or labels.get(_STATEFUL_POD, "")
    name, kind = labels.get(_WORKLOAD, "") or labels.get(_ISTIO_WORKLOAD, ""), labels.get(_KIND, "")
    if not name and _STATEFUL_POD in labels:
        name, kind = labels[_STATEFUL_POD].rpartition("-")[0], _STATEFUL
    return Workload(
        address=_packed(endpoint.address),
        labels=labels,
        namespace=identity["namespace"] if identity else namespace or "",
        account=identity["account"] if identity else "",
        pod=pod,
        host=_packed(labels.get(_HOST, "")),
        name=name,
        kind=kind,
    )


def _packed(text: str) -> bytes:
    try:
        return ip_address(text).packed
    except ValueError:
        return b""


def _text(address: bytes) -> str:
    """The text of an address; empty for none, and for one of zeros."""
    if not any(address):
        return ""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
