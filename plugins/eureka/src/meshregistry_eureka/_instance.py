"""One instance as Eureka sends it, read with its quirks; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from meshregistry.model import Labels

STATES = ("UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN")
_RESTRICTIVE = ("OUT_OF_SERVICE", "DOWN", "STARTING")
_AMAZON = "Amazon"
_DEFAULT_LEASE = 90  # seconds; LeaseInfo's own default

Key = tuple[str, str]
"""The application, in upper case, and the id of an instance."""


@frozen(kw_only=True)
class Instance:
    """What matters of one instance. Equality leaves out what changes without news.

    Attributes:
        app: its application, in upper case.
        id: unique within the application.
        status: as the server counts it in its hash code.
        override: the state that somebody set from outside; ``UNKNOWN`` is none.
        ip_address: ``ipAddr``; may be empty.
        host_name: ``hostName``; may be empty.
        port: the plain port, if it is enabled.
        secure_port: the TLS port, if it is enabled.
        vips: VIP addresses, which name the plain port.
        secure_vips: secure VIP addresses, which name the secure port.
        metadata: without the class name that Java's serializer adds.
        data_center: the name of the data center: ``Netflix``, ``Amazon``, ``MyOwn``.
        availability_zone: of Amazon's data center information.
        fault: why it cannot be used; empty if it can.
        is_deleted: whether a delta says that it is gone.
        updated: when the server last changed it, in its own milliseconds; 0 if it is not said.
        renewed: when its lease was last renewed, likewise.
        duration: of its lease, in seconds.
    """

    app: str
    id: str
    status: str = "UP"
    override: str = "UNKNOWN"
    ip_address: str = ""
    host_name: str = ""
    port: int | None = None
    secure_port: int | None = None
    vips: tuple[str, ...] = ()
    secure_vips: tuple[str, ...] = ()
    metadata: Labels = field(factory=Labels)
    data_center: str = ""
    availability_zone: str = ""
    fault: str = ""
    is_deleted: bool = field(default=False, eq=False)
    updated: int = field(default=0, eq=False)
    renewed: int = field(default=0, eq=False)
    duration: int = field(default=_DEFAULT_LEASE, eq=False)

    @property
    def key(self) -> Key:
        """Its identity."""
        return self.app, self.id

    @property
    def state(self) -> str:
        """Its state of health: the status, unless an override takes it out of traffic.

        Servers compute the override into the status; a copy that is older than the override
        may not show it yet. One that would bring an instance into traffic is the server's to
        decide, since an instance that is starting or down stays so.
        """
        if self.status == "UP" and self.override in _RESTRICTIVE:
            return self.override
        return self.status if self.status in STATES else "UNKNOWN"


def instance_of(value: Any, application: str = "") -> Instance:
    """Read one; what is wrong with it is its `fault`, so that it counts and harms no other.

    Args:
        value: the JSON.
        application: in whose list it stands, for one that does not say it.
    """
    if not isinstance(value, Mapping):
        return Instance(app=application.upper(), id="", fault="it is not an object")
    app = (_loose(value, "app") or application).upper()
    center = value.get("dataCenterInfo")
    center_metadata = center.get("metadata") if isinstance(center, Mapping) else None
    amazon = center_metadata if isinstance(center_metadata, Mapping) else {}
    # Old clients send no id (InstanceInfo.getId); Amazon's and the host's name stand for it.
    id_ = _loose(value, "instanceId") or _loose(amazon, "instance-id") or _loose(value, "hostName")
    lease = value.get("leaseInfo")
    lease = lease if isinstance(lease, Mapping) else {}
    read: dict[str, Any] = {
        "app": app,
        "id": id_,
        "status": _loose(value, "status").upper() or "UNKNOWN",
        "is_deleted": _loose(value, "actionType").upper() == "DELETED",
        "updated": _time(value, "lastUpdatedTimestamp"),
        "renewed": _time(lease, "lastRenewalTimestamp") or _time(lease, "renewalTimestamp"),
        "duration": _time(lease, "durationInSecs") or _DEFAULT_LEASE,
        "vips": _names(value, "vipAddress"),
        "secure_vips": _names(value, "secureVipAddress"),
    }
    try:
        return Instance(**read, **_checked(value, center, amazon))
    except ValueError as error:
        return Instance(**read, fault=str(error))


def _checked(value: Mapping[str, Any], center: Any, amazon: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields that a malformed instance may have wrong.

    Raises:
        ValueError: naming the first that is.
    """
    name = _text(center, "name") if isinstance(center, Mapping) else ""
    return {
        # Both spellings occur: Netflix's XML and older JSON have a small s.
        "override": (
            _text(value, "overriddenStatus") or _text(value, "overriddenstatus") or "UNKNOWN"
        ).upper(),
        "ip_address": _text(value, "ipAddr"),
        "host_name": _text(value, "hostName"),
        "port": _port(value, "port"),
        "secure_port": _port(value, "securePort"),
        "metadata": _metadata(value),
        "data_center": name,
        "availability_zone": _text(amazon, "availability-zone") if name == _AMAZON else "",
    }


def _port(value: Mapping[str, Any], key: str) -> int | None:
    """``{"$": 8080, "@enabled": "true"}``: numbers and flags may be texts; None if disabled."""
    found = value.get(key)
    if found is None:
        return None
    if not isinstance(found, Mapping):
        msg = f"{key} is {found!r} and not an object"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    if str(found.get("@enabled", "true")).lower() != "true":
        return None
    number = found.get("$")
    try:
        return int(str(number))
    except ValueError:
        msg = f"{key} is {number!r} and not a number"
        raise ValueError(msg) from None


def _metadata(value: Mapping[str, Any]) -> Labels:
    found = value.get("metadata")
    if found is None:
        return Labels()
    if not isinstance(found, Mapping):
        msg = f"metadata is {found!r} and not an object"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    # Java's serializer adds the class of the map, most often Collections$EmptyMap.
    return Labels(
        {key: "" if text is None else str(text) for key, text in found.items() if key != "@class"}
    )


def _names(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """VIP addresses stand with commas between them; by Netflix's custom they may have a port."""
    return tuple(dict.fromkeys(_without_ports(_loose(value, key).split(","))))


def _without_ports(names: list[str]) -> Iterator[str]:
    for name in names:
        host, found, port = name.strip().rpartition(":")
        if bare := host if found and port.isdigit() else name.strip():
            yield bare.lower()


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    if not isinstance(found, str | None):
        msg = f"{key} is {found!r} and not a text"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    return found or ""


def _loose(value: Mapping[str, Any], key: str) -> str:
    """A text, or nothing: for what names and counts an instance, whatever else is wrong."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _time(value: Mapping[str, Any], key: str) -> int:
    """Timestamps are numbers in leases and texts elsewhere; 0 if it is neither."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | str):
        return 0
    return int(found) if str(found).isdecimal() else 0
