"""What a sweep has to ask for next, and what a change of checks or nodes says of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from meshregistry.errors import RegistryProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@define
class Due:
    """Services to ask for: named ones first, then those of a round, each once.

    A round is how a sweep finds what Consul does not name: an edit of metadata, or an
    instance without checks, moves the index of all services and says no more.
    """

    _urgent: dict[str, None] = field(factory=dict, init=False)
    _round: dict[str, None] = field(factory=dict, init=False)
    _begin_again: tuple[str, ...] = field(default=(), init=False)

    def name(self, names: Iterable[str]) -> None:
        """Something is known to have happened to these."""
        self._urgent.update(dict.fromkeys(names))

    def round(self, names: Iterable[str]) -> None:
        """Something has happened to some of these.

        A round that is under way goes on to its end, and then they all come once more, so
        changes without a pause do not keep the last ones waiting for ever.
        """
        if self._round:
            self._begin_again = tuple(names)
        else:
            self._round = dict.fromkeys(names)

    def drop(self, name: str) -> None:
        """It is gone, or has just been asked for on another occasion."""
        self._urgent.pop(name, None)
        self._round.pop(name, None)
        self._begin_again = tuple(one for one in self._begin_again if one != name)

    def take_urgent(self) -> str | None:
        """The next service that was named, or None."""
        return _first(self._urgent)

    def take_round(self) -> str | None:
        """The next service of the round, or None."""
        if not self._round and self._begin_again:
            self._round, self._begin_again = dict.fromkeys(self._begin_again), ()
        return _first(self._round)


def _first(names: dict[str, None]) -> str | None:
    if not names:
        return None
    name = next(iter(names))
    del names[name]
    return name


CheckKey = tuple[str, str]
CheckState = tuple[str, str, int]


def check_states(checks: Any) -> dict[CheckKey, CheckState]:
    """From ``/v1/health/state/any``: (node, check) to (service, status, time of change).

    Raises:
        RegistryProtocolError: if it is not a list of checks.
    """
    return _read(
        checks,
        "checks",
        lambda one: (
            (one["Node"], one["CheckID"]),
            (one.get("ServiceName") or "", one["Status"], _stamp(one)),
        ),
    )


def node_stamps(nodes: Any) -> dict[str, int]:
    """From ``/v1/catalog/nodes``: node to time of change.

    Raises:
        RegistryProtocolError: if it is not a list of nodes.
    """
    return _read(nodes, "nodes", lambda one: (one["Node"], _stamp(one)))


def _read(items: Any, what: str, read: Any) -> dict[Any, Any]:
    try:
        return dict(map(read, items))
    except (TypeError, KeyError, AttributeError) as error:
        msg = f"the listing of {what} is not understood ({error!r}); is this address Consul's?"
        raise RegistryProtocolError(msg) from error


def _stamp(one: Mapping[str, Any]) -> int:
    return int(one.get("ModifyIndex") or 0)


def affected_by_checks(
    before: Mapping[CheckKey, CheckState], after: Mapping[CheckKey, CheckState]
) -> tuple[set[str], set[str]]:
    """Services and nodes whose checks came, went or changed.

    A check that belongs to a node and to no service tells of every service on the node.
    """
    services: set[str] = set()
    nodes: set[str] = set()
    for key in _differing(before, after):
        for state in (before.get(key), after.get(key)):
            if state is not None and state[0]:
                services.add(state[0])
            elif state is not None:
                nodes.add(key[0])
    return services, nodes


def affected_by_nodes(before: Mapping[str, int], after: Mapping[str, int]) -> set[str]:
    """Nodes that came, went or changed."""
    return _differing(before, after)


def _differing(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> set[Any]:
    return {key for key, _ in before.items() ^ after.items()}
