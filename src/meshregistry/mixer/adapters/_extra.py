"""Parts of adapters that need packages of an extra, imported when a handler is opened."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from meshregistry.errors import MissingExtraError


def imported(name: str, extra: str) -> Any:
    """A module.

    Args:
        name: of the module.
        extra: what to install if it, or what it imports, is not there.

    Raises:
        MissingExtraError: if it is not there.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, error.name or name) from error
