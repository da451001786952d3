"""What users write under a source of the kind ``gorouter`` or ``capi``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, optional

from meshregistry.errors import ConfigError
from meshregistry.model import canonical_address
from meshregistry.spi import Path, Seconds, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_TIME = Seconds(0.0)
_PORT = and_(ge(1), le(65535))
_MOST_PER_PAGE = 5000  # the Cloud Controller's own bound


def _parts(address: str, schemes: tuple[str, ...]) -> str:
    """What is wrong with an address; empty if nothing. Never shows it: it may hold a password."""
    try:
        parts = urlsplit(address if "://" in address else f"{schemes[0]}://{address}")
        has_port = parts.port != 0
    except ValueError:
        return "is not an address"
    if parts.username is not None or "@" in address:
        return "holds credentials, which would be printed: write them by their own options"
    if parts.scheme not in schemes or not parts.hostname or not has_port:
        return f"is not an address: write {schemes[0]}://host:port"
    return "has a path: write only scheme, host and port" if parts.path.strip("/") else ""


def _are_servers(_config: object, _attribute: object, value: tuple[str, ...]) -> None:
    if not value:
        msg = "servers is empty: write the address of a NATS server"
        raise ValueError(msg)
    for number, address in enumerate(value):
        if wrong := _parts(address, ("nats", "tls")):
            msg = f"servers[{number}] {wrong}"
            raise ValueError(msg)


def split_router(text: str, port: int) -> tuple[str, int]:
    """Host and port of gorouter; an empty text gives an empty host.

    Raises:
        ValueError: if the text is not ``host``, ``host:port`` or ``[v6]:port``.
    """
    if not text:
        return "", port
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.netloc != text or "@" in text:
        msg = f"router {text!r} is not an address: write host, or host:port"
        raise ValueError(msg)
    return canonical_address(parts.hostname), parts.port or port


def _is_router(_config: object, _attribute: object, value: str) -> None:
    split_router(value, 1)


def _is_api(_config: object, _attribute: object, value: str) -> None:
    if wrong := _parts(value, ("https", "http")):
        msg = f"api {wrong}"
        raise ValueError(msg)


def _check_client_key(cert_file: Path | None, key_file: Path | None) -> None:
    if key_file is not None and cert_file is None:
        msg = "key_file is given without cert_file: write both"
        raise ValueError(msg)


@frozen(kw_only=True)
class GorouterConfig:
    """The options of one source; structured strictly, so there is nothing to check twice.

    Attributes:
        servers: addresses of NATS, tried in random order: ``nats://host:4222``, or
            ``tls://host:4224``.
        user: of NATS; with `password`.
        password: read again for each connection, so rotation is seen.
        token: instead of user and password.
        ca_file: the authorities to check NATS against; the system's if absent.
        cert_file: the certificate to present to NATS.
        key_file: its private key, if it is not in the same file.
        server_name: the name in the certificate of NATS, if it is not the one in `servers`.
        verify: whether the certificate of NATS is checked.
        connect_timeout: time to connect to one server.
        ping_interval: how often NATS is asked for a sign of life; two that are missed are the
            end of a connection.
        register_interval: how often emitters repeat themselves, if no router says so.
        stale_threshold: how long a registration counts that does not say so itself.
        sweep: how often registrations that were not repeated are looked for.
        while_away: what becomes of routes while NATS cannot be reached: ``keep-tls`` keeps
            those that a name in a certificate protects, and the others expire.
        announce: whether to publish ``router.start``, which makes every emitter repeat
            everything at once.
        sharding: which isolation segments are followed, in gorouter's words.
        isolation_segments: their names.
        backends: which port of an instance counts: ``tls-first`` as gorouter does.
        route_services: ``omit`` leaves out routes with a route service, since proxies go past it.
        service_port: the port of every service.
        internal_port: the port of containers; with it, routes of internal domains are followed,
            too, at the containers themselves.
        protocol: what backends speak that do not say so.
        region: the region of every instance; the availability zone is the zone.
        tags: whether tags become labels.
    """

    servers: tuple[str, ...] = field(default=("nats://127.0.0.1:4222",), validator=_are_servers)
    user: str = ""
    password: Secret | None = None
    token: Secret | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    verify: bool = True
    connect_timeout: Seconds = field(default=Seconds(5.0), validator=gt(_NO_TIME))
    ping_interval: Seconds = field(default=Seconds(10.0), validator=gt(_NO_TIME))
    register_interval: Seconds = field(default=Seconds(20.0), validator=gt(_NO_TIME))
    stale_threshold: Seconds = field(default=Seconds(120.0), validator=gt(_NO_TIME))
    sweep: Seconds = field(default=Seconds(10.0), validator=gt(_NO_TIME))
    while_away: Literal["keep-tls", "keep-all", "expire"] = "keep-tls"
    announce: bool = False
    sharding: Literal["all", "segments", "shared-and-segments"] = "all"
    isolation_segments: tuple[str, ...] = ()
    backends: Literal["tls-first", "tls-only", "plain"] = "tls-first"
    route_services: Literal["note", "omit"] = "note"
    service_port: int = field(default=80, validator=_PORT)
    internal_port: int | None = field(default=None, validator=optional(_PORT))
    protocol: Literal["HTTP", "HTTP2", "GRPC"] = "HTTP"
    region: str = ""
    tags: bool = True

    def __attrs_post_init__(self) -> None:
        _check_client_key(self.cert_file, self.key_file)
        if bool(self.user) != (self.password is not None):
            msg = "user and password belong together: write both, or neither"
            raise ValueError(msg)
        if self.user and self.token is not None:
            msg = "user and token are both given: write one of them"
            raise ValueError(msg)
        if bool(self.isolation_segments) == (self.sharding == "all"):
            msg = "sharding and isolation_segments belong together: write sharding: segments (or shared-and-segments) with the names, or neither"
            raise ValueError(msg)


@frozen(kw_only=True)
class CapiConfig:
    """The options of one source; structured strictly, so there is nothing to check twice.

    Attributes:
        api: of the platform: ``https://api.example.com``.
        client_id: of the OAuth client; ``cf`` for a user's password or refresh token.
        client_secret: of the OAuth client; alone it asks for client credentials.
        user: whose password it is.
        password: of that user.
        refresh_token: instead of a password, as ``cf oauth-token`` keeps one.
        ca_file: the authorities to check the platform against; the system's if absent.
        verify: whether certificates are checked.
        organizations: names of those to read; empty for all that may be seen.
        spaces: names of those to read; empty for all that may be seen.
        endpoints: where services answer: at the ``router``, or at ``instances``.
        router: where gorouter is, as ``host:port``; without it each route's own host name.
        router_port: the port of gorouter, where `router` does not say it.
        instance_tls: whether the TLS port of an instance counts, if it has one.
        service_port: the port of every HTTP service.
        region: the region of every instance.
        metadata: whether labels of apps become labels.
        interval: time between the end of one poll and the next.
        timeout: time for one answer.
        per_page: how many things one answer holds.
        concurrency: how many requests may run at once.
        longest_pause: how long the API's rate limit is waited for; a poll that had to wait
            longer fails, and the data stays.
    """

    api: str = field(validator=_is_api)
    client_id: str = "cf"
    client_secret: Secret | None = None
    user: str = ""
    password: Secret | None = None
    refresh_token: Secret | None = None
    ca_file: Path | None = None
    verify: bool = True
    organizations: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    endpoints: Literal["router", "instances"] = "router"
    router: str = field(default="", validator=_is_router)
    router_port: int = field(default=80, validator=_PORT)
    instance_tls: bool = False
    service_port: int = field(default=80, validator=_PORT)
    region: str = ""
    metadata: bool = True
    interval: Seconds = field(default=Seconds(30.0), validator=gt(_NO_TIME))
    timeout: Seconds = field(default=Seconds(30.0), validator=gt(_NO_TIME))
    per_page: int = field(default=500, validator=and_(ge(1), le(_MOST_PER_PAGE)))
    concurrency: int = field(default=4, validator=ge(1))
    longest_pause: Seconds = field(default=Seconds(60.0), validator=ge(_NO_TIME))

    def __attrs_post_init__(self) -> None:
        if bool(self.user) != (self.password is not None):
            msg = "user and password belong together: write both, or neither"
            raise ValueError(msg)
        if self.user and self.refresh_token is not None:
            msg = "user and refresh_token are both given: write one of them"
            raise ValueError(msg)
        if not self.user and self.refresh_token is None and self.client_secret is None:
            msg = "there are no credentials: write user and password, refresh_token, or client_id and client_secret"
            raise ValueError(msg)


def gorouter_file_faults(config: GorouterConfig, base_path: Path) -> Iterator[ConfigError]:
    """What is wrong with the files that the options name, without asking NATS."""
    return _file_faults(
        base_path,
        ca_file=config.ca_file,
        cert_file=config.cert_file,
        key_file=config.key_file,
        password_file=_file(config.password),
        token_file=_file(config.token),
    )


def capi_file_faults(config: CapiConfig, base_path: Path) -> Iterator[ConfigError]:
    """What is wrong with the files that the options name, without asking the platform."""
    return _file_faults(
        base_path,
        ca_file=config.ca_file,
        client_secret_file=_file(config.client_secret),
        password_file=_file(config.password),
        refresh_token_file=_file(config.refresh_token),
    )


def _file(secret: Secret | None) -> Path | None:
    return secret.file if secret is not None else None


def _file_faults(base_path: Path, **named: Path | None) -> Iterator[ConfigError]:
    for option, path in named.items():
        if path is not None and not (base_path / path).is_file():
            reason = f"there is no file {base_path / path}"
            yield ConfigError(reason, field=option, remedy="write the path of a readable file")
