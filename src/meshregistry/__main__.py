"""``python -m meshregistry``, and the console script."""

from __future__ import annotations

import sys

from meshregistry.errors import MissingExtraError


def main() -> None:
    """Run the command line; without its packages, say which line to type."""
    try:
        from meshregistry.cli import main as run  # noqa: PLC0415 - its packages are an extra
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        sys.exit(f"error: {MissingExtraError('cli', error.name or '')}")
    sys.exit(run())


if __name__ == "__main__":
    main()
