"""What Envoy would refuse in a text: checked here, where there is a line to blame.

A value that Envoy refuses takes the whole route configuration down with it, and with that
every other document's routes.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_COMMANDS = re.compile(r"(?:[^%]|%%|%[A-Z_0-9]+(?:\([^%]*\))?(?::\d+)?%)*")
_NOT_RE2 = re.compile(r"(?<!\\)(?:\\\\)*(?:\\[1-9]|\\Z|\(\?(?:[=!>(]|<[=!]|P=))")
_REFERENCE = re.compile(r"\\(.)")


def header_name_fault(name: str, *, is_pseudo_allowed: bool = False) -> str:
    """Why a text is no header name (RFC 9110, section 5.1); empty if it is one."""
    bare = name[1:] if is_pseudo_allowed and name.startswith(":") else name
    if _TOKEN.fullmatch(bare):
        return ""
    return f"{name!r} is not a header name: write letters, digits and hyphens"


def header_value_fault(value: str) -> str:
    """Why a text cannot be a header's value in Envoy; empty if it can."""
    if fault := text_fault(value):
        return fault
    if _COMMANDS.fullmatch(value):
        return ""
    return f"{value!r} has a lone percent sign: write %%, or a command such as %PROTOCOL%"


def text_fault(text: str) -> str:
    """Why a text cannot stand in a request's head; empty if it can."""
    if _UNPRINTABLE.search(text):
        return f"{text!r} has a control character: take it out"
    return ""


def expression_fault(text: str) -> str:
    """Why a text is no expression in RE2's syntax, as far as one can tell; empty if it is."""
    try:
        re.compile(text)
    except re.error as error:
        return f"the expression {text!r} is wrong: {error.msg}"
    if _NOT_RE2.search(text):
        return f"the expression {text!r} looks around or back: RE2 cannot, so write it without"
    return ""


def substitution_fault(pattern: str, substitution: str) -> str:
    """Why a text cannot replace what an expression matches; empty if it can."""
    groups = re.compile(pattern).groups
    for found in _REFERENCE.finditer(substitution):
        if not (found[1] == "\\" or (found[1].isdecimal() and int(found[1]) <= groups)):
            return f"{found[0]} refers to no group: the expression has {groups}"
    return text_fault(substitution)
