"""How an attempt ended: sorts what a registry raised into what to do about it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import RegistryAuthError, RegistryError, RegistryProtocolError
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.model import SourceId


@frozen
class Failure:
    """The end of an attempt.

    Attributes:
        error: what is shown of it; a fault of the plugin is its cause.
        is_fault: whether it is a fault of the plugin.
    """

    error: RegistryError
    is_fault: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether haste would not mend it."""
        return self.is_fault or isinstance(self.error, RegistryAuthError)

    @property
    def condition(self) -> Condition:
        """What the source is from now on."""
        return Condition.FAILED if self.is_slow else Condition.STALE

    @classmethod
    def returned(cls, source: SourceId) -> Failure:
        """The registry returned, though nobody had cancelled it."""
        msg = "the registry returned although it was not cancelled; its run must follow the backend until then"
        return cls(RegistryProtocolError(msg, source=source))

    @classmethod
    def of(cls, source: SourceId, raised: BaseException) -> Failure:
        """What the registry raised.

        A group of registry errors, as a task group raises it, counts as the gravest of them.
        """
        leaves = [*_leaves(raised)]
        registry_errors = [leaf for leaf in leaves if isinstance(leaf, RegistryError)]
        if len(registry_errors) == len(leaves):
            error = next(
                (leaf for leaf in registry_errors if isinstance(leaf, RegistryAuthError)),
                registry_errors[0],
            )
            error.source = error.source or source
            return cls(error)
        msg = f"the registry's plugin is at fault: {type(raised).__name__}: {raised}; report it to the plugin's author"
        error = RegistryError(msg, source=source)
        error.__cause__ = raised
        return cls(error, is_fault=True)


def _leaves(raised: BaseException) -> Iterator[BaseException]:
    if isinstance(raised, BaseExceptionGroup):
        for inner in raised.exceptions:
            yield from _leaves(inner)
    else:
        yield raised
