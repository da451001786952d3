"""Decisions of operators, of meshregistry.dev: SourceShift, Drain and LossAcceptance."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import NOTHING, frozen
from attrs.validators import ge, le, min_len

from meshregistry.documents import Instant, MappingNode
from meshregistry.model import SourceId, canonical_address
from meshregistry.rules._decisions import Drain, DrainPhase, LossAcceptance, SourceShift
from meshregistry.rules._forms import Reader, texts, works

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.rules._reading import Reading

T = TypeVar("T")
_ALL = "*"
_HIGHEST_PORT = 65535
_HIGHEST_SHARE = 10_000


@frozen(kw_only=True)
class SourceShiftForm:
    """Shares of traffic by source."""

    hosts: tuple[str, ...] = works("exact, or wildcards; default: all", default=("*",))
    weights: dict[str, int] = works(
        "share by id of a source; 0: nothing is sent there; one that is not named keeps what it has",
        default=NOTHING,
    )


@frozen(kw_only=True)
class DrainForm:
    """An endpoint to take out of use."""

    host: str = works("of the service; * for all that are there", default=NOTHING)
    address: str = works("of the endpoint", default=NOTHING, validator=min_len(1))
    port: int = works(
        "of the endpoint; 0 for a Unix socket", default=0, validator=[ge(0), le(_HIGHEST_PORT)]
    )
    network: str | None = works("of the address; default: any")
    source: str | None = works("only while this source names it; default: whoever does")
    phase: DrainPhase = works(
        "DRAINING: no new sessions; REMOVED: not sent at all", default=DrainPhase.DRAINING
    )
    reason: str = works("for people", default="")


@frozen(kw_only=True)
class LossAcceptanceForm:
    """A loss that the mass-loss guard may let go of."""

    source: str = works("id of the source", default=NOTHING, validator=min_len(1))
    part: str | None = works("of the source; default: any")
    lost_by: Instant | None = works(
        "losses that began by then; default: the document's creationTimestamp", alias="lostBy"
    )
    until: Instant | None = works("losses that begin before then: for planned work")
    reason: str = works("for people", default="")


def source_shift(document: RuleDocument, domain: str) -> Reading:
    """Read a SourceShift."""
    reader = Reader(document, domain)
    read = _spec(reader, SourceShiftForm)
    if read is None:
        return reader.result(tuple)
    spec, form = read
    hosts = tuple(_host(reader, place, name) for place, name in texts(spec.get("hosts")))
    weights = spec.get("weights")
    for name, share in form.weights.items():
        if not 0 <= share <= _HIGHEST_SHARE:
            place = weights.get(name) if isinstance(weights, MappingNode) else None
            remedy = f"write a share from 0 to {_HIGHEST_SHARE}, such as 10"
            reader.fail(place or spec, f"{share} is no share", remedy)
    if not any(form.weights.values()):
        # An empty mapping is false, and yet the place to blame.
        place = spec if weights is None else weights
        reader.fail(place, "no source gets anything", "give at least one a share above 0")
    key = document.key
    return reader.result(
        lambda: (
            SourceShift(
                namespace=key.namespace,
                name=key.name,
                hosts=hosts or (_ALL,),
                shares=tuple(sorted((SourceId(one), share) for one, share in form.weights.items())),
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def drain(document: RuleDocument, domain: str) -> Reading:
    """Read a Drain."""
    reader = Reader(document, domain)
    read = _spec(reader, DrainForm)
    if read is None:
        return reader.result(tuple)
    spec, form = read
    host = _host(reader, spec.get("host") or spec, form.host)
    address = ""
    place = spec.get("address") or spec
    try:
        address = canonical_address(form.address)
    except ValueError as error:
        reason, _, remedy = str(error).rpartition(": ")
        reader.fail(place, reason, remedy)
    if address and address.startswith("unix:") != (form.port == 0):
        reader.fail(
            spec.get("port") or place,
            "a Unix socket has no port, and any other address has one",
            "write port: only beside an address that is no Unix socket",
        )
    key = document.key
    return reader.result(
        lambda: (
            Drain(
                namespace=key.namespace,
                name=key.name,
                host=host,
                address=address,
                port=form.port,
                network=form.network,
                source=None if form.source is None else SourceId(form.source),
                phase=form.phase,
                reason=form.reason,
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def loss_acceptance(document: RuleDocument, domain: str) -> Reading:
    """Read a LossAcceptance."""
    reader = Reader(document, domain)
    read = _spec(reader, LossAcceptanceForm)
    if read is None:
        return reader.result(tuple)
    spec, form = read
    lost_by = form.lost_by or document.created or None
    if lost_by is None and form.until is None:
        reader.fail(
            spec,
            "which losses are accepted is not said",
            "write lostBy: with the time of the decision, or until:",
        )
    key = document.key
    return reader.result(
        lambda: (
            LossAcceptance(
                namespace=key.namespace,
                name=key.name,
                source=SourceId(form.source),
                part=form.part,
                lost_by=lost_by,
                until=form.until,
                reason=form.reason,
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )


def _spec(reader: Reader, form: type[T]) -> tuple[MappingNode, T] | None:
    """The spec as a form and as it is written; None if it is wrong, which has been noted."""
    spec = reader.document.root.get("spec")
    if spec is None:
        reader.fail(reader.document.root, "the document has no spec", "add spec:")
        return None
    made = reader.form(spec, form)
    return (spec, made) if made is not None and isinstance(spec, MappingNode) else None


def _host(reader: Reader, place: AnyNode, name: str) -> str:
    """A whole host name, a wildcard, or ``*``; empty if it is wrong, which has been noted."""
    return _ALL if name == _ALL else str(reader.host(place, name) or "")
