"""What users write under a source of the kind ``consul``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, optional

from meshregistry.errors import ConfigError
from meshregistry.spi import Path, Seconds, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

Shown = Literal["HEALTHY", "DRAINING", "UNHEALTHY", "OMIT"]
"""What becomes of an instance: a health, or it is left out."""

_NO_TIME = Seconds(0.0)
_LONGEST_WAIT = Seconds(600.0)  # Consul's own bound of a blocking query
_DEFAULT_PORTS = {"http": 8500, "https": 8501}


@frozen(kw_only=True)
class HealthConfig:
    """What the worst check of an instance makes of it.

    Attributes:
        passing: every check passes, or there is none.
        warning: some check warns; ``Weights.Warning`` is then its weight.
        critical: some check is critical.
        maintenance: the instance or its node is in maintenance mode.
    """

    passing: Shown = "HEALTHY"
    warning: Shown = "HEALTHY"
    critical: Shown = "UNHEALTHY"
    maintenance: Shown = "UNHEALTHY"


@frozen(kw_only=True)
class LocalityConfig:
    """The keys of metadata that say where an instance runs; the service's wins over the node's.

    Without a region in metadata or in Consul's own ``Locality``, the datacenter is the region.
    """

    region: str = "region"
    zone: str = "zone"
    sub_zone: str = "sub_zone"


def parse_address(text: str) -> tuple[str, str, int]:
    """Scheme, host and port of an agent; the port defaults to Consul's own.

    Raises:
        ValueError: if the text is not such an address.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
        or parts.username
    ):
        msg = (
            f"{text!r} is not the address of an agent: write http://host:8500 or https://host:8501"
        )
        raise ValueError(msg)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]


def _is_address(_config: object, _attribute: object, value: str) -> None:
    parse_address(value)


def _is_hostname(_config: object, _attribute: object, value: str) -> None:
    try:
        made = value.format(service="s", dc="d", ns="n", partition="p")
    except (KeyError, IndexError, ValueError):
        made = ""
    if "{service}" not in value or not made:
        msg = f"{value!r} does not make a host name: use {{service}}, and {{dc}}, {{ns}} or {{partition}} if need be"
        raise ValueError(msg)


def _are_different(_config: object, _attribute: object, value: tuple[str, ...]) -> None:
    if len(set(value)) != len(value) or not all(value):
        msg = f"{list(value)!r} must name each datacenter once"
        raise ValueError(msg)


@frozen(kw_only=True)
class ConsulConfig:
    """The options of one source; structured strictly, so there is nothing to check twice.

    Attributes:
        address: of an agent, best the one on this machine: ``http://127.0.0.1:8500``.
        token: the ACL token; a file is read again for each request, so rotation is seen.
        dc: the datacenter to read; empty for the agent's own.
        datacenters: several of them, each a part of the source with a condition of its own.
        ns: the namespace to read, on servers that have namespaces.
        partition: the admin partition to read, on servers that have partitions.
        consistency: how reads are answered; ``stale`` lets any server answer.
        max_staleness: how far a server that answers may be behind the leader.
        verify: whether the certificate of the agent is checked.
        ca_file: the authorities to check it against; the system's if absent.
        cert_file: the certificate to present.
        key_file: its private key, if it is not in the same file.
        services: names to follow, with ``*`` and ``?``; empty for all but ``consul``.
        filter: an expression of Consul over instances, such as ``Service.Meta.env == prod``.
        catalog_filter: the same over the listing of names, such as ``ServiceMeta.env == prod``.
        include: kinds of instances that are left out unless they are named here.
        health: what the states of checks mean.
        locality: which metadata say where an instance runs.
        tags: how tags become labels; ``key|value`` is the convention of 2017.
        meta: whether the metadata of an instance become labels; they win over tags.
        node_meta: keys of the node's metadata that become labels.
        tagged_address: names of tagged addresses to prefer, in this order.
        virtual_address: the tagged address that is the virtual address of a service.
        hostname: the host of a service.
        protocol: what a port speaks of which nothing is said.
        protocol_meta: the key of metadata that names a port, and so its protocol.
        service_port: the one port of every service; else one for each port of instances.
        wait: how long a query for one service may wait for news.
        timeout: time for an answer, beyond what it waits for news.
        min_interval: least time between two answers of a query, after a burst.
        max_watches: above so many services, the source sweeps instead of watching each.
        concurrency: how many requests that do not wait may run at once.
        refresh: time in which a sweep asks for every service again after a change of which
            Consul does not say whose it is; the safety round is twenty times slower.
    """

    address: str = field(default="http://127.0.0.1:8500", validator=_is_address)
    token: Secret | None = None
    dc: str = ""
    datacenters: tuple[str, ...] = field(default=(), validator=_are_different)
    ns: str = ""
    partition: str = ""
    consistency: Literal["default", "stale", "consistent"] = "stale"
    max_staleness: Seconds = field(default=Seconds(10.0), validator=gt(_NO_TIME))
    verify: bool = True
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    services: tuple[str, ...] = ()
    filter: str = ""
    catalog_filter: str = ""
    include: tuple[
        Literal[
            "connect-native",
            "connect-proxy",
            "mesh-gateway",
            "terminating-gateway",
            "ingress-gateway",
            "api-gateway",
        ],
        ...,
    ] = ()
    health: HealthConfig = field(factory=HealthConfig)
    locality: LocalityConfig = field(factory=LocalityConfig)
    tags: Literal["key=value", "key|value", "none"] = "key=value"
    meta: bool = True
    node_meta: tuple[str, ...] = ()
    tagged_address: tuple[str, ...] = ()
    virtual_address: str = ""
    hostname: str = field(default="{service}.service.consul", validator=_is_hostname)
    protocol: Literal["HTTP", "HTTP2", "GRPC", "HTTPS", "TCP", "TLS"] = "HTTP"
    protocol_meta: str = "protocol"
    service_port: int | None = field(default=None, validator=optional(and_(ge(1), le(65535))))
    wait: Seconds = field(default=Seconds(300.0), validator=[gt(_NO_TIME), le(_LONGEST_WAIT)])
    timeout: Seconds = field(default=Seconds(10.0), validator=gt(_NO_TIME))
    min_interval: Seconds = field(default=Seconds(0.25), validator=ge(_NO_TIME))
    max_watches: int = field(default=100, validator=ge(0))
    concurrency: int = field(default=8, validator=ge(1))
    refresh: Seconds = field(default=Seconds(30.0), validator=gt(_NO_TIME))

    def __attrs_post_init__(self) -> None:
        if self.dc and self.datacenters:
            msg = "dc and datacenters are both given: write one of them"
            raise ValueError(msg)
        if self.key_file is not None and self.cert_file is None:
            msg = "key_file is given without cert_file: write both"
            raise ValueError(msg)


def file_faults(config: ConsulConfig, base_path: Path) -> Iterator[ConfigError]:
    """What is wrong with the files that the options name, without asking any agent."""
    named = {
        "ca_file": config.ca_file,
        "cert_file": config.cert_file,
        "key_file": config.key_file,
        "token_file": config.token.file if config.token is not None else None,
    }
    for option, path in named.items():
        if path is not None and not (base_path / path).is_file():
            reason = f"there is no file {base_path / path}"
            yield ConfigError(reason, field=option, remedy="write the path of a readable file")


def _is_folder(_config: object, _attribute: object, value: str) -> None:
    if value.startswith("/") or not value.strip("/"):
        msg = f"the prefix {value!r} names no keys: write one without a leading slash, such as mesh/rules/"
        raise ValueError(msg)


@frozen(kw_only=True)
class ConsulRulesConfig:
    """What users write under a rule source of the kind ``consul``, beside the registry's options.

    Attributes:
        prefix: of the keys; each holds one document or several, as YAML or JSON.
    """

    prefix: str = field(default="meshregistry/rules/", validator=_is_folder)
