"""What plugins add to the pipeline: their generators, kept from harming what is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from meshregistry.errors import GenerationError
from meshregistry.generate._output import Generated
from meshregistry.model import (
    Reference,
    Resource,
    ResourceGenerator,
    ResourcePart,
    ResourcePatch,
    type_traits,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.generate._world import View


def _as_it_is(item: Any) -> Resource:
    if isinstance(item, Resource):
        return item
    msg = f"{type(item).__name__} is not a resource: give a meshregistry.model.Resource"
    raise TypeError(msg)


@frozen(kw_only=True)
class Extensions:
    """What plugins add.

    Attributes:
        patches: last changes to resources.
        generators: of further resources.
        encode: makes a resource of what they return.
    """

    patches: tuple[ResourcePatch, ...] = ()
    generators: tuple[ResourceGenerator, ...] = ()
    encode: Callable[[Any], Resource] = field(default=_as_it_is)

    def guarded(self, own: ResourceGenerator) -> Callable[[View], Generated]:
        """A generator that never raises: what it cannot make is a fault."""

        def generate(view: View) -> Generated:
            found: dict[Reference, Resource] = {}
            faults = []
            try:
                for item in own.generate(view):
                    resource = self.encode(item)
                    if resource.key in found:
                        faults.append(_refused(own, resource, "it makes it twice"))
                    found.setdefault(resource.key, resource)
            except Exception as error:  # noqa: BLE001 - foreign code; reported as a fault
                msg = (
                    f"the generator {own.name!r} failed, nothing of it is sent: "
                    f"{type(error).__name__}: {error}; mend or disable its plugin"
                )
                return Generated(faults=(GenerationError(msg),))
            return Generated(resources=found.values(), faults=faults)

        return generate


def without_clashes(
    own: ResourceGenerator, part: ResourcePart, others: Sequence[ResourcePart]
) -> tuple[ResourcePart, tuple[GenerationError, ...]]:
    """The part of a plugin's generator without what other parts hold already."""
    taken = [
        resource
        for url, group in part.groups.items()
        for resource in group.listed
        if any(
            url in other.groups and resource.name in other.groups[url].by_name for other in others
        )
    ]
    if not taken:
        return part, ()
    faults = tuple(_refused(own, resource, "it is there already") for resource in taken)
    return part.updated((), [resource.key for resource in taken]), faults


def _refused(own: ResourceGenerator, resource: Resource, reason: str) -> GenerationError:
    kind = type_traits(resource.type_url).name
    return GenerationError(
        f"the generator {own.name!r} made {kind} {resource.name!r}, which is left out: "
        f"{reason}; choose another name, or change it by a patch",
        type_url=resource.type_url,
        name=resource.name,
    )
