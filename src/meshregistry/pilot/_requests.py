"""A request in a few words, as for a command line: ``GET /a?b=c -H 'x: y'``."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_METHOD = re.compile(r"[A-Za-z]+")
_EXAMPLE = "write one such as: GET /a?b=c -H 'x-user: anna'"


def request_words(text: str) -> dict[str, Any]:
    """Method, target and headers of a request; the method is GET unless it is said.

    Raises:
        ValueError: if the text says something else.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        msg = f"the request {text!r} cannot be read: {error}; {_EXAMPLE}"
        raise ValueError(msg) from error
    method = "GET"
    targets: list[str] = []
    headers: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word in {"-H", "--header"}:
            name, value = _header(next(rest, ""))
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        elif word.startswith("/"):
            targets.append(word)
        elif not targets and _METHOD.fullmatch(word):
            method = word.upper()
        else:
            msg = f"{word!r} is no part of a request; {_EXAMPLE}"
            raise ValueError(msg)
    if len(targets) != 1:
        msg = f"the request {text!r} has {len(targets) or 'no'} paths; {_EXAMPLE}"
        raise ValueError(msg)
    return {"method": method, "target": targets[0], "headers": headers}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        msg = f"{text!r} is not a header; write -H 'name: value'"
        raise ValueError(msg)
    return name.strip().lower(), value.strip()


def http_ports(entries: Any) -> Iterator[int]:
    """The HTTP ports of some services, for a request that names none."""
    for entry in entries:
        yield from (port.number for port in entry.service.ports if port.protocol.is_http)
