"""WorkloadGroup documents: how their probes are written, and who belongs to them.

The reference is networking.istio.io's WorkloadGroup, whose probe is Kubernetes' readiness
probe. There the agent on the machine asks; here it is the pilot, from where it stands.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge, in_, le, min_len

from meshregistry.documents import MappingNode, ScalarNode, SequenceNode, attempt
from meshregistry.registries._probe import GrpcCheck, HttpGet, Probe, TcpConnect

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode
    from meshregistry.errors import ConfigError

GROUP_ANNOTATION = "istio.io/autoRegistrationGroup"
"""What Istio writes on a WorkloadEntry that it has made for a group."""

_IS_PORT = [ge(1), le(65535)]
_CHECKS = "httpGet, tcpSocket or grpc"


@frozen(kw_only=True)
class _GroupMetadata:
    labels: dict[str, str] = field(factory=dict)
    annotations: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class GroupForm:
    """The spec of a WorkloadGroup."""

    template: Any
    metadata: _GroupMetadata = field(factory=_GroupMetadata)
    probe: Any = None


@frozen(kw_only=True)
class _Header:
    name: str = field(validator=min_len(1))
    value: str = ""


@frozen(kw_only=True)
class _Http:
    port: int = field(validator=_IS_PORT)
    path: str = "/"
    host: str = ""
    scheme: str = field(default="HTTP", validator=in_(("HTTP", "HTTPS", "http", "https")))
    headers: tuple[_Header, ...] = field(default=(), alias="httpHeaders")


@frozen(kw_only=True)
class _Tcp:
    port: int = field(validator=_IS_PORT)
    host: str = ""


@frozen(kw_only=True)
class _Grpc:
    port: int = field(validator=_IS_PORT)
    service: str = ""


@frozen(kw_only=True)
class _Probe:
    # 0 is what an unset number is on the wire: the default counts.
    initial_delay: int = field(default=0, alias="initialDelaySeconds", validator=ge(0))
    timeout: int = field(default=0, alias="timeoutSeconds", validator=ge(0))
    period: int = field(default=0, alias="periodSeconds", validator=ge(0))
    successes: int = field(default=0, alias="successThreshold", validator=ge(0))
    failures: int = field(default=0, alias="failureThreshold", validator=ge(0))
    http: _Http | None = field(default=None, alias="httpGet")
    tcp: _Tcp | None = field(default=None, alias="tcpSocket")
    grpc: _Grpc | None = None
    command: Any = field(default=None, alias="exec")


def read_probe(node: AnyNode, faults: list[ConfigError]) -> Probe | None:
    """The probe of a group; None, and faults, if there is something wrong with it."""
    form = attempt(node, _Probe, faults)
    if form is None:
        return None
    if form.command is not None:
        place = (node.get("exec") if isinstance(node, MappingNode) else None) or node
        faults.append(
            place.fault(
                "exec is refused: the pilot probes from outside, and the command would run on "
                "the pilot's machine and not on the workload's",
                f"write {_CHECKS}",
            )
        )
        return None
    given = (_http(form.http), _tcp(form.tcp), _grpc(form.grpc))
    checks = [check for check in given if check is not None]
    if len(checks) != 1:
        what = "nothing is asked" if not checks else "several things are asked"
        faults.append(node.fault(what, f"write one of {_CHECKS}"))
        return None
    return Probe(
        check=checks[0],
        initial_delay=float(form.initial_delay),
        period=float(form.period or 10),
        timeout=float(form.timeout or 1),
        successes=form.successes or 1,
        failures=form.failures or 3,
    )


def _http(form: _Http | None) -> HttpGet | None:
    if form is None:
        return None
    headers = tuple((one.name, one.value) for one in form.headers)
    path = form.path if form.path.startswith("/") else f"/{form.path}"
    return HttpGet(form.port, path, _elsewhere(form.host), form.scheme.lower(), headers)


def _tcp(form: _Tcp | None) -> TcpConnect | None:
    return None if form is None else TcpConnect(form.port, _elsewhere(form.host))


def _grpc(form: _Grpc | None) -> GrpcCheck | None:
    return None if form is None else GrpcCheck(form.port, form.service)


def _elsewhere(host: str) -> str:
    """The host to ask; empty for the workload itself.

    Istio's agent asks on the machine itself, so a loopback host in a document means the
    workload, and never the machine of the pilot.
    """
    if host == "localhost":
        return ""
    try:
        return "" if ip_address(host).is_loopback else host
    except ValueError:
        return host


def group_of(root: MappingNode) -> str:
    """The name of the group that a WorkloadEntry belongs to; empty for none.

    As Istio writes it: in an annotation, or as the owner. Labels decide nothing here: they
    say which services select a workload, and would make members of strangers.
    """
    metadata = root.get("metadata")
    if not isinstance(metadata, MappingNode):
        return ""
    annotations = metadata.get("annotations")
    if isinstance(annotations, MappingNode):
        name = annotations.get(GROUP_ANNOTATION)
        if isinstance(name, ScalarNode):
            return name.text
    owners = metadata.get("ownerReferences")
    for owner in owners.items if isinstance(owners, SequenceNode) else ():
        if isinstance(owner, MappingNode) and _text(owner, "kind") == "WorkloadGroup":
            return _text(owner, "name")
    return ""


def _text(node: MappingNode, key: str) -> str:
    found = node.get(key)
    return found.text if isinstance(found, ScalarNode) else ""
