"""What one message on ``router.register`` or ``router.unregister`` says; pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from meshregistry.errors import RecordError
from meshregistry.model import Labels, Protocol, canonical_address
from meshregistry_cloudfoundry._routes import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry_cloudfoundry._config import GorouterConfig

_SPOKEN = {"": None, "http1": Protocol.HTTP, "http2": Protocol.HTTP2}
_HIGHEST_PORT = 65535
_LONGEST_INTERVAL = 3600
_SHOWN = 60


@frozen(kw_only=True)
class Backend:
    """One instance at the port that counts.

    Attributes:
        address: of the cell, or whatever else answers.
        port: the one that counts by the option ``backends``.
        is_internal: whether it is a container itself, which callers reach without a router.
        is_tls: whether that is its TLS port.
        san: the name that its certificate has to have; empty if nobody says.
        protocol: what it speaks; None if nobody says.
        app: GUID of the app.
        instance_id: GUID of the instance.
        instance_index: its number within the app.
        segment: isolation segment; empty for the shared one.
        zone: availability zone.
        route_service: the URL to which gorouter sends requests first; empty for none.
        load_balancing: what gorouter does among the backends of the route.
        tags: of the instance.
    """

    address: str
    port: int
    is_internal: bool = False
    is_tls: bool = False
    san: str = ""
    protocol: Protocol | None = None
    app: str = ""
    instance_id: str = ""
    instance_index: str = ""
    segment: str = ""
    zone: str = ""
    route_service: str = ""
    load_balancing: str = ""
    tags: Labels = field(factory=Labels)

    @property
    def place(self) -> tuple[str, int]:
        """What identifies it within a route."""
        return self.address, self.port

    @property
    def is_verifiable(self) -> bool:
        """Whether a proxy can tell it from another instance that has got its address since."""
        return self.is_tls and bool(self.san)


@frozen
class Registration:
    """A message as far as it could be used.

    Attributes:
        backend: which instance.
        routes: of it.
        threshold: seconds for which this counts unless it is repeated.
        updated_at: nanoseconds by the platform's clock, to order messages; 0 if unknown.
        is_wanted: whether the settings ask for such instances.
    """

    backend: Backend
    routes: tuple[Route, ...]
    threshold: float
    updated_at: int = 0
    is_wanted: bool = True


@frozen
class Message:
    """What became of a message.

    Attributes:
        registration: None if no part of it can be used.
        faults: one for each route that suffers; without a key if none is named.
    """

    registration: Registration | None = None
    faults: tuple[RecordError, ...] = ()


def read_message(data: bytes, config: GorouterConfig, *, is_internal: bool = False) -> Message:
    """Read one message; what is wrong with it becomes faults of the routes that it names.

    Args:
        data: its content.
        config: of the source.
        is_internal: whether it is one of the service discovery, which names no port.
    """
    try:
        body = json.loads(data)
        uris = _list(body["uris"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = data[:_SHOWN].decode("utf-8", "replace")
        subject = "service-discovery.register" if is_internal else "router.register"
        msg = f"a message names no routes: {text!r}; look for who publishes it on {subject}"
        return Message(None, (RecordError(msg),))
    routes: dict[Route, None] = {}
    faults: list[RecordError] = []
    for uri in uris:
        try:
            routes[_route(uri)] = None
        except ValueError as error:
            key = str(uri).lower()
            faults.append(RecordError(f"the route {key!r} is left out: {error}", key=key))
    try:
        registration = _registration(body, tuple(routes), config, is_internal=is_internal)
    except ValueError as error:
        faults += [
            RecordError(
                f"a registration of the route {route.key!r} is left out: {error}; look at who registers it",
                key=route.key,
            )
            for route in routes
        ]
        return Message(None, tuple(faults))
    return Message(registration if routes else None, tuple(faults))


def read_interval(data: bytes) -> float | None:
    """The interval that a router asks for, from ``router.start`` or an answer to ``router.greet``."""
    try:
        found = json.loads(data)["minimumRegisterIntervalInSeconds"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and 0 < found <= _LONGEST_INTERVAL else None


def _route(uri: Any) -> Route:
    if not isinstance(uri, str):
        msg = "it is not a text"
        raise ValueError(msg)  # noqa: TRY004 - a wrong message, not a wrong argument
    route = Route.parse(uri)
    # Made here to see whether its path can be part of a host name.
    _ = route.service_host
    return route


def _registration(
    body: Mapping[str, Any],
    routes: tuple[Route, ...],
    config: GorouterConfig,
    *,
    is_internal: bool,
) -> Registration:
    plain, tls = _port(body, "port"), _port(body, "tls_port")
    if is_internal:
        plain, tls = config.internal_port or 0, 0
    is_tls = bool(tls) and config.backends != "plain"
    port = tls if is_tls else plain
    is_wanted = is_tls or is_internal or config.backends != "tls-only"
    if is_wanted and not port:
        what = "port" if config.backends == "plain" else "port or tls_port"
        msg = f"it has no {what}"
        raise ValueError(msg)
    spoken = _text(body, "protocol")
    if spoken not in _SPOKEN:
        msg = f"protocol is {spoken!r} and not http1 or http2"
        raise ValueError(msg)
    service = _text(body, "route_service_url")
    if service and not service.startswith("https://"):
        msg = "route_service_url is not https"
        raise ValueError(msg)
    segment = _text(body, "isolation_segment")
    backend = Backend(
        address=canonical_address(_text(body, "host")),
        port=port or plain,
        is_internal=is_internal,
        is_tls=is_tls,
        san=_text(body, "server_cert_domain_san") if is_tls else "",
        protocol=_SPOKEN[spoken],
        app=_text(body, "app"),
        instance_id=_text(body, "private_instance_id"),
        instance_index=_text(body, "private_instance_index"),
        segment=segment,
        zone=_text(body, "availability_zone"),
        route_service=service,
        load_balancing=_text(_object(body, "options"), "loadbalancing"),
        tags=Labels({key: str(value) for key, value in _object(body, "tags").items()}),
    )
    is_wanted = is_wanted and _is_in_shard(segment, config)
    is_wanted = is_wanted and not (service and config.route_services == "omit")
    return Registration(
        backend,
        routes,
        _number(body, "stale_threshold_in_seconds") or config.stale_threshold,
        _number(body, "endpoint_updated_at_ns"),
        is_wanted,
    )


def _is_in_shard(segment: str, config: GorouterConfig) -> bool:
    """As ``routing_table_sharding_mode`` of gorouter has it."""
    if config.sharding == "all" or segment in config.isolation_segments:
        return True
    return config.sharding == "shared-and-segments" and not segment


# --- Reading JSON: Go leaves out, or sends null or an empty value --------------------------


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        msg = f"{found!r} is not a list"
        raise TypeError(msg)
    return found


def _text(body: Mapping[str, Any], key: str) -> str:
    found = body.get(key)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)  # the index is a text of a number, and of some emitters a number
    if not isinstance(found, str | None):
        msg = f"{key} is {found!r} and not a text"
        raise ValueError(msg)  # noqa: TRY004 - a wrong message, not a wrong argument
    return found or ""


def _number(body: Mapping[str, Any], key: str) -> int:
    found = body.get(key)
    if not isinstance(found, int | None) or isinstance(found, bool) or (found or 0) < 0:
        msg = f"{key} is {found!r} and not a number"
        raise ValueError(msg)
    return found or 0


def _port(body: Mapping[str, Any], key: str) -> int:
    number = _number(body, key)
    if number > _HIGHEST_PORT:
        msg = f"{key} is {number} and not a port"
        raise ValueError(msg)
    return number


def _object(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = body.get(key)
    if not isinstance(found, dict | None):
        msg = f"{key} is {found!r} and not an object"
        raise ValueError(msg)  # noqa: TRY004 - a wrong message, not a wrong argument
    return found or {}
