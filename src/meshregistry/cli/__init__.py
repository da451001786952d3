"""The command line; needs the extra ``[cli]``."""

from meshregistry.cli._exits import Exit
from meshregistry.cli._group import cli, main

__all__ = ["Exit", "cli", "main"]
