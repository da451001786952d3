"""Patches of plugins on parts of resource sets, each made once for all proxies alike.

A patch that fails harms nothing else (contracts, "Generation and sharing"): the resource
goes without it, or is left out if the patch says that it is required, and a fault tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from attrs import evolve, field, frozen
from google.protobuf import descriptor_pool, message_factory

from meshregistry.errors import GenerationError
from meshregistry.model import (
    REMOVED,
    ProxyKey,
    Reference,
    Resource,
    ResourceGroup,
    ResourcePart,
    ResourcePatch,
    ResourceSet,
    type_traits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.message import Message

    from meshregistry.generate._memo import Memo


@frozen(cache_hash=True)
class Held:
    """A patch that has to do with some proxies.

    Attributes:
        patch: itself.
        key: all that it may read of theirs.
        fault: why it cannot say whether it has to do with them; then it fails for each
            resource.
    """

    patch: ResourcePatch
    key: ProxyKey
    fault: str = ""


@frozen(eq=False)
class Outcome:
    """What became of one resource.

    Attributes:
        resource: as it is sent; None if it is left out.
        failures: of patches, with what they raised.
        needs: what it refers to now, and did not before.
    """

    resource: Resource | None
    failures: tuple[tuple[ResourcePatch, str], ...] = ()
    needs: frozenset[Reference] = frozenset()


@frozen(eq=False)
class Patched:
    """A part after its patches.

    Attributes:
        source: the part before them.
        held: the patches.
        part: what is sent.
        outcomes: of the resources that are left out, or that a patch failed for or made refer
            to something else.
        faults: patches that failed.
    """

    source: ResourcePart
    held: tuple[Held, ...]
    part: ResourcePart
    outcomes: Mapping[Reference, Outcome] = field(factory=dict)
    faults: tuple[GenerationError, ...] = ()

    def missing(self, resources: ResourceSet) -> tuple[GenerationError, ...]:
        """Faults for what the whole set refers to, and does not hold because of patches."""
        needed = (
            (by, one) for by, outcome in self.outcomes.items() for one in sorted(outcome.needs)
        )
        dangling = [
            (by, f"made {_words(by)} refer to {_words(one)}, which is not there; generate it, too")
            for by, one in needed
            if resources.get(*one) is None
        ]
        groups = [group for part in resources.parts for group in part.groups.values()]
        dangling += [
            (by, f"took {_words(by)} away, and others refer to it; change them, too")
            for by, outcome in self.outcomes.items()
            if outcome.resource is None and any(by in group.references for group in groups)
        ]
        return tuple(
            GenerationError(f"a patch {what}", type_url=by.type_url, name=by.name)
            for by, what in dangling
        )


class Patching:
    """Applies patches to parts, and shares what they make.

    Args:
        patches: of all plugins.
        encode: makes a resource of a message, with its references.
        pooled: gives the one object for a resource's content.
    """

    def __init__(
        self,
        patches: Iterable[ResourcePatch],
        encode: Callable[[Any], Resource],
        pooled: Callable[[Resource], Resource],
    ) -> None:
        self.patches = tuple(sorted(patches, key=lambda patch: (patch.order, patch.name)))
        self._encode = encode
        self._pooled = pooled
        # An entry holds its part, so that the part's id is nobody else's for as long.
        self._shared: WeakValueDictionary[tuple[int, tuple[Held, ...]], Patched] = (
            WeakValueDictionary()
        )

    def held(self, memo: Memo, key: ProxyKey) -> tuple[Held, ...]:
        """The patches that have to do with proxies of this key."""

        def make(_former: object) -> tuple[Held, ...]:
            found = []
            for patch in self.patches:
                own, fault = patch.reduced(key), ""
                try:
                    is_meant = patch.applies(own)
                except Exception as error:  # noqa: BLE001 - foreign code; reported as a fault
                    is_meant, fault = True, f"{type(error).__name__}: {error}"
                if is_meant:
                    found.append(Held(patch, own, fault))
            return tuple(found)

        return memo.get(("held", key), (), make)

    def patched(self, memo: Memo, place: int, part: ResourcePart, key: ProxyKey) -> Patched:
        """The part at a place of the set for proxies of this key."""
        every = self.held(memo, key)
        held = tuple(one for one in every if one.patch.type_url in part.groups)

        def make(former: Patched | None) -> Patched:
            found = self._shared.get((id(part), held))
            if found is None:
                if former is None or former.held != held:
                    former = Patched(ResourcePart(), held, ResourcePart())
                found = self._shared[id(part), held] = self._updated(former, part)
            return found

        return memo.get(("patched", place, key), (part,), make)

    def _updated(self, former: Patched, part: ResourcePart) -> Patched:
        """What was made of a part, after a change of that part."""
        groups = dict(part.groups)
        outcomes = dict(former.outcomes)
        for url in sorted({one.patch.type_url for one in former.held}):
            group = part.groups[url]
            before = former.source.groups.get(url, ResourceGroup({}))
            changes = group.changes_since(before)
            sent: dict[str, Resource] = {}
            gone = set(changes.removed)
            for resource in changes.changed:
                outcome = self._outcome(resource, former.held)
                outcomes[resource.key] = outcome
                if outcome.resource is None:
                    gone.add(resource.name)
                else:
                    sent[resource.name] = outcome.resource
            for name in changes.removed:
                outcomes.pop(Reference(url, name), None)
            groups[url] = former.part.groups.get(url, ResourceGroup({})).updated(sent, gone)
        # Only those that say something are looked at again.
        kept = {
            by: outcome
            for by, outcome in outcomes.items()
            if outcome.failures or outcome.needs or outcome.resource is None
        }
        return Patched(part, former.held, ResourcePart(groups), kept, tuple(_faults(kept)))

    def _outcome(self, resource: Resource, held: tuple[Held, ...]) -> Outcome:
        """Apply the patches in turn; one that fails leaves what the ones before it made."""
        failures: list[tuple[ResourcePatch, str]] = []
        content = resource
        for one in held:
            patch, fault = one.patch, one.fault
            if patch.type_url != resource.type_url:
                continue
            made: Resource | None = None
            if not fault:
                try:
                    made = self._applied(one, content)
                except Exception as error:  # noqa: BLE001 - foreign code; reported as a fault
                    fault = f"{type(error).__name__}: {error}"
            if fault:
                failures.append((patch, fault))
                made = None if patch.is_required else content
            if made is None:
                return Outcome(None, tuple(failures))
            content = made
        if content is not resource:
            content = self._pooled(content)
        needs = frozenset(content.references) - frozenset(resource.references)
        return Outcome(content, tuple(failures), needs)

    def _applied(self, one: Held, resource: Resource) -> Resource | None:
        """The resource after one patch; None if the patch takes it away."""
        patch = one.patch
        message = _decoded(resource)
        result = patch.apply(message, one.key)
        if result is REMOVED:
            return None
        if type(result) is not type(message):
            msg = f"it returned {type(result).__name__}; return the {type(message).__name__}, or REMOVED"
            raise TypeError(msg)
        made = self._encode(result)
        if made.name != resource.name:
            msg = f"it renamed {resource.name!r} to {made.name!r}; leave names as they are"
            raise ValueError(msg)
        return resource if made.bytes == resource.bytes else evolve(made, ttl=resource.ttl)


def _decoded(resource: Resource) -> Message:
    """A resource's message, as a copy of its own."""
    name = resource.type_url.rpartition("/")[2]
    kind = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))
    message: Message = kind.FromString(resource.bytes)
    return message


def _faults(outcomes: Mapping[Reference, Outcome]) -> Iterable[GenerationError]:
    """One fault for each patch and reason, however many resources have it."""
    found: dict[tuple[ResourcePatch, str], list[Reference]] = {}
    for by, outcome in outcomes.items():
        for failure in outcome.failures:
            found.setdefault(failure, []).append(by)
    for (patch, reason), every in found.items():
        first = min(every)
        more = f" and {len(every) - 1} more" if len(every) > 1 else ""
        fate = "left out" if patch.is_required else "sent without it"
        yield GenerationError(
            f"the patch {patch.name!r} failed for {_words(first)}{more}, {fate}: {reason}; "
            "mend or disable its plugin",
            type_url=first.type_url,
            name=first.name,
        )


def _words(key: Reference) -> str:
    return f"{type_traits(key.type_url).name} {key.name!r}"
