"""Envoy's response flags as the short text of its access logs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshregistry.mixer.fronts._extra import accesslog_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

FLAGS: Final[Mapping[str, str]] = {
    "failed_local_healthcheck": "LH",
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "delay_injected": "DI",
    "fault_injected": "FI",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
    "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC",
    "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI",
    "invalid_envoy_request_headers": "IH",
    "downstream_protocol_error": "DPE",
    "upstream_max_stream_duration_reached": "UMSDR",
    "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF",
    "duration_timeout": "DT",
    "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC",
    "overload_manager": "OM",
    "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
}
"""Text by field of ``ResponseFlags``."""

NONE: Final = "-"
_BY_SERVICE = accesslog_pb2.ResponseFlags.Unauthorized.Reason.EXTERNAL_SERVICE


def flags_text(flags: Any) -> str:
    """The texts of those that are set, joined by commas; ``-`` if none is."""
    return ",".join(text for name, text in FLAGS.items() if _is_set(flags, name)) or NONE


def _is_set(flags: Any, name: str) -> bool:
    value = getattr(flags, name)
    if name == "unauthorized_details":
        return bool(value.reason == _BY_SERVICE)
    return bool(value)
