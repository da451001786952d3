"""What users write under a source of the kind ``eureka``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from attrs import field, frozen
from attrs.validators import ge, gt, min_len

from meshregistry.errors import ConfigError
from meshregistry.spi import Path, Seconds, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

Shown = Literal["HEALTHY", "DRAINING", "UNHEALTHY", "OMIT"]
"""What becomes of an instance: a health, or it is left out."""

_HIGHEST_PORT = 65535
_NO_TIME = Seconds(0.0)
_CONTEXT = "/eureka"  # where both the war and Spring's server answer, unless told otherwise


@frozen(kw_only=True)
class HealthConfig:
    """What the status of an instance makes of it.

    Attributes:
        up: it takes requests.
        down: its health check fails.
        out_of_service: somebody took it out of traffic, mostly by an override.
        starting: it is not ready yet.
        unknown: nothing is known, for instance after an override was taken back.
    """

    up: Shown = "HEALTHY"
    down: Shown = "UNHEALTHY"
    out_of_service: Shown = "DRAINING"
    starting: Shown = "UNHEALTHY"
    unknown: Shown = "UNHEALTHY"


@frozen(kw_only=True)
class LocalityConfig:
    """The keys of metadata that say where an instance runs; Spring's clients write ``zone``.

    The availability zone of Amazon's data center information wins over the zone.
    """

    region: str = "region"
    zone: str = "zone"
    sub_zone: str = "sub_zone"


@frozen
class Server:
    """One Eureka server.

    Attributes:
        url: up to and including the context, without credentials, so that it can be shown.
        user: of basic authentication; empty without.
        password: of the same.
    """

    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse_servers(text: str) -> tuple[Server, ...]:
    """Read URLs with commas between them, as Eureka's clients take them.

    Raises:
        ValueError: if one is none; what is wrong, without its credentials.
    """
    servers = [_parse_server(one.strip()) for one in text.split(",") if one.strip()]
    if not servers:
        raise ValueError("there is no URL: write http://host:8761/eureka")
    return tuple(servers)


def _parse_server(text: str) -> Server:
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
        parts = urlsplit("")
    if not is_url or parts.query or parts.fragment:
        # What stands before the @ is not repeated: it may be a password.
        shown = text.rpartition("@")[2]
        msg = f"{shown!r} is not the URL of a server: write http://host:8761/eureka, user:password@ before the host if need be"
        raise ValueError(msg)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/") or _CONTEXT
    return Server(
        f"{parts.scheme}://{host}{path}",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _are_servers(_config: object, _attribute: object, value: Secret) -> None:
    # One that is in a file or a variable is read by `file_faults`, and at each request.
    if value.file is None and value.variable is None:
        parse_servers(value.read_now())


def _is_hostname(_config: object, _attribute: object, value: str) -> None:
    try:
        made = value.format(name="n")
    except (KeyError, IndexError, ValueError):
        made = ""
    if "{name}" not in value or not made:
        msg = f"{value!r} does not make a host name: use {{name}}, as in {{name}}.eureka"
        raise ValueError(msg)


def _is_port(_config: object, _attribute: object, value: int | None) -> None:
    if value is not None and not 0 < value <= _HIGHEST_PORT:
        msg = f"the port {value} must be from 1 to {_HIGHEST_PORT}"
        raise ValueError(msg)


@frozen(kw_only=True)
class EurekaConfig:
    """The options of one source; customary names are those of Eureka's Python client and Spring.

    Attributes:
        eureka_server: URLs with commas between them; the next is asked when one fails. They
            count as secret, since they may contain credentials.
        eureka_basic_auth_user: for servers whose URL has no credentials.
        eureka_basic_auth_password: of that user.
        regions: remote regions whose instances are asked for too.
        region: where instances run that do not say it.
        registry_fetch_interval: between two questions; servers refresh their answers each 30 s.
        full_fetch_interval: after which everything is asked for again, since the hash code of
            a delta does not tell one instance from another.
        disable_delta: always ask for everything.
        empty_wait: how long a server must list nothing, when there was something, before
            it is believed; until then the next server is asked, and what is known is kept.
        timeout: time for an answer.
        verify: whether the certificate of a server is checked.
        ca_file: the authorities to check it against; the system's if absent.
        cert_file: the certificate to present.
        key_file: its private key, if it is not in the same file.
        apps: names of applications to follow, with ``*`` and ``?``; empty for all.
        names: what becomes a host: the application's name (all ports), its VIP addresses
            (the plain port), its secure VIP addresses (the secure port).
        hostname: the host of a name.
        service_port: the plain port of every service; null: one for each port of instances.
        secure_service_port: the same for secure ports.
        prefer_ip_address: whether endpoints are ``ipAddr``; else ``hostName``.
        protocol: what a plain port speaks of which nothing is said.
        protocol_meta: keys of metadata that name the plain port, and so its protocol.
        weight_meta: the key of metadata that holds the weight.
        metadata: whether the metadata of an instance become labels.
        health: what the states of instances mean.
        locality: which metadata say where an instance runs.

    Raises:
        ValueError: if options contradict each other.
    """

    eureka_server: Secret = field(
        default=Secret("http://127.0.0.1:8761/eureka"), validator=_are_servers
    )
    eureka_basic_auth_user: str = ""
    eureka_basic_auth_password: Secret | None = None
    regions: tuple[str, ...] = ()
    region: str = ""
    registry_fetch_interval: Seconds = field(default=Seconds(5.0), validator=gt(_NO_TIME))
    full_fetch_interval: Seconds = field(default=Seconds(300.0), validator=gt(_NO_TIME))
    disable_delta: bool = False
    empty_wait: Seconds = field(default=Seconds(30.0), validator=ge(_NO_TIME))
    timeout: Seconds = field(default=Seconds(10.0), validator=gt(_NO_TIME))
    verify: bool = True
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    apps: tuple[str, ...] = ()
    names: tuple[Literal["app", "vip", "secure_vip"], ...] = field(
        default=("app", "vip", "secure_vip"), validator=min_len(1)
    )
    hostname: str = field(default="{name}", validator=_is_hostname)
    service_port: int | None = field(default=80, validator=_is_port)
    secure_service_port: int | None = field(default=443, validator=_is_port)
    prefer_ip_address: bool = True
    protocol: Literal["HTTP", "HTTP2", "GRPC", "TCP"] = "HTTP"
    protocol_meta: tuple[str, ...] = ("protocol", "istio.protocol")
    weight_meta: str = "weight"
    metadata: bool = True
    health: HealthConfig = field(factory=HealthConfig)
    locality: LocalityConfig = field(factory=LocalityConfig)

    def __attrs_post_init__(self) -> None:
        for is_wrong, reason in (
            (
                bool(self.eureka_basic_auth_user) != (self.eureka_basic_auth_password is not None),
                "eureka_basic_auth_user and eureka_basic_auth_password belong together; give both or none",
            ),
            (
                self.key_file is not None and self.cert_file is None,
                "key_file is given without cert_file: write both",
            ),
            (
                self.service_port is not None and self.service_port == self.secure_service_port,
                "service_port and secure_service_port are the same; write two numbers",
            ),
        ):
            if is_wrong:
                raise ValueError(reason)


def file_faults(config: EurekaConfig, base_path: Path) -> Iterator[ConfigError]:
    """What is wrong with the files that the options name, without asking any server."""
    password = config.eureka_basic_auth_password
    named = {
        "eureka_server_file": config.eureka_server.file,
        "eureka_basic_auth_password_file": password.file if password is not None else None,
        "ca_file": config.ca_file,
        "cert_file": config.cert_file,
        "key_file": config.key_file,
    }
    for option, path in named.items():
        if path is not None and not (base_path / path).is_file():
            reason = f"there is no file {base_path / path}"
            yield ConfigError(reason, field=option, remedy="write the path of a readable file")
