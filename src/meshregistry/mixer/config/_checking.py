"""What an adapter itself says about the parameters of a handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.mixer._nodes import renamed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.documents import Position
    from meshregistry.errors import ConfigError
    from meshregistry.mixer.config._specs import HandlerSpec
    from meshregistry.mixer.spi import InstanceTypes, MixerAdapter


def checked(
    adapter: MixerAdapter, spec: HandlerSpec, config: Any, instances: Mapping[str, InstanceTypes]
) -> list[ConfigError]:
    """What is wrong with a handler; an adapter that fails to say it is at fault itself."""
    try:
        return [_at_its_place(spec, said) for said in adapter.check(config, instances)]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - foreign code: whatever it is, it is told
        fault = spec.params.fault(
            f"the adapter {adapter.name} failed to check this: {type(error).__name__}: {error}",
            "report it to the adapter's author",
        )
        fault.__cause__ = error
        return [fault]


def _at_its_place(spec: HandlerSpec, said: str) -> ConfigError:
    """A fault that an adapter finds, at the field that it names if that is written."""
    name, colon, reason = said.partition(": ")
    place: Position | None = renamed(spec.params).get(name) if colon else None
    if place is None:
        return spec.params.fault(said)
    return place.fault(reason)
