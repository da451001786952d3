"""Documents of security.istio.io: read and kept until there is somebody to enforce them.

Whoever moves a mesh here must not believe that a policy holds which does not. So each of
these documents is checked like any other, and says with a warning that it is not enforced.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import in_, min_len, optional

from meshregistry.documents import MappingNode, Seconds, SequenceNode
from meshregistry.rules._forms import Reader, idle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.documents import RuleDocument
    from meshregistry.rules._reading import Reading

_NOT_YET = "it is read and kept, and not enforced yet"
_MTLS = ("UNSET", "DISABLE", "PERMISSIVE", "STRICT")
_ACTIONS = ("ALLOW", "DENY", "AUDIT", "CUSTOM")


@frozen(kw_only=True)
class SelectorForm:
    """WorkloadSelector."""

    labels: dict[str, str] = field(factory=dict, alias="matchLabels")


@frozen(kw_only=True)
class TargetForm:
    """PolicyTargetReference."""

    kind: str = field(validator=min_len(1))
    name: str = field(validator=min_len(1))
    group: str = ""
    namespace: str = ""


@frozen(kw_only=True)
class MtlsForm:
    """PeerAuthentication.MutualTLS."""

    mode: str = field(default="UNSET", validator=in_(_MTLS))


@frozen(kw_only=True)
class PeerAuthenticationForm:
    """PeerAuthentication."""

    selector: SelectorForm | None = idle(_NOT_YET)
    mtls: MtlsForm | None = idle(_NOT_YET)
    ports: dict[str, MtlsForm] | None = idle(_NOT_YET, alias="portLevelMtls")


@frozen(kw_only=True)
class JwtHeaderForm:
    """JWTHeader."""

    name: str = field(validator=min_len(1))
    prefix: str = ""


@frozen(kw_only=True)
class ClaimForm:
    """ClaimToHeader."""

    header: str = field(validator=min_len(1))
    claim: str = field(validator=min_len(1))


@frozen(kw_only=True)
class JwtForm:
    """JWTRule."""

    issuer: str = field(validator=min_len(1))
    audiences: tuple[str, ...] = ()
    uri: str = field(default="", alias="jwksUri")
    jwks: str = ""
    headers: tuple[JwtHeaderForm, ...] = field(default=(), alias="fromHeaders")
    params: tuple[str, ...] = field(default=(), alias="fromParams")
    cookies: tuple[str, ...] = field(default=(), alias="fromCookies")
    forward: bool = field(default=False, alias="forwardOriginalToken")
    output: str = field(default="", alias="outputPayloadToHeader")
    claims: tuple[ClaimForm, ...] = field(default=(), alias="outputClaimToHeaders")
    timeout: Seconds | None = None


@frozen(kw_only=True)
class RequestAuthenticationForm:
    """RequestAuthentication."""

    selector: SelectorForm | None = idle(_NOT_YET)
    target: TargetForm | None = idle(_NOT_YET, alias="targetRef")
    targets: tuple[TargetForm, ...] | None = idle(_NOT_YET, alias="targetRefs")
    rules: tuple[JwtForm, ...] | None = idle(_NOT_YET, alias="jwtRules")


@frozen(kw_only=True)
class SourceForm:
    """Source of an authorization rule."""

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = field(default=(), alias="notPrincipals")
    requests: tuple[str, ...] = field(default=(), alias="requestPrincipals")
    not_requests: tuple[str, ...] = field(default=(), alias="notRequestPrincipals")
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = field(default=(), alias="notNamespaces")
    accounts: tuple[str, ...] = field(default=(), alias="serviceAccounts")
    not_accounts: tuple[str, ...] = field(default=(), alias="notServiceAccounts")
    blocks: tuple[str, ...] = field(default=(), alias="ipBlocks")
    not_blocks: tuple[str, ...] = field(default=(), alias="notIpBlocks")
    remote: tuple[str, ...] = field(default=(), alias="remoteIpBlocks")
    not_remote: tuple[str, ...] = field(default=(), alias="notRemoteIpBlocks")


@frozen(kw_only=True)
class OperationForm:
    """Operation of an authorization rule."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = field(default=(), alias="notHosts")
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = field(default=(), alias="notPorts")
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = field(default=(), alias="notMethods")
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = field(default=(), alias="notPaths")


@frozen(kw_only=True)
class FromForm:
    """Rule.From."""

    source: SourceForm


@frozen(kw_only=True)
class ToForm:
    """Rule.To."""

    operation: OperationForm


@frozen(kw_only=True)
class WhenForm:
    """Condition."""

    key: str = field(validator=min_len(1))
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = field(default=(), alias="notValues")


_PIECES: Mapping[str, type[Any]] = MappingProxyType(
    {"from": FromForm, "to": ToForm, "when": WhenForm}
)


@frozen(kw_only=True)
class ProviderForm:
    """ExtensionProvider."""

    name: str = field(validator=min_len(1))


@frozen(kw_only=True)
class AuthorizationPolicyForm:
    """AuthorizationPolicy."""

    selector: SelectorForm | None = idle(_NOT_YET)
    target: TargetForm | None = idle(_NOT_YET, alias="targetRef")
    targets: tuple[TargetForm, ...] | None = idle(_NOT_YET, alias="targetRefs")
    action: str | None = idle(_NOT_YET, validator=optional(in_(_ACTIONS)))
    provider: ProviderForm | None = idle(_NOT_YET)
    rules: tuple[Any, ...] | None = idle(_NOT_YET)


def peer_authentication(document: RuleDocument, domain: str) -> Reading:
    """Read a PeerAuthentication."""
    return _read(document, domain, PeerAuthenticationForm)


def request_authentication(document: RuleDocument, domain: str) -> Reading:
    """Read a RequestAuthentication."""
    return _read(document, domain, RequestAuthenticationForm)


def authorization_policy(document: RuleDocument, domain: str) -> Reading:
    """Read an AuthorizationPolicy."""
    return _read(document, domain, AuthorizationPolicyForm)


def _check_rules(reader: Reader, form: AuthorizationPolicyForm) -> None:
    """Check the rules, one of whose keys is a word of Python."""
    for rule in form.rules or ():
        if not isinstance(rule, MappingNode):
            reader.fail(rule, f"must be a mapping, not {rule.kind}", "write from:, to: or when:")
            continue
        reader.errors += rule.unknown(_PIECES)
        for key, cls in _PIECES.items():
            piece = rule.get(key)
            if isinstance(piece, SequenceNode):
                reader.forms(piece.items, cls)
            elif piece is not None:
                reader.fail(piece, f"must be a list, not {piece.kind}", "put - before each")


def _read(document: RuleDocument, domain: str, form: type[Any]) -> Reading:
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec: {}")
        return reader.result(tuple)
    made = reader.form(spec, form)
    if isinstance(made, AuthorizationPolicyForm):
        _check_rules(reader, made)
    if not reader.errors and not reader.warnings:
        reader.warn(spec, f"has no effect: {_NOT_YET}", "take it out, or do not rely on it")
    return reader.result(tuple)
