"""From a neutral route to Envoy's: one for each condition (Istio's table of VirtualService)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from google.protobuf.duration_pb2 import Duration

from meshregistry.generate._naming import BLACK_HOLE_CLUSTER
from meshregistry.generate._output import packed
from meshregistry.generate._route_filters import (
    CORS,
    FAULT,
    cors_policy,
    fault_filter,
    fraction,
    nanoseconds,
)
from meshregistry.generate._route_match import matches_of, regex, route_match
from meshregistry.rules import HashOn, RedirectPort, TextMatchKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meshregistry.rules import (
        Destination,
        HashKey,
        HeaderOperations,
        HttpMatch,
        HttpRoute,
        Redirect,
        Retry,
    )

    Resolve = Callable[[Destination], str | None]
    HashKeys = Callable[[Destination], HashKey | None]

_RETRY_ON = (
    "connect-failure",
    "refused-stream",
    "reset-before-request",
    "unavailable",
    "cancelled",
)
_ATTEMPTS, _HOST_ATTEMPTS, _PRIORITY_UPDATES = 2, 5, 2
_UNAVAILABLE = 503
_AUTHORITY = (":authority", "host")
_CODES = {301: 0, 302: 1, 303: 2, 307: 3, 308: 4}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def route_messages(
    route: HttpRoute, resolve: Resolve, *, hash_keys: HashKeys
) -> Iterator[route_components_pb2.Route]:
    """One message for each condition, in order.

    Args:
        resolve: the cluster of a destination; None if there is none. Alone it is answered
            with 503; among others its share goes to a cluster without endpoints, so that
            the others are not given more than they are meant to have.
        hash_keys: what a destination is balanced by.
    """
    for match in matches_of(route):
        message = route_components_pb2.Route(name=route.name or match.name)
        message.match.CopyFrom(route_match(match))
        message.stat_prefix = match.stat_prefix
        if route.redirect is not None:
            _redirect(message.redirect, route.redirect)
        elif route.response is not None:
            message.direct_response.status = route.response.status
            if route.response.body:
                message.direct_response.body.inline_bytes = route.response.body
        else:
            _forward(message, route, match, resolve, hash_keys)
        _headers(message, route.request, route.response_headers)
        if route.fault is not None:
            _filter(message, FAULT, fault_filter(route.fault))
        if route.cors is not None:
            _filter(message, CORS, cors_policy(route.cors))
        yield message


def _filter(message: route_components_pb2.Route, name: str, config: object) -> None:
    message.typed_per_filter_config[name].CopyFrom(packed(config))  # type: ignore[arg-type]  # a message, of one of two types


def _forward(
    message: route_components_pb2.Route,
    route: HttpRoute,
    match: HttpMatch,
    resolve: Resolve,
    hash_keys: HashKeys,
) -> None:
    shares = [one for one in route.destinations if one.weight or len(route.destinations) == 1]
    clusters = [resolve(one.destination) for one in shares]
    if not any(clusters):
        message.direct_response.status = _UNAVAILABLE
        return
    action = message.route
    if len(shares) == 1:
        action.cluster = clusters[0] or BLACK_HOLE_CLUSTER
        _headers(message, shares[0].request, shares[0].response)
    else:
        for share, cluster in zip(shares, clusters, strict=True):
            weighted = action.weighted_clusters.clusters.add(
                name=cluster or BLACK_HOLE_CLUSTER, weight={"value": share.weight}
            )
            _headers(weighted, share.request, share.response)
            authority = _new_authority(share.request)
            if authority:
                weighted.host_rewrite_literal = authority
    # With a max_stream_duration beside it Envoy heeds only that, and only for gRPC.
    action.timeout.CopyFrom(_duration(route.timeout))
    keys = [key for one in shares if (key := hash_keys(one.destination)) is not None]
    _rewrite(action, route, match)
    _retry(action, route.retry, is_hashed=bool(keys))
    for key in dict.fromkeys(keys):
        _hash(action, key)
    for mirror in route.mirrors:
        cluster = resolve(mirror.destination)
        if cluster is not None:
            policy = action.request_mirror_policies.add(cluster=cluster)
            policy.runtime_fraction.default_value.CopyFrom(fraction(mirror.percent))
            policy.trace_sampled.value = False
    if route.is_websocket:
        action.upgrade_configs.add(upgrade_type="websocket")


def _duration(seconds: float | None) -> Duration:
    duration = Duration()
    if seconds is not None:
        duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _new_authority(operations: HeaderOperations) -> str:
    return next((v for name, v in operations.set if name.lower() in _AUTHORITY), "")


def _headers(
    message: route_components_pb2.Route | route_components_pb2.WeightedCluster.ClusterWeight,
    request: HeaderOperations,
    response: HeaderOperations,
) -> None:
    overwrite = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    append = base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
    for operations, added, removed in (
        (request, message.request_headers_to_add, message.request_headers_to_remove),
        (response, message.response_headers_to_add, message.response_headers_to_remove),
    ):
        for pairs, how in ((operations.set, overwrite), (operations.add, append)):
            for name, value in pairs:
                if name.lower() not in _AUTHORITY:
                    added.add(header={"key": name, "value": value}, append_action=how)
        removed.extend(operations.remove)


def _rewrite(action: route_components_pb2.RouteAction, route: HttpRoute, match: HttpMatch) -> None:
    authority = _new_authority(route.request)
    if len(route.destinations) == 1:
        authority = _new_authority(route.destinations[0].request) or authority
    rewrite = route.rewrite
    if rewrite is None:
        if authority:
            action.host_rewrite_literal = authority
        return
    authority = rewrite.authority or authority
    if authority:
        action.host_rewrite_literal = authority
    if rewrite.pattern:
        action.regex_rewrite.pattern.regex = rewrite.pattern
        action.regex_rewrite.substitution = rewrite.substitution
    elif rewrite.whole_path is not None:
        action.regex_rewrite.pattern.regex = "^[^?]*"
        action.regex_rewrite.substitution = rewrite.whole_path.replace("\\", "\\\\")
    elif rewrite.path is not None:
        path = match.path
        if path is not None and path.kind in {TextMatchKind.REGEX, TextMatchKind.SUFFIX}:
            action.regex_rewrite.pattern.regex = regex(path)
            action.regex_rewrite.substitution = rewrite.path.replace("\\", "\\\\")
        elif path is not None and path.kind is TextMatchKind.SEGMENTS and rewrite.path in {"", "/"}:
            # Or /a/b would become //b.
            action.regex_rewrite.pattern.regex = f"^{_quoted(path.value.rstrip('/'))}/?"
            action.regex_rewrite.substitution = "/"
        else:
            action.prefix_rewrite = rewrite.path


def _quoted(text: str) -> str:
    return "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)


def _retry(
    action: route_components_pb2.RouteAction, retry: Retry | None, *, is_hashed: bool
) -> None:
    """What never reached its endpoint is tried again elsewhere, unless a rule says otherwise."""
    if retry is not None and retry.attempts <= 0:
        return
    policy = action.retry_policy
    words = retry.retry_on if retry is not None and retry.retry_on else _RETRY_ON
    codes = [word for word in words if word.isdecimal()]
    conditions = [word for word in words if not word.isdecimal()]
    if codes and "retriable-status-codes" not in conditions:
        conditions.append("retriable-status-codes")
    policy.retry_on = ",".join(conditions)
    policy.retriable_status_codes.extend(int(code) for code in codes)
    policy.num_retries.value = _ATTEMPTS if retry is None else retry.attempts
    if retry is None or retry.is_previous_host_avoided:
        policy.host_selection_retry_max_attempts = _HOST_ATTEMPTS
        # With a hash the same endpoint would be chosen again and again.
        if not is_hashed:
            predicate = policy.retry_host_predicate.add(
                name="envoy.retry_host_predicates.previous_hosts"
            )
            predicate.typed_config.CopyFrom(packed(previous_hosts_pb2.PreviousHostsPredicate()))
    if retry is None:
        return
    if retry.per_try_timeout is not None:
        policy.per_try_timeout.FromNanoseconds(nanoseconds(retry.per_try_timeout))
    if retry.backoff is not None:
        policy.retry_back_off.base_interval.FromNanoseconds(nanoseconds(retry.backoff))
    if retry.is_to_other_localities:
        policy.retry_priority.name = "envoy.retry_priorities.previous_priorities"
        config = previous_priorities_config_pb2.PreviousPrioritiesConfig(
            update_frequency=_PRIORITY_UPDATES
        )
        policy.retry_priority.typed_config.CopyFrom(packed(config))


def _hash(action: route_components_pb2.RouteAction, key: HashKey) -> None:
    policy = action.hash_policy.add()
    if key.on is HashOn.HEADER:
        policy.header.header_name = key.name
    elif key.on is HashOn.QUERY:
        policy.query_parameter.name = key.name
    elif key.on is HashOn.SOURCE_IP:
        policy.connection_properties.source_ip = True
    else:
        policy.cookie.name = key.name
        policy.cookie.path = key.cookie_path
        if key.cookie_ttl is not None:
            policy.cookie.ttl.FromNanoseconds(nanoseconds(key.cookie_ttl))


def _redirect(message: route_components_pb2.RedirectAction, redirect: Redirect) -> None:
    message.response_code = _CODES[redirect.status]
    message.host_redirect = redirect.authority
    if redirect.path is not None:
        message.path_redirect = redirect.path
    elif redirect.prefix is not None:
        message.prefix_rewrite = redirect.prefix
    if redirect.scheme:
        message.scheme_redirect = redirect.scheme
    if isinstance(redirect.port, int):
        # What a scheme implies is not written out.
        if redirect.port != _DEFAULT_PORTS.get(redirect.scheme):
            message.port_redirect = redirect.port
    elif redirect.port is RedirectPort.PROTOCOL and not redirect.scheme:
        message.port_redirect = _DEFAULT_PORTS["http"]
