"""What a request and a connection have in common in Envoy's access logs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.mixer import BagBuilder
from meshregistry.mixer import vocabulary as v
from meshregistry.mixer.fronts._extra import DecodeError, wrappers_pb2
from meshregistry.mixer.fronts._flags import flags_text
from meshregistry.mixer.fronts._reading import (
    EXT_AUTHZ,
    INBOUND,
    JWT,
    OUTBOUND,
    RBAC,
    duration_of,
    namespace_of,
    principal_of,
    set_service,
    set_token,
    socket_ip,
    socket_port,
    struct_of,
    texts,
    time_of,
)
from meshregistry.mixer.fronts._statics import Statics, statics
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from datetime import timedelta

    from meshregistry.mixer.fronts._reporter import Reporter

_SKIPPED = "istio.mixer"
_CLUSTER_PARTS = 4
# By what they mean for the request if they were in force.
_SHADOW = {"allowed": "200", "denied": "403"}


def begun(common: Any, reporter: Reporter) -> tuple[BagBuilder, Statics]:
    """Attributes of an ``AccessLogCommon``, and what was stated.

    What comes later wins: the proxy, stated attributes, those of the entry.
    """
    said = statics((*_state(common), *sorted(common.custom_tags.items())))
    kind = said.bag.get(v.CONTEXT_REPORTER_KIND) or reporter.kind or INBOUND
    is_inbound = kind == INBOUND
    builder = BagBuilder().set(v.CONTEXT_REPORTER_KIND, kind)
    reporter.describe(builder, is_inbound=is_inbound)
    builder.set(v.CONNECTION_MTLS, False)
    for name, value in said.bag.entries.items():
        builder.set(name, value)
    _set_ends(builder, common, is_inbound=is_inbound)
    _set_tls(builder, common.tls_properties)
    builder.set(v.CONTEXT_PROXY_ERROR_CODE, flags_text(common.response_flags))
    _set_metadata(builder, common.metadata.filter_metadata)
    return builder, said


def elapsed(common: Any) -> timedelta | None:
    """How long it took, as far as Envoy says."""
    if common.HasField("duration"):
        return duration_of(common.duration)
    if common.HasField("time_to_last_downstream_tx_byte"):
        return duration_of(common.time_to_last_downstream_tx_byte)
    return None


def set_response_time(builder: BagBuilder, common: Any, took: timedelta | None) -> None:
    """When it was over."""
    start = time_of(common.start_time)
    if start is not None and took is not None:
        try:
            builder.set(v.RESPONSE_TIME, start + took)
        except OverflowError:
            return


def _set_ends(builder: BagBuilder, common: Any, *, is_inbound: bool) -> None:
    """Where it came from and where it went; upstream of an inbound proxy is its own machine."""
    direct = common.HasField("downstream_direct_remote_address")
    remote = common.downstream_direct_remote_address if direct else common.downstream_remote_address
    builder.set(v.ORIGIN_IP, socket_ip(remote))
    to = common.downstream_local_address if is_inbound else common.upstream_remote_address
    builder.set(v.DESTINATION_IP, socket_ip(to)).set(v.DESTINATION_PORT, socket_port(to))
    parts = common.upstream_cluster.split("|")
    if len(parts) == _CLUSTER_PARTS and parts[0] == OUTBOUND and parts[3]:
        set_service(builder, parts[3])


def _set_tls(builder: BagBuilder, tls: Any) -> None:
    builder.set(v.CONNECTION_REQUESTED_SERVER_NAME, tls.tls_sni_hostname or None)
    peer = _identity(tls.peer_certificate_properties)
    if peer is not None:
        builder.set(v.SOURCE_PRINCIPAL, peer).set(v.SOURCE_USER, peer)
        builder.set(v.SOURCE_NAMESPACE, namespace_of(peer))
        builder.set(v.CONNECTION_MTLS, True)
    builder.set(v.DESTINATION_PRINCIPAL, _identity(tls.local_certificate_properties))


def _identity(certificate: Any) -> str | None:
    """The first URI of a certificate, else its first DNS name, else its subject."""
    names = certificate.subject_alt_name
    found = next((one.uri for one in names if one.uri), "") or next(
        (one.dns for one in names if one.dns), ""
    )
    return principal_of(found or certificate.subject)


def _set_metadata(builder: BagBuilder, by_filter: Any) -> None:
    """What filters have found out: a string map for each, and what is known of some."""
    for name in sorted(by_filter):
        if name == _SKIPPED:
            continue
        found = struct_of(by_filter[name])
        if name not in STANDARD and found:
            builder.set(name, texts(found))
        if name == JWT:
            set_token(builder, found)
        elif name == RBAC:
            result = found.get("shadow_engine_result")
            policy = found.get("shadow_effective_policy_id")
            if isinstance(result, str):
                code = _SHADOW.get(result, result)
                builder.set(v.RBAC_PERMISSIVE_RESPONSE_CODE, code)
            if isinstance(policy, str):
                builder.set(v.RBAC_PERMISSIVE_EFFECTIVE_POLICY_ID, policy)
        elif name == EXT_AUTHZ:
            _set_check(builder, found)


def _set_check(builder: BagBuilder, found: dict[str, Any]) -> None:
    """What our own answer to the check has said."""
    is_hit, code = found.get(v.CHECK_CACHE_HIT), found.get(v.CHECK_ERROR_CODE)
    message = found.get(v.CHECK_ERROR_MESSAGE)
    if isinstance(is_hit, bool):
        builder.set(v.CHECK_CACHE_HIT, is_hit)
    if type(code) is int:
        builder.set(v.CHECK_ERROR_CODE, code)
    if isinstance(message, str):
        builder.set(v.CHECK_ERROR_MESSAGE, message)


def _state(common: Any) -> list[tuple[str, str]]:
    """Texts that filters keep with a request, under the names that the log is to have."""
    found = []
    for name in sorted(common.filter_state_objects):
        text = wrappers_pb2.StringValue()
        value = common.filter_state_objects[name]
        if value.Is(text.DESCRIPTOR) and _unpack(value, text):
            found.append((name, text.value))
    return found


def _unpack(value: Any, text: Any) -> bool:
    try:
        return bool(value.Unpack(text))
    except DecodeError:
        return False
