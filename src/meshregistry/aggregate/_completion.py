"""From what a source says to what is merged: its settings first, then the transforms.

Pure, so that the table need not do it again for records that have not changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from meshregistry.aggregate._source import Source
from meshregistry.aggregate._updates import PartId
from meshregistry.model import RecordTransform, ServiceKey, ServiceRecord, SourceInfo

if TYPE_CHECKING:
    from meshregistry.model import Identity

IDENTITY_ORDER = 1000
"""Where the rules of the settings stand among transforms: those of plugins usually come first."""


class TransformFault(Exception):
    """A transform has failed for a record."""


@frozen
class RecordTrace:
    """What became of the name of one record.

    Attributes:
        part: which says it.
        record: in the registry's own words.
        key: of the service that it is a record of; None if it is of none.
        by: what has decided that; empty if nothing has changed its name.
    """

    part: PartId
    record: ServiceRecord
    key: ServiceKey | None
    by: str


@frozen
class Completion:
    """Completes the records of one source.

    Equal ones give equal results.
    """

    source: Source
    transforms: tuple[RecordTransform, ...] = ()

    def __call__(self, record: ServiceRecord) -> ServiceRecord | None:
        """The record to merge; None if a transform hides it.

        Raises:
            TransformFault: if a transform raises, or gives what it must not.
        """
        current = self.source.completed(record)
        for transform in self.transforms:
            made = _applied(transform, current, self._info)
            if made is None:
                return None
            current = made
        return current

    def trace(self, record: ServiceRecord) -> tuple[ServiceKey | None, str]:
        """What the record's service is called at last, and what has decided that.

        None: it is hidden, or a transform has failed.
        """
        current, decisions = self.source.completed(record), []
        for transform in self.transforms:
            try:
                made = _applied(transform, current, self._info)
            except TransformFault as fault:
                return None, str(fault)
            if made is None:
                return None, f"hidden by {transform.name}"
            why = self._reason(transform, current)
            if made.names != current.names or why:
                decisions.append(why or transform.name)
            current = made
        return current.service.key, ", ".join(decisions)

    def _reason(self, transform: RecordTransform, record: ServiceRecord) -> str:
        if transform.reason is None:
            return ""
        try:
            return transform.reason(record, self._info)
        except Exception as error:  # noqa: BLE001 - foreign code; shown in the place of its answer
            return f"{transform.name}, whose reason failed: {type(error).__name__}: {error}"

    @property
    def _info(self) -> SourceInfo:
        own = self.source
        return SourceInfo(
            id=own.id,
            kind=own.kind,
            namespace=own.namespace,
            network=own.network,
            cluster=own.cluster,
        )


def _applied(
    transform: RecordTransform, record: ServiceRecord, info: SourceInfo
) -> ServiceRecord | None:
    try:
        made = transform.apply(record, info)
    except Exception as error:
        msg = f"the transform {transform.name} failed: {type(error).__name__}: {error}"
        raise TransformFault(msg) from error
    if made is None:
        return None
    if not isinstance(made, ServiceRecord):
        msg = f"the transform {transform.name} returned {type(made).__name__}; return a ServiceRecord or None"
        raise TransformFault(msg)
    if made.key != record.key:
        msg = f"the transform {transform.name} changed the record key to {made.key!r}; change the host instead"
        raise TransformFault(msg)
    return made


def identity_transform(identity: Identity) -> RecordTransform:
    """The rules of the settings as a transform like any other."""

    def apply(record: ServiceRecord, source: SourceInfo) -> ServiceRecord:
        old = record.service.key
        found = identity.identify(old, source.id)
        if found is None or found.key == old:
            return record
        service = evolve(record.service, host=found.key.host, namespace=found.key.namespace)
        aliases = (*record.aliases, old) if identity.keeps_names else record.aliases
        return evolve(record, service=service, aliases=aliases)

    def reason(record: ServiceRecord, source: SourceInfo) -> str:
        found = identity.identify(record.service.key, source.id)
        return "" if found is None else found.origin

    return RecordTransform(name="identity", apply=apply, order=IDENTITY_ORDER, reason=reason)
