"""Agents as a Mesos master describes them; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from meshregistry_mesos._reading import a_list, a_number, a_text, an_id, an_object


@frozen(kw_only=True)
class Agent:
    """An agent of which the master knows.

    Attributes:
        id: given by the master.
        place: ``ip:port``, which one agent only can have.
        address: where it answers.
        attributes: as texts.
        region: of its fault domain.
        zone: likewise.
        fault: why something of it could not be read; None if all is well.
    """

    id: str
    place: str = ""
    address: str = ""
    attributes: Mapping[str, str] = field(factory=dict)
    region: str = ""
    zone: str = ""
    fault: str | None = None


def read_agent(message: Any) -> Agent:
    """An agent; what is wrong with it beyond its identity is its fault.

    Raises:
        ValueError: if nobody can tell which agent it is.
    """
    info = an_object(message, "agent_info")
    id_ = an_id(info, "id")
    try:
        domain = an_object(an_object(info, "domain"), "fault_domain")
        place = a_text(message, "pid").rpartition("@")[2]
        host = place.rpartition(":")[0].strip("[]")
        return Agent(
            id=id_,
            place=place,
            address=host or a_text(info, "hostname"),
            attributes={a_text(one, "name"): _value(one) for one in a_list(info, "attributes")},
            region=a_text(an_object(domain, "region"), "name"),
            zone=a_text(an_object(domain, "zone"), "name"),
        )
    except ValueError as error:
        return Agent(id=id_, fault=str(error))


def _value(attribute: Any) -> str:
    """The value of an attribute, as operators write it."""
    kind = a_text(attribute, "type")
    if kind == "SCALAR":
        value = an_object(attribute, "scalar").get("value")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"the attribute {a_text(attribute, 'name')!r} is no number: {value!r}")
        return f"{value:g}"
    if kind == "RANGES":
        ranges = a_list(an_object(attribute, "ranges"), "range")
        return ",".join(f"{a_number(one, 'begin')}-{a_number(one, 'end')}" for one in ranges)
    if kind == "SET":
        return ",".join(map(str, a_list(an_object(attribute, "set"), "item")))
    return a_text(an_object(attribute, "text"), "value")
