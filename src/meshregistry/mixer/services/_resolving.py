"""From pieces to specs: references resolved, attributes checked.

What is wrong is left out and reported, and so is what needs it; the rest is in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.documents import suggestion
from meshregistry.mixer._manifest import TEXTS
from meshregistry.mixer.services._reading import API, QUOTA, QUOTA_BINDING
from meshregistry.mixer.services._selecting import Binding
from meshregistry.mixer.services._specs import ServiceSpecs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from meshregistry.documents import Position
    from meshregistry.errors import ConfigError
    from meshregistry.mixer._manifest import Manifest
    from meshregistry.mixer.services._reading import ServicePiece


def resolve(
    pieces: Iterable[ServicePiece],
    manifest: Manifest,
    faults: list[ConfigError],
    hints: list[ConfigError],
    *,
    quotas: Collection[str] | None = None,
) -> ServiceSpecs:
    """What is said of services.

    Args:
        pieces: in the order of the documents.
        manifest: types of attributes.
        faults: filled with what is wrong.
        hints: filled with what is of no use: specs that nobody binds.
        quotas: the names that a charge may have, in lower case; None: it is not known.
    """
    every = tuple(pieces)
    specs = {
        str(one.name): one
        for one in every
        if one.name.kind in {API, QUOTA} and _is_sound(one, manifest, faults)
    }
    bindings = [
        (one.name.kind, Binding(services=one.services, specs=names))
        for one in every
        if one.specs and (names := tuple(_names(one, specs, faults)))
    ]
    bound = {name for _, binding in bindings for name in binding.specs}
    for name, one in specs.items():
        if name not in bound:
            remedy = f"add a {one.name.kind}Binding that names it"
            hints.append(one.place.fault(f"{name} is bound to no service", remedy))
        for charge in one.charged if quotas is not None else ():
            if charge.text.lower() not in (quotas or ()):
                remedy = suggestion(charge.text, quotas or ()) or "add an instance of a quota"
                faults.append(charge.fault(f"there is no quota {charge.text}", remedy))
    return ServiceSpecs(
        apis={
            name: evolve(
                one.api,
                attributes=manifest.bag(one.api.attributes),
                patterns=[
                    evolve(each, attributes=manifest.bag(each.attributes))
                    for each in one.api.patterns
                ],
            )
            for name, one in specs.items()
            if one.api is not None
        },
        api_bindings=tuple(each for kind, each in bindings if kind != QUOTA_BINDING),
        quotas={name: one.quotas for name, one in specs.items() if one.quotas is not None},
        quota_bindings=tuple(each for kind, each in bindings if kind == QUOTA_BINDING),
    )


def _is_sound(piece: ServicePiece, manifest: Manifest, faults: list[ConfigError]) -> bool:
    """Whether all its attributes are declared, and of their types."""
    before = len(faults)
    for name, value, place in piece.stated:
        if _is_declared(name, place, manifest, faults):
            try:
                manifest.bag({name: value})
            except (TypeError, ValueError) as error:
                faults.append(place.fault(str(error), "give a value of that type"))
    for clause in piece.clauses:
        if _is_declared(clause.text, clause, manifest, faults):
            kind = manifest[clause.text].type
            if kind not in TEXTS:
                fault = f"{clause.text} is declared as {kind.name}, and a clause is on text"
                faults.append(clause.fault(fault, "choose another attribute"))
    return len(faults) == before


def _is_declared(name: str, place: Position, manifest: Manifest, faults: list[ConfigError]) -> bool:
    if name in manifest:
        return True
    remedy = suggestion(name, manifest) + ", or declare it in an attributemanifest"
    faults.append(place.fault(f"the attribute {name} is not declared", remedy.lstrip(", ")))
    return False


def _names(
    piece: ServicePiece, specs: Mapping[str, ServicePiece], faults: list[ConfigError]
) -> Iterable[str]:
    for reference, place in piece.specs:
        if str(reference) in specs:
            yield str(reference)
        else:
            near = [name for name, one in specs.items() if one.name.kind == reference.kind]
            remedy = f"there is {near[0]}" if near else f"add a document of kind {reference.kind}"
            faults.append(place.fault(f"there is no {reference}", remedy))
