"""The list of our adapters keeps the rules of the hook, and costs nothing to import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from meshregistry.documents import check_class
from meshregistry.mixer.adapters import ADAPTERS


def test_they_are_named_once_each():
    """By name, aliases included."""
    names = [one.name for one in ADAPTERS]
    assert sorted(names) == names
    every = [*names, *(alias for one in ADAPTERS for alias in one.aliases)]
    assert len(every) == len(set(every))


def test_their_configurations_are_of_the_types_that_can_be():
    """As the hook checks it of plugins; only `bypass` has parameters that are another's."""
    another = {"bypass": {Any: str}}
    assert {} == {
        one.name: faults
        for one in ADAPTERS
        if (faults := check_class(one.config_class, scalars=another.get(one.name)))
    }


def test_importing_them_needs_no_extra():
    """What only one of them needs is imported when its handler is opened."""
    code = (
        "import sys\n"
        "for name in ('aiohttp', 'google', 'grpc', 'msgpack', 'prometheus_client', 're2', 'redis'):\n"
        "    sys.modules[name] = None\n"
        "from meshregistry.mixer.adapters import ADAPTERS\n"
        "print(len(ADAPTERS))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert str(len(ADAPTERS)) == done.stdout.strip()
