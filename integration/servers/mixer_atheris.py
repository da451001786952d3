"""Lets atheris drive one target of `servers.mixer_fuzz`, guided by what is reached in our code.

``python -m servers.mixer_atheris decoder -runs=1000``: options and folders are those of libFuzzer.
A find ends the process with its traceback and another status than 0.
"""

from __future__ import annotations

import logging
import sys

import atheris

# What is imported here is watched, so it cannot be imported above.
with atheris.instrument_imports(include=["meshregistry.mixer", "meshregistry.documents"]):
    from servers.mixer_fuzz import TARGETS


def main(name: str, *options: str) -> None:
    """Fuzz until the options say that it is enough; ends the process."""
    # Handlers that are given nonsense say so, thousands of times.
    logging.disable(logging.CRITICAL)
    atheris.Setup([sys.argv[0], *options], TARGETS[name]())
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
