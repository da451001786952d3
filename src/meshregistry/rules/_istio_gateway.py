"""Gateway of networking.istio.io: what routers listen for."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from attrs import NOTHING, field, frozen
from attrs.validators import and_, ge, in_, le, min_len

from meshregistry.documents import MappingNode
from meshregistry.model import Labels, Selector
from meshregistry.rules._forms import Reader, idle, refused, works
from meshregistry.rules._gateways import (
    Gateway,
    GatewayServer,
    GatewayTls,
    GatewayTlsMode,
    ServerProtocol,
)

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

_PROTOCOLS = tuple(one.value for one in ServerProtocol)
_VERSIONS = ("", "TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")
_WITHOUT_FILES = {GatewayTlsMode.PASSTHROUGH}


@frozen(kw_only=True)
class PortForm:
    """Port."""

    number: int = field(validator=and_(ge(1), le(65535)))
    protocol: str = field(validator=in_(_PROTOCOLS))
    name: str = works("part of the route's name with HTTPS", default="")
    target: Any = idle("it is deprecated in Istio, too", alias="targetPort")


@frozen(kw_only=True)
class TlsForm:
    """ServerTLSSettings."""

    mode: str | None = works("PASSTHROUGH, SIMPLE, MUTUAL, OPTIONAL_MUTUAL")
    redirect: bool = works("301 to https", default=False, alias="httpsRedirect")
    certificate: str = works("file on the proxy", default="", alias="serverCertificate")
    key: str = works("file on the proxy", default="", alias="privateKey")
    ca: str = works("file on the proxy", default="", alias="caCertificates")
    names: tuple[str, ...] = works("of clients", default=(), alias="subjectAltNames")
    minimum: str = works("", default="", alias="minProtocolVersion", validator=in_(_VERSIONS))
    maximum: str = works("", default="", alias="maxProtocolVersion", validator=in_(_VERSIONS))
    ciphers: tuple[str, ...] = works("", default=(), alias="cipherSuites")
    credential: Any = refused(
        "certificates cannot be had by name", "write files", alias="credentialName"
    )
    credentials: Any = refused(
        "certificates cannot be had by name", "write files", alias="credentialNames"
    )
    certificates: Any = refused(
        "one certificate per server", "write serverCertificate", alias="tlsCertificates"
    )
    crl: Any = refused("client certificates cannot be revoked", "leave it out", alias="caCrl")
    spki: Any = refused(
        "clients are verified by roots and names", "leave it out", alias="verifyCertificateSpki"
    )
    digest: Any = refused(
        "clients are verified by roots and names", "leave it out", alias="verifyCertificateHash"
    )


@frozen(kw_only=True)
class ServerForm:
    """Server."""

    port: PortForm | None = works("", form=PortForm)
    bind: str = works("an IP address; default: the router's", default="")
    hosts: tuple[str, ...] = works("namespace/host, ./host, */host", default=())
    tls: Any = works("", form=TlsForm)
    name: str = works("", default="")
    endpoint: Any = refused(
        "a server has no endpoint of its own", "leave it out", alias="defaultEndpoint"
    )


@frozen(kw_only=True)
class GatewayForm:
    """Gateway."""

    selector: dict[str, str] | None = works("labels of the proxies; none: every router")
    servers: tuple[Any, ...] = works("", form=ServerForm, validator=min_len(1), default=NOTHING)


def gateway(document: RuleDocument, domain: str) -> Reading:
    """Read a Gateway."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
        return reader.result(tuple)
    form = reader.form(spec, GatewayForm)
    if form is None:
        return reader.result(tuple)
    servers = [_server(reader, *one) for one in reader.forms(form.servers, ServerForm)]
    key = document.key
    return reader.result(
        lambda: (
            Gateway(
                namespace=key.namespace,
                name=key.name,
                selector=Selector(Labels(form.selector or {})),
                servers=tuple(server for server in servers if server is not None),
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def _server(reader: Reader, node: AnyNode, form: ServerForm) -> GatewayServer | None:
    if form.port is None:
        reader.fail(node, "the port is missing", "add port: {number: 80, protocol: HTTP}")
        return None
    if not form.hosts:
        reader.fail(node, "the server has no hosts", "add hosts: ['*']")
    if form.bind and not _is_ip(form.bind):
        reader.fail(node, f"bind is {form.bind!r}", "write an IP address")
    protocol = ServerProtocol(form.port.protocol)
    tls = None if form.tls is None else _tls(reader, form.tls, protocol)
    if form.tls is None and protocol in {ServerProtocol.HTTPS, ServerProtocol.TLS}:
        reader.fail(node, f"{protocol.value} needs tls", "add tls: {mode: …}")
    return GatewayServer(
        port=form.port.number,
        port_name=form.port.name,
        protocol=protocol,
        bind=form.bind,
        hosts=tuple(_host(host, reader.document.key.namespace) for host in form.hosts),
        tls=tls,
        name=form.name,
        origin=reader.origin(node),
    )


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _host(text: str, namespace: str) -> str:
    """``namespace/host``; without a namespace it is any."""
    home, slash, host = text.partition("/")
    if not slash:
        return f"*/{text.lower()}"
    return f"{namespace if home == '.' else home}/{host.lower()}"


def _tls(reader: Reader, node: AnyNode, protocol: ServerProtocol) -> GatewayTls | None:
    form = reader.form(node, TlsForm)
    if form is None:
        return None
    place = (node.get("mode") if isinstance(node, MappingNode) else None) or node
    mode: GatewayTlsMode | None = None
    if form.mode is not None:
        if form.mode not in {one.value for one in GatewayTlsMode}:
            reader.fail(place, f"{form.mode!r} is not a TLS mode", "write SIMPLE or MUTUAL")
            return None
        mode = GatewayTlsMode(form.mode)
    if mode in {GatewayTlsMode.AUTO_PASSTHROUGH, GatewayTlsMode.ISTIO_MUTUAL}:
        reader.fail(place, f"{form.mode} is not available", "write PASSTHROUGH or MUTUAL")
    if protocol in {ServerProtocol.HTTPS, ServerProtocol.TLS}:
        default = "PASSTHROUGH" if protocol is ServerProtocol.TLS else "SIMPLE"
        mode = mode or GatewayTlsMode(default)
        _check_secured(reader, node, form, mode, protocol)
    return GatewayTls(
        mode=mode,
        is_redirect=form.redirect,
        server_certificate=form.certificate,
        private_key=form.key,
        ca_certificates=form.ca,
        subject_alt_names=form.names,
        minimum="" if form.minimum == "TLS_AUTO" else form.minimum,
        maximum="" if form.maximum == "TLS_AUTO" else form.maximum,
        cipher_suites=form.ciphers,
    )


def _check_secured(
    reader: Reader, node: AnyNode, form: TlsForm, mode: GatewayTlsMode, protocol: ServerProtocol
) -> None:
    """What a server that speaks TLS must and must not have."""
    if form.redirect:
        reader.fail(node, "httpsRedirect is for plain HTTP", "put it into the HTTP server")
    if mode not in _WITHOUT_FILES and not (form.certificate and form.key):
        reader.fail(node, "the server has no certificate", "add serverCertificate and privateKey")
    if protocol is ServerProtocol.HTTPS and mode is GatewayTlsMode.PASSTHROUGH:
        reader.fail(node, "what passes through cannot be read as HTTP", "write protocol: TLS")
    if mode in {GatewayTlsMode.MUTUAL, GatewayTlsMode.OPTIONAL_MUTUAL} and not form.ca:
        reader.fail(node, f"{mode.value} needs roots to verify clients by", "add caCertificates")
