"""What users write under a source of the kind ``mesos``, and what both kinds have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import deep_mapping, ge, gt, instance_of, le

from meshregistry.errors import ConfigError
from meshregistry.spi import Path, Seconds, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Shown = Literal["HEALTHY", "DRAINING", "UNHEALTHY", "OMIT"]
"""What becomes of an instance: a health, or it is left out."""

Spoken = Literal["HTTP", "HTTP2", "GRPC", "HTTPS", "TCP", "TLS"]
Visibility = Literal["FRAMEWORK", "CLUSTER", "EXTERNAL"]

NO_TIME = Seconds(0.0)
_VIP_HOST = "{vip}.{framework}.l4lb.thisdcos.directory"

are_ports = deep_mapping(
    key_validator=instance_of(str), value_validator=[instance_of(int), ge(1), le(65535)]
)


def parse_server(text: str) -> str:
    """The base of a server's addresses, without a slash at its end.

    Raises:
        ValueError: if the text is not such an address.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    # Reading the port raises ValueError if it is not one.
    is_good = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or True)
    if not is_good or parts.query or parts.fragment or parts.username or parts.password:
        msg = f"{text!r} is not the address of a server: write http://host:port or https://host:port, and credentials as username and password"
        raise ValueError(msg)
    return parts.geturl().rstrip("/")


def are_servers(_config: object, _attribute: object, value: tuple[str, ...]) -> None:
    """Validate a list of servers."""
    if not value or len({parse_server(one) for one in value}) != len(value):
        raise ValueError(f"{list(value)!r} must name at least one server, and each once")


def is_template(
    *needs: str, also: str = "", may_be_empty: bool = False
) -> Callable[[Any, Any, str], None]:
    """A validator for templates of host names.

    Args:
        needs: names of which one must be used.
        also: another name that may be used.
        may_be_empty: whether there may be no template.
    """

    def validate(_config: object, _attribute: object, value: str) -> None:
        if may_be_empty and not value:
            return
        try:
            value.format(**dict.fromkeys((*needs, also), "x"))
            is_good = any("{" + name + "}" in value for name in needs)
        except (KeyError, IndexError, ValueError):
            is_good = False
        if not is_good:
            words = " or ".join("{" + name + "}" for name in needs)
            more = ", and {" + also + "} if need be" if also else ""
            raise ValueError(f"{value!r} does not make host names: use {words}{more}")

    return validate


@frozen(kw_only=True)
class ConnectionConfig:
    """How to reach the servers of either kind.

    Attributes:
        username: for basic credentials.
        password: beside it; a file is read again for each request, so rotation is seen.
        token: of DC/OS, sent as ``Authorization: token=...``; read again like the password.
        verify: whether the certificates of servers are checked.
        ca_file: the authorities to check them against; the system's if absent.
        cert_file: the certificate to present.
        key_file: its private key, if it is not in the same file.
        timeout: time for an answer to begin, and to go on.
    """

    username: str = ""
    password: Secret | None = None
    token: Secret | None = None
    verify: bool = True
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    timeout: Seconds = field(default=Seconds(10.0), validator=gt(NO_TIME))

    @property
    def servers(self) -> tuple[str, ...]:
        """The bases of the addresses of all servers.

        Raises:
            NotImplementedError: unless the kind says.
        """
        raise NotImplementedError

    def __attrs_post_init__(self) -> None:
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password are given together or not at all")
        if self.username and self.token is not None:
            raise ValueError("username and token are both given: write one of them")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file is given without cert_file: write both")


@frozen(kw_only=True)
class HealthConfig:
    """What the state of a task makes of it.

    Attributes:
        healthy: its health check passes, or it has none.
        unhealthy: its health check fails.
        check_failed: it has no health check, and Mesos' general check of it fails.
        pending: it has a check of which no result is known yet.
        killing: it has been told to end.
        unreachable: the agent that it runs on is cut off from the master.
    """

    healthy: Shown = "HEALTHY"
    unhealthy: Shown = "UNHEALTHY"
    check_failed: Shown = "UNHEALTHY"
    pending: Shown = "UNHEALTHY"
    killing: Shown = "DRAINING"
    unreachable: Shown = "UNHEALTHY"


@frozen(kw_only=True)
class LocalityConfig:
    """The names of agents' attributes that say where they are.

    Without them, the region and the zone of the agent's fault domain count, and then the
    ``location`` of a task's discovery information as its zone.
    """

    region: str = "region"
    zone: str = "zone"
    sub_zone: str = "rack"


@frozen(kw_only=True)
class MesosConfig(ConnectionConfig):
    """The options of one source; structured strictly, so there is nothing to check twice.

    Attributes:
        masters: all of them, or some; whichever is asked names the leader.
        frameworks: names of frameworks to follow, with ``*`` and ``?``; empty for all.
        exclude_frameworks: names of frameworks to leave out, likewise.
        visibility: which tasks and ports are taken, by what their discovery information says.
        hostname: the host of a service: ``{task}`` is the name of its tasks with hyphens for
            dots, ``{task_path}`` with dots kept, ``{framework}`` the name of its framework.
        vip_hostname: the host of a virtual address that a label ``VIP_0: /name:80`` names;
            empty for none.
        address: where an endpoint answers: at its container's address, at its agent's, or
            as mappings of ports and the label ``network-scope`` say.
        family: the version of IP to prefer, where there are both.
        protocol: what a port speaks of which nothing is said.
        service_ports: numbers of the service's ports by their names; else labels, mappings
            of ports and the protocol decide.
        health: what the states of tasks mean.
        locality: which attributes of agents say where they are.
        attributes: names of agents' attributes that become labels.
        heartbeats: how many heartbeats may be missed before the connection counts as lost.
        resync: time after which everything is listed anew, since Mesos does not tell all.
        recovery: how long a new leader is given to hear from the agents that the last one
            knew: Mesos' ``agent_reregister_timeout``.
    """

    masters: tuple[str, ...] = field(default=("http://127.0.0.1:5050",), validator=are_servers)
    frameworks: tuple[str, ...] = ()
    exclude_frameworks: tuple[str, ...] = ()
    visibility: tuple[Visibility, ...] = ("FRAMEWORK", "CLUSTER", "EXTERNAL")
    hostname: str = field(
        default="{task}.{framework}.mesos",
        validator=is_template("task", "task_path", also="framework"),
    )
    vip_hostname: str = field(
        default=_VIP_HOST, validator=is_template("vip", also="framework", may_be_empty=True)
    )
    address: Literal["auto", "container", "host"] = "auto"
    family: Literal["IPv4", "IPv6"] = "IPv4"
    protocol: Spoken = "HTTP"
    service_ports: dict[str, int] = field(factory=dict, validator=are_ports)
    health: HealthConfig = field(factory=HealthConfig)
    locality: LocalityConfig = field(factory=LocalityConfig)
    attributes: tuple[str, ...] = ()
    heartbeats: int = field(default=5, validator=ge(1))
    resync: Seconds = field(default=Seconds(600.0), validator=gt(NO_TIME))
    recovery: Seconds = field(default=Seconds(600.0), validator=ge(NO_TIME))

    @property
    def servers(self) -> tuple[str, ...]:
        return tuple(map(parse_server, self.masters))


def file_faults(config: ConnectionConfig, base_path: Path) -> Iterator[ConfigError]:
    """What is wrong with the files that the options name, without asking any server."""
    named = {
        "ca_file": config.ca_file,
        "cert_file": config.cert_file,
        "key_file": config.key_file,
        "password_file": config.password.file if config.password is not None else None,
        "token_file": config.token.file if config.token is not None else None,
    }
    for option, path in named.items():
        if path is not None and not (base_path / path).is_file():
            reason = f"there is no file {base_path / path}"
            yield ConfigError(reason, field=option, remedy="write the path of a readable file")
