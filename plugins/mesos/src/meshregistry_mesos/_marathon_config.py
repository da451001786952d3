"""What users write under a source of the kind ``marathon``."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, gt

from meshregistry.spi import Seconds
from meshregistry_mesos._config import (
    NO_TIME,
    ConnectionConfig,
    HealthConfig,
    Spoken,
    are_ports,
    are_servers,
    is_template,
    parse_server,
)

_VIP_HOST = "{vip}.marathon.l4lb.thisdcos.directory"


@frozen(kw_only=True)
class MarathonConfig(ConnectionConfig):
    """The options of one source; structured strictly, so there is nothing to check twice.

    Attributes:
        masters: the addresses of Marathon, all of them or some, with a path if it has one:
            ``https://dcos.example/service/marathon``.
        apps: ids of apps and pods to follow, with ``*`` and ``?``; empty for all.
        label: Marathon's selector of labels over apps, such as ``mesh==yes``; apps only.
        pods: whether pods are followed, too.
        hostname: the host of a service: ``{app}`` is the app's path from its end with hyphens
            (``/shop/web`` is ``web-shop``), ``{app_path}`` with dots.
        vip_hostname: the host of a virtual address that a label ``VIP_0: /name:80`` names;
            empty for none.
        address: where an endpoint answers that has both an address of its container and a
            port of its host.
        family: the version of IP to prefer, where there are both.
        protocol: what a port speaks of which nothing is said.
        service_ports: numbers of the service's ports by their names; else what Marathon says.
        health: what the states of tasks mean.
        debounce: how long events are collected before the apps that they name are asked for.
        max_apps: above so many apps named at once, everything is listed instead.
        resync: time after which everything is listed anew.
        silence: time without an event after which the stream is opened anew, since Marathon
            gives no sign of life.
    """

    masters: tuple[str, ...] = field(default=("http://127.0.0.1:8080",), validator=are_servers)
    apps: tuple[str, ...] = ()
    label: str = ""
    pods: bool = True
    hostname: str = field(default="{app}.marathon.mesos", validator=is_template("app", "app_path"))
    vip_hostname: str = field(default=_VIP_HOST, validator=is_template("vip", may_be_empty=True))
    address: Literal["container", "host"] = "container"
    family: Literal["IPv4", "IPv6"] = "IPv4"
    protocol: Spoken = "HTTP"
    service_ports: dict[str, int] = field(factory=dict, validator=are_ports)
    health: HealthConfig = field(factory=HealthConfig)
    debounce: Seconds = field(default=Seconds(0.25), validator=ge(NO_TIME))
    max_apps: int = field(default=20, validator=ge(1))
    resync: Seconds = field(default=Seconds(300.0), validator=gt(NO_TIME))
    silence: Seconds = field(default=Seconds(60.0), validator=gt(NO_TIME))

    @property
    def servers(self) -> tuple[str, ...]:
        return tuple(map(parse_server, self.masters))
