"""What is kept of a part across restarts, and how its records are written."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from attrs import frozen
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from meshregistry.model import (
    Endpoint,
    Hostname,
    Labels,
    Locality,
    Port,
    Service,
    ServiceRecord,
)

T = TypeVar("T")


@frozen
class Kept(Generic[T]):
    """What a part of a source holds.

    Attributes:
        items: records in the registry's own words, or documents of a rule source.
        current: when they were last known to be current, by the clock of the core.
    """

    items: tuple[T, ...]
    current: float


class RecordCodec:
    """Records as plain values of JSON, and back.

    What has its default is left out. Fields have the names that they have in the model; one
    that is not known is skipped, so that an older version reads what a newer one wrote.
    """

    def __init__(self) -> None:
        converter = Converter(detailed_validation=False)
        for text in (Hostname, Locality):
            converter.register_unstructure_hook(text, str)
        converter.register_unstructure_hook(Labels, dict)
        converter.register_structure_hook(Hostname, lambda value, _: Hostname(value))
        converter.register_structure_hook(Locality, lambda value, _: Locality.parse(value))
        converter.register_structure_hook(Labels, lambda value, _: Labels(value))
        for cls in (Port, Endpoint, Service, ServiceRecord):
            unstructure = make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True)
            converter.register_unstructure_hook(cls, unstructure)
            structure = make_dict_structure_fn(
                cls,
                converter,
                _cattrs_detailed_validation=False,
            )
            converter.register_structure_hook(cls, structure)
        self._converter = converter

    def plain(self, record: ServiceRecord) -> dict[str, Any]:
        """A record as JSON has it."""
        found: dict[str, Any] = self._converter.unstructure(record)
        return found

    def record(self, value: Any) -> ServiceRecord:
        """The record again.

        Raises:
            ValueError: if it is none.
        """
        try:
            return self._converter.structure(value, ServiceRecord)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            msg = f"{value!r:.80} is not a record: {error}"
            raise ValueError(msg) from error
