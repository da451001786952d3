"""Configured sources, before the plugins that understand their options are loaded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import field, frozen

from meshregistry.documents import MappingNode, Position, Seconds, attempt, digest, suggestion
from meshregistry.settings._identity import SourceTemplate
from meshregistry.settings._resilience import GuardSettings, guard_in_full
from meshregistry.spi import CORE_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.documents import AnyNode
    from meshregistry.errors import ConfigError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _is_name(_instance: object, _attribute: object, value: str) -> None:
    if not _ID.fullmatch(value):
        msg = f"{value!r} must be made of letters, digits, dots, hyphens and underscores"
        raise ValueError(msg)


@frozen(kw_only=True)
class SourceCore:
    """The keys of a source that belong to the core and not to its kind.

    Attributes:
        id: names the source everywhere.
        kind: the registry kind.
        required: whether the start gate insists on it.
        namespace: for services that name none.
        network: for endpoints that name none.
        cluster: for endpoints that name none.
        stale_after: seconds after which data that is not confirmed is dropped; null
            serves it indefinitely.
        sync_timeout: seconds that the start gate waits for it if it is not required;
            null takes that of the settings.
        shadow: it is followed and compared, and nothing of it is served.
        guard: when the loss of many endpoints is withheld; null takes the kind's default.
        identity: what its names mean in the catalog; the first template that fits counts.
    """

    id: str = field(validator=_is_name)
    kind: str = field(validator=_is_name)
    required: bool = True
    namespace: str = ""
    network: str = ""
    cluster: str = ""
    stale_after: Seconds | None = None
    sync_timeout: Seconds | None = None
    shadow: bool = False
    guard: GuardSettings | None = None
    identity: tuple[SourceTemplate, ...] = ()


@frozen(kw_only=True)
class RuleCore:
    """The keys of a rule source that belong to the core.

    Attributes:
        kind: the kind of rule source.
        id: names it; default: `source`, else the kind.
        source: the source whose configuration (and client) it uses.
        writable: whether commands write operators' decisions into it; null: if no other one
            says true, and its kind can.
    """

    kind: str = field(validator=_is_name)
    id: str | None = None
    source: str | None = None
    writable: bool | None = None


@frozen(kw_only=True)
class SourceSettings(SourceCore):
    """One configured source.

    Attributes:
        options: what is left for the kind's config class, with positions.
        place: where the source is written.
        kind_place: where its kind is written.
        fingerprint: equal for equal settings, wherever they are written.
    """

    options: MappingNode = field(eq=False, repr=False)
    place: Position = field(eq=False, repr=False)
    kind_place: Position = field(eq=False, repr=False)
    fingerprint: str


@frozen(kw_only=True)
class RuleSettings(RuleCore):
    """One configured rule source; attributes as in `SourceSettings`."""

    id: str
    options: MappingNode = field(eq=False, repr=False)
    place: Position = field(eq=False, repr=False)
    kind_place: Position = field(eq=False, repr=False)
    fingerprint: str


T = TypeVar("T", SourceSettings, RuleSettings)
SOURCE_KEYS = tuple(SourceCore.__annotations__)
RULE_KEYS = tuple(RuleCore.__annotations__)


def source(node: AnyNode, faults: list[ConfigError]) -> SourceSettings | None:
    """Read one source; None, and what is wrong in `faults`, if its core keys are faulty."""
    if not isinstance(node, MappingNode):
        faults.append(node.fault(f"must be a mapping, not {node.kind}", "write {id: …, kind: …}"))
        return None
    faults += [
        key.fault("the key is reserved and means nothing yet", "take it out")
        for key, _ in node.entries
        if key.text in CORE_KEYS and key.text not in SOURCE_KEYS
    ]
    core = attempt(guard_in_full(node.only(SOURCE_KEYS)), SourceCore, faults)
    if core is None:
        return None
    given = {key: getattr(core, key) for key in SOURCE_KEYS}
    return SourceSettings(**given, **_rest(node, SOURCE_KEYS))


def rule(node: AnyNode, faults: list[ConfigError]) -> RuleSettings | None:
    """Read one rule source; None, and what is wrong in `faults`, likewise."""
    if not isinstance(node, MappingNode):
        faults.append(node.fault(f"must be a mapping, not {node.kind}", "write {kind: …}"))
        return None
    core = attempt(node.only(RULE_KEYS), RuleCore, faults)
    if core is None:
        return None
    name = core.id or core.source or core.kind
    return RuleSettings(
        kind=core.kind,
        id=name,
        source=core.source,
        writable=core.writable,
        **_rest(node, RULE_KEYS),
    )


def _rest(mapping: MappingNode, keys: Iterable[str]) -> dict[str, Any]:
    return {
        "options": mapping.without(keys),
        "place": mapping,
        "kind_place": mapping.get("kind"),
        "fingerprint": digest(mapping),
    }


def duplicates(found: Iterable[T], what: Literal["source", "rule source"]) -> Iterator[ConfigError]:
    """One fault for each id that was taken before."""
    first: dict[str, T] = {}
    for one in found:
        known = first.setdefault(one.id, one)
        if known is not one:
            place = one.place.get("id") if isinstance(one.place, MappingNode) else None
            where = f"in line {known.place.line}" if known.place.line else f"as {known.place.path}"
            yield (place or one.place).fault(
                f"the id {one.id} is taken by the {what} {where}", "give each its own id"
            )


def strangers(rules: Iterable[RuleSettings], ids: list[str]) -> Iterator[ConfigError]:
    """One fault for each rule source that uses a source which is not there."""
    for one in rules:
        if one.source is not None and one.source not in ids:
            place = one.place.get("source") if isinstance(one.place, MappingNode) else None
            yield (place or one.place).fault(
                f"there is no source {one.source}", suggestion(one.source, ids)
            )
