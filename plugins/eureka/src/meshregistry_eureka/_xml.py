"""XML answers in the shape of JSON ones, for servers that do not heed what is asked for; pure.

Names are escaped there as XStream does it (XmlFriendlyNameCoder), also those of metadata.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from meshregistry.errors import RegistryProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ESCAPED = re.compile(r"_(?:\.([0-9a-f]{4})|([_-]))")
_MANY = ("application", "instance")


def document_of(text: str) -> Any:
    """What the same answer would be in JSON.

    Raises:
        RegistryProtocolError: if it is no XML of Eureka's.
    """
    if "<!DOCTYPE" in text:
        # Eureka has none, and entities may grow without bound.
        raise RegistryProtocolError("the answer has a DOCTYPE; is this the URL of a Eureka server?")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a DOCTYPE there is no entity to expand
    except ET.ParseError as error:
        msg = f"the answer is broken XML: {error}; let the server answer with JSON"
        raise RegistryProtocolError(msg) from error
    return {root.tag: _object(root)}


def unescaped(name: str) -> str:
    """``a__b`` is ``a_b``, ``a_-b`` is ``a$b`` and ``a_.002fb`` is ``a/b``."""
    return _ESCAPED.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else "_" if found[2] == "_" else "$", name
    )


def _object(element: Iterable[ET.Element]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for child in element:
        name = unescaped(child.tag)
        if name in _MANY:
            values.setdefault(name, []).append(_object(child))
        else:
            values[name] = _value(child)
    return values


def _value(element: ET.Element) -> Any:
    if element.tag == "metadata":
        # Its names are the users', so one may be called like anything else here.
        return {unescaped(child.tag): child.text or "" for child in element}
    if "enabled" in element.attrib:
        return {"$": element.text, "@enabled": element.attrib["enabled"]}
    return _object(element) if len(element) else element.text or ""
