"""Reading JSON of which nothing is certain: the right type or a `ValueError` that says what is wrong.

Protobuf's JSON leaves out what is not set, and Marathon writes null for it: both read as empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def an_object(value: Any, key: str) -> Mapping[str, Any]:
    """The object under a key; empty if there is none."""
    found = _found(value, key)
    if not isinstance(found, dict | None):
        raise _wrong(key, found, "an object")
    return found or {}


def a_list(value: Any, key: str) -> Sequence[Any]:
    """The list under a key; empty if there is none."""
    found = _found(value, key)
    if not isinstance(found, list | None):
        raise _wrong(key, found, "a list")
    return found or ()


def a_text(value: Any, key: str) -> str:
    """The text under a key; empty if there is none."""
    found = _found(value, key)
    if not isinstance(found, str | None):
        raise _wrong(key, found, "a text")
    return found or ""


def a_number(value: Any, key: str) -> int:
    """The whole number under a key; 0 if there is none."""
    found = _found(value, key)
    if not isinstance(found, int | None) or isinstance(found, bool):
        raise _wrong(key, found, "a whole number")
    return found or 0


def a_flag(value: Any, key: str) -> bool | None:
    """The truth under a key; None if there is none."""
    found = _found(value, key)
    if not isinstance(found, bool | None):
        raise _wrong(key, found, "true or false")
    return found


def an_id(value: Any, key: str) -> str:
    """The text in Mesos' ``{"value": "..."}`` under a key; it must be there."""
    found = a_text(an_object(value, key), "value")
    if not found:
        raise ValueError(f"{key} is missing")
    return found


def pairs(value: Any, key: str) -> dict[str, str]:
    """Mesos' ``{"labels": [{"key": ..., "value": ...}]}`` under a key."""
    found = a_list(an_object(value, key), "labels")
    return {a_text(one, "key"): a_text(one, "value") for one in found}


def texts(value: Any, key: str) -> dict[str, str]:
    """An object of texts under a key; numbers and flags become texts."""
    found: dict[str, str] = {}
    for name, text in an_object(value, key).items():
        if isinstance(text, dict | list):
            raise _wrong(f"{key}.{name}", text, "a text")
        found[name] = "" if text is None else str(text)
    return found


def _found(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(f"what holds {key}", value, "an object")
    return value.get(key)


def _wrong(key: str, found: Any, wanted: str) -> ValueError:
    shown = repr(found)
    return ValueError(
        f"{key} is {shown if len(shown) < _SHOWN else shown[:_SHOWN]} and not {wanted}"
    )


_SHOWN = 80
