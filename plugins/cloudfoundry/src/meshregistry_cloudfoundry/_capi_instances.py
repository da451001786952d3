"""Destinations of a route, and the instances behind them; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from meshregistry.errors import RegistryError
from meshregistry.model import Endpoint, Health, Labels, Locality, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshregistry_cloudfoundry._config import CapiConfig

USUAL_PORT = 8080
"""Where an app of a buildpack listens unless a route says another port."""

_SPOKEN = {"http1": Protocol.HTTP, "http2": Protocol.HTTP2, "tcp": Protocol.TCP}
_HEALTH = {"RUNNING": Health.HEALTHY, "STARTING": Health.UNHEALTHY, "STOPPING": Health.DRAINING}
_SCALE = 1000


@frozen(kw_only=True)
class Destination:
    """Where a route leads.

    Attributes:
        app: GUID of the app.
        app_name: its name.
        process: GUID of the process; empty if it is not known.
        process_type: ``web`` unless said otherwise.
        is_started: whether the app is to run.
        port: of the container; 0 if nobody says.
        protocol: None if nobody says.
        weight: of 100; None if the route has none.
        labels: of the app, and the names of space and organization.
    """

    app: str
    app_name: str
    process: str
    process_type: str = "web"
    is_started: bool = True
    port: int = 0
    protocol: Protocol | None = None
    weight: int | None = None
    labels: Labels = field(factory=Labels)


def destinations_of(
    listed: Any,
    apps: Mapping[str, Any],
    processes: Mapping[tuple[str, str], str],
    names: Mapping[str, str],
) -> tuple[Destination, ...]:
    """Read the destinations of a route.

    Raises:
        ValueError: if one is malformed, or its app is not in the listing.
    """
    if not isinstance(listed, list):
        msg = f"destinations is {listed!r} and not a list"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    return tuple(_destination(one, apps, processes, names) for one in listed)


def _destination(
    listed: Any,
    apps: Mapping[str, Any],
    processes: Mapping[tuple[str, str], str],
    names: Mapping[str, str],
) -> Destination:
    try:
        guid = str(listed["app"]["guid"])
        kind = str((listed["app"].get("process") or {}).get("type") or "web")
        port, weight = listed.get("port"), listed.get("weight")
        spoken = listed.get("protocol")
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"a destination is malformed: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    if not isinstance(port, int | None) or not isinstance(weight, int | None):
        msg = f"port {port!r} or weight {weight!r} of a destination is not a number"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    app = apps.get(guid)
    if app is None:
        msg = f"its app {guid} is not among those that may be seen"
        raise ValueError(msg)
    own = (app.get("metadata") or {}).get("labels") or {}
    return Destination(
        app=guid,
        app_name=str(app.get("name") or ""),
        process=processes.get((guid, kind), ""),
        process_type=kind,
        is_started=app.get("state") == "STARTED",
        port=port or 0,
        protocol=_SPOKEN.get(spoken) if spoken else None,
        weight=weight,
        labels=Labels({**{str(key): str(value) for key, value in own.items()}, **names}),
    )


def instance_endpoints(
    stats: Any, destination: Destination, config: CapiConfig, *, tcp_port: int, is_internal: bool
) -> Iterator[Endpoint]:
    """The instances of a destination.

    Args:
        stats: the answer about them, or the error that came instead.
        destination: which.
        config: of the source.
        tcp_port: of a TCP route; else 0.
        is_internal: whether the container itself is called and not its cell.

    Raises:
        ValueError: if they are not to be known.
    """
    if isinstance(stats, RegistryError):
        msg = f"the instances of {destination.app_name!r} are not known: {stats}"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is the answer
    listed = stats.get("resources") if isinstance(stats, dict) else None
    if not isinstance(listed, list):
        msg = f"the instances of {destination.app_name!r} are not known"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    alive = [one for one in listed if isinstance(one, dict) and one.get("state") in _HEALTH]
    for one in alive:
        address, port, is_tls = _place(one, destination, config, is_internal=is_internal)
        if not address:
            continue
        yield Endpoint(
            address=address,
            port=port,
            service_port=port_name(destination, tcp_port, is_internal=is_internal),
            locality=Locality(config.region),
            health=_health(one),
            weight=_weight(destination, len(alive)),
            labels=_labels(one, destination, config, is_tls=is_tls),
        )


def port_name(destination: Destination, tcp_port: int, *, is_internal: bool) -> str:
    """The name of the port of the service to which a destination belongs."""
    if tcp_port:
        return f"tcp-{tcp_port}"
    # As `gorouter` has it, which knows of one port only.
    is_usual = destination.port in {0, USUAL_PORT}
    return "http" if is_usual or not is_internal else f"http-{destination.port}"


def _health(one: Mapping[str, Any]) -> Health:
    # Absent means that the platform is older than readiness.
    return Health.UNHEALTHY if one.get("routable") is False else _HEALTH[one["state"]]


def _weight(destination: Destination, instances: int) -> int:
    """The share of the destination, spread over its instances."""
    if destination.weight is None:
        return 1
    return max(1, round(destination.weight * _SCALE / instances)) if destination.weight else 0


def _place(
    one: Mapping[str, Any], destination: Destination, config: CapiConfig, *, is_internal: bool
) -> tuple[str, int, bool]:
    """Address and port; no address for an instance that has none yet."""
    wanted = destination.port or USUAL_PORT
    if is_internal:
        address = one.get("instance_internal_ip")
        return str(_seen(address, one, destination) or ""), wanted, False
    host, ports = one.get("host"), one.get("instance_ports")
    if not _seen(host and ports, one, destination):
        return "", 0, False
    found = [port for port in ports or () if isinstance(port, dict)]
    # Without a port in the route, an image's first one counts.
    match = [port for port in found if port.get("internal") == wanted]
    if not match and destination.port:
        msg = f"instance {one.get('index')} of {destination.app_name!r} has no port {wanted}"
        raise ValueError(msg)
    chosen = (match or found)[0]
    tls = chosen.get("external_tls_proxy_port")
    is_tls = bool(config.instance_tls and tls)
    number = tls if is_tls else chosen.get("external")
    if not isinstance(number, int) or not number:
        msg = f"instance {one.get('index')} of {destination.app_name!r} has no port that can be reached; see instance_tls"
        raise ValueError(msg)
    return str(host), number, is_tls


def _seen(value: Any, one: Mapping[str, Any], destination: Destination) -> Any:
    """A running instance without an address is one whose address may not be seen."""
    if not value and one.get("state") == "RUNNING":
        msg = f"the addresses of {destination.app_name!r} are not shown to these credentials; they need the role Space Developer or Admin Read-Only"
        raise ValueError(msg)
    return value


def _labels(
    one: Mapping[str, Any], destination: Destination, config: CapiConfig, *, is_tls: bool
) -> Labels:
    """By the names that gorouter's messages have for them."""
    said = {
        "app": destination.app,
        "app_name": destination.app_name,
        "process_type": destination.process_type,
        "private_instance_id": str(one.get("instance_guid") or ""),
        "private_instance_index": str(one.get("index", "")),
        "isolation_segment": str(one.get("isolation_segment") or ""),
        "tls": "true" if is_tls else "false",
    }
    own = dict(destination.labels) if config.metadata else {}
    return Labels({**own, **{key: value for key, value in said.items() if value}})
