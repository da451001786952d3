"""``${VAR}`` and ``${VAR:-default}`` from the environment, per scalar, after parsing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.documents._nodes import AnyNode, MappingNode, ScalarNode, SequenceNode
from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DOLLAR = re.compile(r"\$(?:(\$)|\{([^}]*)(\}?))")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand(
    node: AnyNode, environ: Mapping[str, str], *, faults: list[ConfigError] | None = None
) -> AnyNode:
    """The tree with its variables replaced; keys are left alone.

    The environment cannot change the structure: what comes out of a scalar is one scalar.
    As in a shell the default counts if the variable is unset or empty; ``$$`` is a dollar,
    and a dollar before anything but ``{`` or ``$`` is itself.

    Args:
        node: the tree.
        environ: the variables.
        faults: where to add what is wrong, for a caller that has more to report.

    Raises:
        ConfigError: all variables that are unset and have no default, joined; not if
            `faults` takes them.
    """
    found: list[ConfigError] = []
    expanded = _expand(node, environ, found)
    if faults is not None:
        faults.extend(found)
    elif found:
        raise ConfigError.joined(found)
    return expanded


def _expand(node: AnyNode, environ: Mapping[str, str], faults: list[ConfigError]) -> AnyNode:
    if isinstance(node, SequenceNode):
        return evolve(node, items=tuple(_expand(item, environ, faults) for item in node.items))
    if isinstance(node, MappingNode):
        entries = tuple((key, _expand(value, environ, faults)) for key, value in node.entries)
        return evolve(node, entries=entries)
    if "$" not in node.text:
        return node
    return _scalar(node, environ, faults)


def _scalar(node: ScalarNode, environ: Mapping[str, str], faults: list[ConfigError]) -> ScalarNode:
    def value(match: re.Match[str]) -> str:
        dollar, inside, closed = match.groups()
        if dollar:
            return "$"
        variable = _VARIABLE.fullmatch(inside)
        if variable is None or not closed:
            faults.append(
                node.fault(
                    f"{match[0]!r} is not a variable",
                    "write ${VAR} or ${VAR:-default}, or $$ for a dollar",
                )
            )
            return ""
        name, default = variable.groups()
        if name not in environ and default is None:
            faults.append(
                node.fault(
                    f"the environment variable {name} is not set",
                    f"set it, or write ${{{name}:-default}}",
                )
            )
        return environ.get(name) or default or ""

    return evolve(node, text=_DOLLAR.sub(value, node.text), is_expanded=True)
