"""What the package has beside its code, as values."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from meshregistry.documents import RuleUnit

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def _files(folder: str, ending: str) -> dict[str, Traversable]:
    found = files("meshregistry.mixer.standard").joinpath(folder).iterdir()
    named = {one.name.removesuffix(ending): one for one in found if one.name.endswith(ending)}
    return dict(sorted(named.items()))


def standard_text() -> str:
    """The documents of the standard configuration, as one text to start one's own from."""
    texts = [one.read_text(encoding="utf-8") for one in _files("documents", ".yaml").values()]
    return "---\n".join(texts)


def standard_units() -> tuple[RuleUnit, ...]:
    """The documents of the standard configuration, for `meshregistry.mixer.config.snapshot`."""
    return tuple(
        RuleUnit.of_text(f"<standard {name}>", one.read_text(encoding="utf-8"))
        for name, one in _files("documents", ".yaml").items()
    )


def dashboards() -> tuple[str, ...]:
    """The names of the dashboards for Grafana."""
    return tuple(_files("dashboards", ".json"))


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard, as Grafana imports it.

    Raises:
        KeyError: if there is none of this name.
    """
    text = _files("dashboards", ".json")[name].read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
