"""What plugins change in records before the merge. Plain values."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from meshregistry.model._names import SourceId
from meshregistry.model._service import ServiceRecord


@frozen(kw_only=True)
class SourceInfo:
    """What a transform may know of the source of a record.

    Attributes:
        id: as in the settings.
        kind: the name of its registry kind.
        namespace: for services that name none.
        network: for endpoints that name none.
        cluster: for endpoints that name none.
    """

    id: SourceId
    kind: str
    namespace: str = ""
    network: str = ""
    cluster: str = ""


def _is_named(_self: object, _attribute: object, name: str) -> None:
    if not name:
        raise ValueError("it needs a name: it is what messages call it")


@frozen(kw_only=True, eq=False)
class RecordTransform:
    """A change to the records of sources, before they are merged.

    Pure: an equal record of the same source gives the same result, on every replica. It is
    called when a record has changed, so that what it looks at beside the record must not.

    Attributes:
        name: unique within its plugin.
        apply: a record and its source in; the record out, or another one of the same record
            key, or None to hide it. If it raises, the last good version of that record
            stays, and the fault is reported with the source.
        order: transforms with a lower number come first; equal ones by plugin, then by name.
            The rules of the settings' ``identity`` come at 1000.
        reason: why it changes the name of a record, for people; default: its own name.
    """

    name: str = field(validator=_is_named)
    apply: Callable[[ServiceRecord, SourceInfo], ServiceRecord | None]
    order: int = 0
    reason: Callable[[ServiceRecord, SourceInfo], str] | None = None
