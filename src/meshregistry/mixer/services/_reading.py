"""From documents to pieces, each by itself: what APIs there are, what is charged, for whom.

The format is that of ``config.istio.io/v1alpha2``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import frozen

from meshregistry.documents import (
    DocumentKey,
    MappingNode,
    Position,
    ScalarNode,
)
from meshregistry.mixer._nodes import Reader
from meshregistry.mixer.services._api import DEFAULT_KEYS, Api, ApiKey, ApiPattern
from meshregistry.mixer.services._quota_rules import Clause, QuotaRule, QuotaRules
from meshregistry.mixer.services._selecting import EVERY, ServiceSelector
from meshregistry.mixer.services._values import Stated, read_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.errors import ConfigError

API, API_BINDING = "HTTPAPISpec", "HTTPAPISpecBinding"
QUOTA, QUOTA_BINDING = "QuotaSpec", "QuotaSpecBinding"
KINDS: Final = (API, API_BINDING, QUOTA, QUOTA_BINDING)
"""The kinds of documents that are read here."""

BOUND: Final = {API_BINDING: API, QUOTA_BINDING: QUOTA}
"""What bindings bind, by their kinds."""

_WHOLE = re.compile("[0-9]{1,19}")
_REFERENCES = {API_BINDING: "api_specs", QUOTA_BINDING: "quota_specs"}


@frozen(kw_only=True)
class ServicePiece:
    """What one document says; exactly one of the three is there.

    Attributes:
        name: of the document.
        place: where it stands.
        api: of an ``HTTPAPISpec``; attributes are not yet checked.
        quotas: of a ``QuotaSpec``.
        services: of a binding: which services it is for.
        specs: of a binding: what it names, and where.
        stated: values of attributes, where they stand.
        clauses: attributes that clauses are on, likewise.
        charged: quotas that are charged, likewise.
    """

    name: DocumentKey
    place: Position
    api: Api | None = None
    quotas: QuotaRules | None = None
    services: tuple[ServiceSelector, ...] = ()
    specs: tuple[tuple[DocumentKey, Position], ...] = ()
    stated: tuple[Stated, ...] = ()
    clauses: tuple[ScalarNode, ...] = ()
    charged: tuple[ScalarNode, ...] = ()


def read_piece(key: DocumentKey, place: Position, reader: Reader) -> ServicePiece:
    """Read a document of one of `KINDS`; of use only if it is without faults.

    Args:
        key: its name.
        place: where it begins.
        reader: of its spec.
    """
    if key.kind == API:
        return _api(key, place, reader)
    if key.kind == QUOTA:
        return _quota(key, place, reader)
    return _binding(key, place, reader)


# --- APIs ---------------------------------------------------------------------------------


def _api(key: DocumentKey, place: Position, reader: Reader) -> ServicePiece:
    before = len(reader.faults)
    reader.only("attributes", "patterns", "api_keys")
    said = read_attributes(reader)
    stated, patterns, keys = list(said), [], []
    for node in reader.mappings("patterns"):
        own = Reader(node, reader.faults)
        own.only("attributes", "http_method", "uri_template", "regex")
        more = read_attributes(own)
        stated += more
        try:
            made = ApiPattern(
                _values(more),
                template=own.text("uri_template"),
                regex=own.text("regex"),
                method=own.text("http_method").upper(),
            )
        except ValueError as error:
            remedy = "write uriTemplate: /orders/{id}, or regex: /orders/.*"
            reader.faults.append(node.fault(str(error), remedy))
        else:
            patterns.append(made)
    for node in reader.mappings("api_keys"):
        own = Reader(node, reader.faults)
        own.only("query", "header", "cookie")
        try:
            header = own.text("header").lower()
            keys.append(ApiKey(own.text("query"), header, own.text("cookie")))
        except ValueError as error:
            reader.faults.append(node.fault(str(error), "write {header: x-api-key}"))
    if not (said or patterns or keys or len(reader.faults) > before):
        reader.faults.append(reader.node.fault("the spec says nothing", "add patterns:"))
    api = Api(attributes=_values(said), patterns=patterns, keys=keys or DEFAULT_KEYS)
    return ServicePiece(name=key, place=place, api=api, stated=tuple(stated))


def _values(stated: Iterable[Stated]) -> dict[str, object]:
    return {name: value for name, value, _ in stated}


# --- Quotas -------------------------------------------------------------------------------


def _quota(key: DocumentKey, place: Position, reader: Reader) -> ServicePiece:
    before = len(reader.faults)
    reader.only("rules")
    rules: list[QuotaRule] = []
    clauses: list[ScalarNode] = []
    charged: list[ScalarNode] = []
    for node in reader.mappings("rules"):
        own = Reader(node, reader.faults)
        own.only("match", "quotas")
        matches = []
        for one in own.mappings("match"):
            found = dict(_clauses(Reader(one, reader.faults)))
            matches.append({name.text: clause for name, clause in found.items()})
            clauses += found
        charges: dict[str, int] = {}
        for name, amount in _charges(own):
            charges[name.text] = charges.get(name.text, 0) + amount
            charged.append(name)
        rules.append(QuotaRule(charges, matches))
    if not rules and len(reader.faults) == before:
        remedy = "add rules: [{quotas: [{quota: requestcount, charge: 1}]}]"
        reader.faults.append(reader.node.fault("the spec has no rules", remedy))
    return ServicePiece(
        name=key,
        place=place,
        quotas=QuotaRules(rules),
        clauses=tuple(clauses),
        charged=tuple(charged),
    )


def _clauses(reader: Reader) -> Iterable[tuple[ScalarNode, Clause]]:
    reader.only("clause")
    node = reader.mapping("clause")
    if not node.entries:
        # It would be for every request, which is what no match at all says.
        remedy = "add clause: {request.path: {prefix: /orders}}, or take the match out"
        reader.faults.append(reader.node.fault("the match has no clause", remedy))
    for name, value in node.entries:
        if not isinstance(value, MappingNode):
            reader.faults.append(
                value.fault(f"must be a mapping, not {value.kind}", "write {exact: …}")
            )
            continue
        own = Reader(value, reader.faults)
        own.only("exact", "prefix", "regex")
        given = {word: own.text(word) for word in ("exact", "prefix", "regex") if word in own.node}
        try:
            yield name, Clause(**given)
        except ValueError as error:
            reader.faults.append(value.fault(str(error), "write {exact: …}"))


def _charges(reader: Reader) -> Iterable[tuple[ScalarNode, int]]:
    nodes = tuple(reader.mappings("quotas"))
    if not nodes:
        remedy = "add quotas: [{quota: requestcount, charge: 1}]"
        reader.faults.append(reader.node.fault("the rule charges nothing", remedy))
    for node in nodes:
        own = Reader(node, reader.faults)
        own.only("quota", "charge")
        own.required("quota", "requestcount")
        own.required("charge", "1")
        name, charge = own.node.get("quota"), own.node.get("charge")
        # In JSON whole numbers of 64 bits are texts.
        amount = int(own.text("charge")) if _WHOLE.fullmatch(own.text("charge")) else 0
        if charge is not None and not 0 < amount < 1 << 63:
            reader.faults.append(charge.fault("must be a whole number above 0", "write charge: 1"))
        elif isinstance(name, ScalarNode):
            yield name, amount


# --- Bindings -----------------------------------------------------------------------------


def _binding(key: DocumentKey, place: Position, reader: Reader) -> ServicePiece:
    field = _REFERENCES[key.kind]
    before = len(reader.faults)
    reader.only("services", field)
    services = [
        found
        for node in reader.mappings("services")
        if (found := _service(node, key.namespace, reader.faults)) is not None
    ]
    specs = []
    for node in reader.mappings(field):
        own = Reader(node, reader.faults)
        own.only("name", "namespace")
        name = own.required("name", "my-spec")
        namespace = own.text("namespace") or key.namespace
        specs.append((DocumentKey(key.group, BOUND[key.kind], namespace, name), node))
    for listed, name, example in (
        (services, "services", "[{name: shop}]"),
        (specs, "quotaSpecs" if key.kind == QUOTA_BINDING else "apiSpecs", "[{name: my-spec}]"),
    ):
        if not listed and len(reader.faults) == before:
            fault = reader.node.fault(f"the binding has no {name}", f"add {name}: {example}")
            reader.faults.append(fault)
    return ServicePiece(name=key, place=place, services=tuple(services), specs=tuple(specs))


def _service(
    node: MappingNode, namespace: str, faults: list[ConfigError]
) -> ServiceSelector | None:
    own = Reader(node, faults)
    own.only("name", "namespace", "domain", "service", "labels")
    labels = own.mapping("labels")
    name, host = own.text("name"), own.text("service")
    if bool(name) == bool(host):
        faults.append(node.fault("a service has one of name and service", "write name: shop"))
        return None
    if host and ("namespace" in own.node or "domain" in own.node):
        faults.append(node.fault("service is the whole host", "leave namespace and domain out"))
        return None
    if EVERY in host.removeprefix("*.") and host != EVERY:
        faults.append(node.fault(f"{host!r} is no host", "write *, *.shop.example or a whole host"))
        return None
    for _, value in labels.entries:
        if not isinstance(value, ScalarNode):
            faults.append(value.fault(f"must be a text, not {value.kind}", "write one value"))
    return ServiceSelector(
        host=host,
        name=name,
        namespace="" if host else own.text("namespace") or namespace,
        domain=own.text("domain"),
        labels={
            key.text: value.text for key, value in labels.entries if isinstance(value, ScalarNode)
        },
    )
