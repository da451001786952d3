"""DestinationRule of networking.istio.io: how the endpoints of a host are reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.documents import MappingNode
from meshregistry.model import Labels, Selector
from meshregistry.rules import _istio_policy_forms as forms
from meshregistry.rules._destinations import (
    Balancing,
    ClientTls,
    ClientTlsMode,
    ConnectionPool,
    DestinationPolicy,
    HashKey,
    HashOn,
    Keepalive,
    LoadBalancer,
    OutlierDetection,
    PortPolicies,
    RetryBudget,
    Subset,
    TrafficPolicy,
    Warmup,
)
from meshregistry.rules._forms import Reader
from meshregistry.rules._istio_locality import locality_balancing

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

_UPGRADES = {"UPGRADE": True, "DO_NOT_UPGRADE": False}


def destination_rule(document: RuleDocument, domain: str) -> Reading:
    """Read a DestinationRule."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
        return reader.result(tuple)
    form = reader.form(spec, forms.DestinationRuleForm)
    if form is None or not isinstance(spec, MappingNode):
        return reader.result(tuple)
    place = spec.get("host") or spec
    host = "*" if form.host == "*" else reader.host(place, form.host)
    policies = _policies(reader, form.policy)
    subsets = _subsets(reader, form, policies.all)
    key = document.key
    return reader.result(
        lambda: (
            DestinationPolicy(
                namespace=key.namespace,
                name=key.name,
                host=host or "",
                policies=policies,
                subsets=subsets,
                selector=Selector(Labels(form.selector.labels)) if form.selector else None,
                export_to=form.export_to or ("*",),
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def _subsets(
    reader: Reader, form: forms.DestinationRuleForm, below: TrafficPolicy
) -> tuple[Subset, ...]:
    found: dict[str, Subset] = {}
    for place, one in reader.forms(form.subsets, forms.SubsetForm):
        if one.name in found:
            reader.fail(place, f"the subset {one.name} is given twice", "give it another name")
        if not one.labels and one.policy is None:
            reader.warn(place, f"the subset {one.name} is the whole service", "give it labels")
        found[one.name] = Subset(
            name=one.name,
            labels=Labels(one.labels),
            policies=_policies(reader, one.policy, below),
            origin=reader.origin(place),
        )
    return tuple(found.values())


def _policies(
    reader: Reader, node: AnyNode | None, below: TrafficPolicy | None = None
) -> PortPolicies:
    form = None if node is None else reader.form(node, forms.PolicyForm)
    if form is None:
        return PortPolicies()
    general = _policy(reader, form, below)
    by_port: dict[int, TrafficPolicy] = {}
    for place, one in reader.forms(form.ports, forms.PortPolicyForm):
        if one.port is None:
            reader.fail(place, "the port is missing", "add port: {number: 80}")
        elif one.port.number in by_port:
            reader.fail(place, f"the port {one.port.number} is given twice", "keep one")
        else:
            by_port[one.port.number] = _policy(
                reader, one, general.over(below) if below else general
            )
    return PortPolicies(all=general, by_port=tuple(by_port.items()))


def _policy(
    reader: Reader, form: forms.PolicyForm | forms.PortPolicyForm, below: TrafficPolicy | None
) -> TrafficPolicy:
    """What a form says; `below` is what it lies over."""
    outlier = _outlier(form.outlier)
    is_ejecting = (outlier or (below and below.outlier_detection)) is not None
    return TrafficPolicy(
        load_balancer=_balancer(reader, form.balancer, is_ejecting=is_ejecting),
        connection_pool=_pool(form.pool),
        outlier_detection=outlier,
        tls=_tls(reader, form.tls),
        retry_budget=_budget(form),
    )


def _budget(form: forms.PolicyForm | forms.PortPolicyForm) -> RetryBudget | None:
    """Only a policy for all ports has one."""
    if isinstance(form, forms.PortPolicyForm) or form.budget is None:
        return None
    return RetryBudget(percent=form.budget.percent, minimum=form.budget.minimum)


def _balancer(reader: Reader, node: AnyNode | None, *, is_ejecting: bool) -> LoadBalancer | None:
    form = None if node is None else reader.form(node, forms.BalancerForm)
    if form is None or node is None:
        return None
    if form.simple is not None and form.hash is not None:
        reader.fail(node, "simple and consistentHash exclude each other", "keep one")
    hashed = None if form.hash is None else reader.form(form.hash, forms.HashForm)
    warmup = (
        Warmup(
            duration=form.warmup.duration,
            minimum_percent=form.warmup.minimum,
            aggression=form.warmup.aggression,
        )
        if form.warmup
        else Warmup(duration=form.warmup_seconds)
        if form.warmup_seconds is not None
        else None
    )
    locality = locality_balancing(reader, form.locality, has_outlier_detection=is_ejecting)
    if hashed is not None:
        key = _hash_key(reader, form.hash, hashed)
        maglev = hashed.maglev
        return LoadBalancer(
            balancing=Balancing.MAGLEV if maglev else Balancing.RING_HASH,
            hash_key=key,
            minimum_ring_size=hashed.ring.minimum if hashed.ring else hashed.minimum,
            table_size=maglev.size if maglev else None,
            locality=locality,
            warmup=warmup,
        )
    names = {"UNSPECIFIED": None, "LEAST_CONN": Balancing.LEAST_REQUEST}
    simple = form.simple or "UNSPECIFIED"
    balancing = names[simple] if simple in names else Balancing(simple)
    if balancing is Balancing.PASSTHROUGH:
        reader.warn(
            node,
            "PASSTHROUGH has no effect without interception: nothing tells the caller's choice",
            "write another one",
        )
        balancing = None
    return LoadBalancer(balancing=balancing, locality=locality, warmup=warmup)


def _hash_key(reader: Reader, node: AnyNode, form: forms.HashForm) -> HashKey | None:
    given = [
        key
        for is_given, key in (
            (bool(form.header), HashKey(on=HashOn.HEADER, name=form.header)),
            (form.source_ip, HashKey(on=HashOn.SOURCE_IP)),
            (bool(form.query), HashKey(on=HashOn.QUERY, name=form.query)),
        )
        if is_given
    ]
    if form.cookie is not None:
        cookie = form.cookie
        given.append(
            HashKey(
                on=HashOn.COOKIE,
                name=cookie.name,
                cookie_path=cookie.path,
                cookie_ttl=cookie.ttl,
            )
        )
    if len(given) != 1:
        reader.fail(
            node,
            "a hash has exactly one key",
            "write one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName",
        )
        return None
    if form.maglev is not None and (form.ring is not None or form.minimum is not None):
        reader.fail(node, "ringHash and maglev exclude each other", "keep one")
    return given[0]


def _pool(form: forms.PoolForm | None) -> ConnectionPool | None:
    if form is None:
        return None
    tcp, http = form.tcp or forms.TcpForm(), form.http or forms.HttpForm()
    alive = tcp.keepalive
    return ConnectionPool(
        max_connections=tcp.max_connections,
        connect_timeout=tcp.connect_timeout,
        keepalive=Keepalive(probes=alive.probes, idle=alive.time, interval=alive.interval)
        if alive
        else None,
        max_connection_duration=tcp.duration,
        max_pending_requests=http.pending,
        max_requests=http.requests,
        max_requests_per_connection=http.per_connection,
        max_retries=http.retries,
        idle_timeout=http.idle,
        upgrade=_UPGRADES.get(http.upgrade or ""),
        uses_client_protocol=http.client_protocol,
        max_concurrent_streams=http.streams,
    )


def _outlier(form: forms.OutlierForm | None) -> OutlierDetection | None:
    if form is None:
        return None
    return OutlierDetection(
        consecutive_5xx=form.errors if form.errors is not None else form.older,
        consecutive_gateway_errors=form.gateway,
        is_local_split=form.split,
        consecutive_local_failures=form.local,
        interval=form.interval,
        base_ejection_time=form.ejection,
        max_ejection_percent=form.percent,
        min_health_percent=form.healthy,
    )


def _tls(reader: Reader, node: AnyNode | None) -> ClientTls | None:
    form = None if node is None else reader.form(node, forms.TlsForm)
    if form is None or node is None:
        return None
    mode = ClientTlsMode(form.mode)
    if mode is ClientTlsMode.ISTIO_MUTUAL:
        reader.fail(
            node, "workloads have no certificates of the mesh yet", "write MUTUAL with files"
        )
    if mode is ClientTlsMode.MUTUAL and not (form.certificate and form.key):
        reader.fail(node, "MUTUAL needs a certificate", "add clientCertificate and privateKey")
    if mode is ClientTlsMode.SIMPLE and (form.certificate or form.key):
        reader.fail(node, "SIMPLE shows no certificate", "write mode: MUTUAL, or take it out")
    return ClientTls(
        mode=mode,
        client_certificate=form.certificate,
        private_key=form.key,
        ca_certificates=form.ca,
        ca_crl=form.crl,
        subject_alt_names=form.names,
        sni=form.sni,
        is_unverified=form.unverified,
    )
