"""``prometheus``: metrics for Prometheus to scrape."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._series import Buckets, Kind, unsuitable
from meshregistry.mixer.spi import METRIC, Handler, MixerAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SANITISED = str.maketrans({"/": "_", ".": "_", " ": "_", "-": None})
PORT: Final = 42422
"""Where metrics are served unless something else is said, as by the original."""


@frozen(kw_only=True)
class PrometheusMetric:
    """One metric.

    Attributes:
        instance_name: the full name of the instance, such as ``hits.instance.istio-system``.
        name: default: that of the instance.
        description: the help text; default: the name.
        kind: what is done with values.
        buckets: of a distribution.
        label_names: exactly the dimensions of the instance.
        namespace: stands before the name.
    """

    instance_name: str
    name: str = ""
    description: str = ""
    kind: Kind = "UNSPECIFIED"
    buckets: Buckets = field(factory=Buckets)
    label_names: tuple[str, ...] = ()
    namespace: str = "istio"

    @property
    def full_name(self) -> str:
        """As Prometheus knows it: without what it cannot have in names."""
        own = (self.name or self.instance_name).removeprefix("/")
        return "_".join(one for one in (self.namespace, own) if one).translate(_SANITISED)


@frozen(kw_only=True)
class ExpirationPolicy:
    """When series are forgotten.

    Attributes:
        metrics_expiry_duration: that long without an observation.
        expiry_check_interval_duration: how often that is looked at; 0: half of that.
    """

    metrics_expiry_duration: Seconds
    expiry_check_interval_duration: Seconds = Seconds(0.0)

    @property
    def interval(self) -> float:
        """Seconds between two looks."""
        return self.expiry_check_interval_duration or self.metrics_expiry_duration / 2


@frozen(kw_only=True)
class PrometheusConfig:
    """Parameters of ``prometheus``.

    Attributes:
        metrics: what becomes of each instance.
        metrics_expiration_policy: default: series stay.
        port: where ``/metrics`` is served, for all handlers of a server together; 0: one
            that is free. Default: with the metrics of the program if it offers that, else
            42422.
        host: the address to listen on; default: this machine only; empty: all.
        max_series: how many series one metric may have; observations for more are refused
            and counted.
    """

    metrics: tuple[PrometheusMetric, ...] = ()
    metrics_expiration_policy: ExpirationPolicy | None = None
    port: int | None = None
    host: str = "127.0.0.1"
    max_series: int = 100_000


def _faults(config: PrometheusConfig, instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    for what, listed in (
        ("name", [one.full_name for one in config.metrics]),
        ("instance", [one.instance_name for one in config.metrics]),
    ):
        for name, count in Counter(listed).items():
            if count > 1:
                yield f"metrics: the {what} {name} is there {count} times; give each its own"
    for metric in config.metrics:
        for fault in _metric_faults(metric, instances.get(metric.instance_name)):
            yield f"metrics: {metric.full_name}: {fault}"
    yield from unsuitable(instances, [one.instance_name for one in config.metrics])
    policy = config.metrics_expiration_policy
    if policy is not None and policy.metrics_expiry_duration <= 0:
        yield "metrics_expiration_policy: metricsExpiryDuration must be more than 0, such as 10m"
    if config.port is not None and not 0 <= config.port < 2**16:
        yield "port: must be from 0 to 65535"
    if config.max_series < 1:
        yield "max_series: must be at least 1"


def _metric_faults(metric: PrometheusMetric, instance: InstanceTypes | None) -> Iterable[str]:
    if not _NAME.fullmatch(metric.full_name):
        yield "this cannot be a name; use letters, digits and _"
    if metric.kind == "UNSPECIFIED":
        yield "it has no kind; write kind: COUNTER, GAUGE or DISTRIBUTION"
    if metric.kind == "DISTRIBUTION":
        yield from metric.buckets.faults()
    for label in metric.label_names:
        reserved = "le" if metric.kind == "DISTRIBUTION" else ""
        if not _LABEL.fullmatch(label) or label.startswith("__") or label == reserved:
            yield f"{label} cannot be a label; use letters, digits and _, another word than le"
    for label, count in Counter(metric.label_names).items():
        if count > 1:
            yield f"the label {label} is there {count} times"
    if instance is not None and set(metric.label_names) != set(instance.dimensions()):
        wanted = ", ".join(sorted(instance.dimensions())) or "none"
        yield f"its labels are not the dimensions of {metric.instance_name}; those are: {wanted}"


def _open(config: PrometheusConfig, context: HandlerContext) -> Handler:
    module = imported("meshregistry.mixer.adapters._exposition", "mixer-server")
    handler: Handler = module.PrometheusHandler(config, context)
    return handler


PROMETHEUS: Final = MixerAdapter(
    name="prometheus",
    config_class=PrometheusConfig,
    templates=(METRIC,),
    open=_open,
    check=_faults,
    summary="metrics for Prometheus to scrape",
)
