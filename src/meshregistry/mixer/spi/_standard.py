"""The templates of Istio 1.4, with the classes of their instances."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import frozen

from meshregistry.mixer._attributes import Value, ValueType
from meshregistry.mixer.spi._template import (
    Instance,
    Template,
    Variety,
    any_by_name,
    any_value,
    nested,
    typed,
)

_INT64, _BOOL, _IP, _TIME = (
    ValueType.INT64,
    ValueType.BOOL,
    ValueType.IP_ADDRESS,
    ValueType.TIMESTAMP,
)


@frozen(kw_only=True)
class CheckNothing(Instance):
    """A check without data."""


@frozen(kw_only=True)
class ReportNothing(Instance):
    """A report without data."""


@frozen(kw_only=True)
class ListEntry(Instance):
    """A value that is looked for in a list: a text or an IP address."""

    value: Value | None = any_value(1)


@frozen(kw_only=True)
class Quota(Instance):
    """What a quota is kept for: each set of dimensions has its own."""

    dimensions: Mapping[str, Value] = any_by_name(1)


@frozen(kw_only=True)
class Metric(Instance):
    """One observation of a metric."""

    value: Value | None = any_value(1)
    dimensions: Mapping[str, Value] = any_by_name(2)
    monitored_resource_type: str = typed(3)
    monitored_resource_dimensions: Mapping[str, Value] = any_by_name(4)


@frozen(kw_only=True)
class LogEntry(Instance):
    """One record of a log."""

    variables: Mapping[str, Value] = any_by_name(1)
    timestamp: datetime | None = typed(2, _TIME)
    severity: str = typed(3)
    monitored_resource_type: str = typed(4)
    monitored_resource_dimensions: Mapping[str, Value] = any_by_name(5)


@frozen(kw_only=True)
class ApiKey(Instance):
    """An API key with what it is used for."""

    api: str = typed(1)
    api_version: str = typed(2)
    api_operation: str = typed(3)
    api_key: str = typed(4)
    timestamp: datetime | None = typed(5, _TIME)


@frozen(kw_only=True)
class Subject:
    """Who wants something."""

    user: str = typed(1)
    groups: str = typed(2)
    properties: Mapping[str, Value] = any_by_name(3)


@frozen(kw_only=True)
class Action:
    """What somebody wants to do."""

    namespace: str = typed(1)
    service: str = typed(2)
    method: str = typed(3)
    path: str = typed(4)
    properties: Mapping[str, Value] = any_by_name(5)


@frozen(kw_only=True)
class Authorization(Instance):
    """Somebody who wants to do something."""

    subject: Subject = nested(1, Subject)
    action: Action = nested(2, Action)


@frozen(kw_only=True)
class TraceSpan(Instance):
    """One span of a trace."""

    trace_id: str = typed(1)
    span_id: str = typed(2)
    parent_span_id: str = typed(3)
    span_name: str = typed(4)
    start_time: datetime | None = typed(5, _TIME)
    end_time: datetime | None = typed(6, _TIME)
    span_tags: Mapping[str, Value] = any_by_name(7)
    http_status_code: int = typed(8, _INT64)
    client_span: bool = typed(9, _BOOL)
    rewrite_client_span_id: bool = typed(10, _BOOL)
    source_name: str = typed(11)
    source_ip: bytes = typed(12, _IP)
    destination_name: str = typed(13)
    destination_ip: bytes = typed(14, _IP)
    request_size: int = typed(15, _INT64)
    request_total_size: int = typed(16, _INT64)
    response_size: int = typed(17, _INT64)
    response_total_size: int = typed(18, _INT64)
    api_protocol: str = typed(19)


@frozen(kw_only=True)
class Edge(Instance):
    """That one workload calls another."""

    timestamp: datetime | None = typed(1, _TIME)
    source_workload_namespace: str = typed(10)
    source_workload_name: str = typed(11)
    source_owner: str = typed(12)
    source_uid: str = typed(13)
    destination_workload_namespace: str = typed(20)
    destination_workload_name: str = typed(21)
    destination_owner: str = typed(22)
    destination_uid: str = typed(23)
    destination_service_namespace: str = typed(24)
    destination_service_name: str = typed(25)
    context_protocol: str = typed(30)
    api_protocol: str = typed(31)


@frozen(kw_only=True)
class Kubernetes(Instance):
    """By what workloads are looked up; the name is the original's, the catalog is ours."""

    source_uid: str = typed(1)
    source_ip: bytes = typed(2, _IP)
    destination_uid: str = typed(3)
    destination_ip: bytes = typed(4, _IP)
    destination_port: int = typed(7, _INT64)


_SIDE: Mapping[str, ValueType] = {
    "pod_uid": ValueType.STRING,
    "pod_ip": _IP,
    "pod_name": ValueType.STRING,
    "labels": ValueType.STRING_MAP,
    "namespace": ValueType.STRING,
    "service_account_name": ValueType.STRING,
    "host_ip": _IP,
    "workload_uid": ValueType.STRING,
    "workload_name": ValueType.STRING,
    "workload_namespace": ValueType.STRING,
    "owner": ValueType.STRING,
}

CHECK_NOTHING: Final = Template(
    name="checknothing",
    variety=Variety.CHECK,
    instance_class=CheckNothing,
    summary="a check without data",
)
REPORT_NOTHING: Final = Template(
    name="reportnothing",
    variety=Variety.REPORT,
    instance_class=ReportNothing,
    summary="a report without data",
)
LIST_ENTRY: Final = Template(
    name="listentry",
    variety=Variety.CHECK,
    instance_class=ListEntry,
    summary="a value that is looked for in a list",
)
QUOTA: Final = Template(
    name="quota",
    variety=Variety.QUOTA,
    instance_class=Quota,
    summary="what a quota is kept for",
)
METRIC: Final = Template(
    name="metric",
    variety=Variety.REPORT,
    instance_class=Metric,
    summary="one observation of a metric",
)
LOG_ENTRY: Final = Template(
    name="logentry",
    variety=Variety.REPORT,
    instance_class=LogEntry,
    summary="one record of a log",
)
API_KEY: Final = Template(
    name="apikey",
    variety=Variety.CHECK,
    instance_class=ApiKey,
    summary="an API key with what it is used for",
)
AUTHORIZATION: Final = Template(
    name="authorization",
    variety=Variety.CHECK,
    instance_class=Authorization,
    summary="somebody who wants to do something",
)
TRACE_SPAN: Final = Template(
    name="tracespan",
    variety=Variety.REPORT,
    instance_class=TraceSpan,
    summary="one span of a trace",
)
EDGE: Final = Template(
    name="edge",
    variety=Variety.REPORT,
    instance_class=Edge,
    summary="that one workload calls another",
)
KUBERNETES: Final = Template(
    name="kubernetes",
    variety=Variety.ATTRIBUTE_GENERATOR,
    instance_class=Kubernetes,
    output={
        **{
            f"{side}_{name}": kind
            for side in ("source", "destination")
            for name, kind in _SIDE.items()
        },
        "destination_container_name": ValueType.STRING,
    },
    summary="what the catalog knows of both sides of a call",
)

TEMPLATES: Final = (
    API_KEY,
    AUTHORIZATION,
    CHECK_NOTHING,
    EDGE,
    KUBERNETES,
    LIST_ENTRY,
    LOG_ENTRY,
    METRIC,
    QUOTA,
    REPORT_NOTHING,
    TRACE_SPAN,
)
"""All of them, by name."""
