"""What users write under a source of the kind ``kubernetes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, instance_of, le

from meshregistry.errors import ConfigError
from meshregistry.spi import Path, Seconds

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator


@frozen(kw_only=True)
class KubernetesConfig:
    """The options of one source, which is one cluster.

    Attributes:
        kubeconfig: file with the cluster's address and credentials; without it the service
            account of the pod is used, and outside a pod ``$KUBECONFIG`` or
            ``~/.kube/config``.
        context: the context in that file; default: its current one.
        namespaces: follow only these; then no right at cluster scope is needed.
        exclude_namespaces: leave these out, on the server's side.
        namespace_selector: follow only namespaces whose labels match.
        label_selector: follow only services whose labels match, on the server's side.
        pod_label_selector: read only pods whose labels match, on the server's side.
        cluster_domain: what host names end in after ``.svc.``; default: the mesh's domain.
        trust_domain: of workload identities; default: the same.
        endpoints: read EndpointSlices, the old Endpoints, or slices if the server has them.
        pods: read pods, for labels and workload identities.
        nodes: read nodes, for localities and node ports; default: unless `namespaces` are given.
        addresses: reach services at their pods, or from outside the cluster at load
            balancers and node ports.
        ip_family: of a pod with several addresses: the service's first family, the named
            one, or each of its addresses as an endpoint.
        pod_wait: how long an endpoint whose pod is not known yet is held back.
        page_size: objects in each page of a listing.
        watch_timeout: a watch lasts between this and twice this time, then it is renewed.
        request_timeout: how long the server may take to answer.
        retry_max: the longest pause between two attempts while the server is away.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    exclude_namespaces: tuple[str, ...] = ()
    namespace_selector: str = ""
    label_selector: str = ""
    pod_label_selector: str = ""
    cluster_domain: str | None = None
    trust_domain: str | None = None
    endpoints: Literal["auto", "slices", "endpoints"] = "auto"
    pods: bool = True
    nodes: bool | None = None
    addresses: Literal["pods", "external"] = "pods"
    ip_family: Literal["first", "IPv4", "IPv6", "all"] = "first"
    pod_wait: Seconds = field(default=Seconds(2.0), validator=ge(Seconds(0.0)))
    page_size: int = field(default=500, validator=and_(instance_of(int), ge(1), le(10_000)))
    watch_timeout: Seconds = field(default=Seconds(300.0), validator=ge(Seconds(1.0)))
    request_timeout: Seconds = field(default=Seconds(30.0), validator=gt(Seconds(0.0)))
    retry_max: Seconds = field(default=Seconds(30.0), validator=gt(Seconds(0.0)))

    @property
    def reads_nodes(self) -> bool:
        """Whether nodes are read: they exist at cluster scope only."""
        return not self.namespaces if self.nodes is None else self.nodes


@frozen(kw_only=True)
class KubernetesRulesConfig:
    """What users write under a rule source of this kind, beside the registry's options.

    Attributes:
        discovery_interval: how often to look for definitions of custom resources that were
            not there before.
    """

    discovery_interval: Seconds = field(default=Seconds(30.0), validator=ge(Seconds(0.1)))


def check(config: KubernetesConfig, base_path: pathlib.Path) -> Iterator[ConfigError]:
    """What of the options cannot be right on this machine, without asking any cluster."""
    if config.kubeconfig is not None and not (base_path / config.kubeconfig.expanduser()).is_file():
        yield ConfigError(
            f"there is no file {str(config.kubeconfig)!r}",
            field="kubeconfig",
            remedy="name the file that kubectl uses, or leave the option out inside a pod",
        )
