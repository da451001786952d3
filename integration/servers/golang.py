"""Programs in Go: built once for each state of their sources, outside the tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from servers.cache import cache_folder


def find_go() -> str | None:
    """The Go tool on the path, or None."""
    return shutil.which("go")


def build(module: Path, package: str) -> Path:
    """The program of one package of a module of ours; built only if these sources were not yet.

    Args:
        module: folder with ``go.mod`` and ``go.sum``.
        package: folder of the main package in it.

    Raises:
        RuntimeError: if there is no Go, or with the compiler's words.
    """
    program = cache_folder() / "bin" / f"{package}-{digest(module)}"
    if not program.exists():
        compile_to(program, module, f"./{package}")
    return program


def compile_to(program: Path, module: Path, package: str, *, flags: str = "") -> None:
    """Build one package of a module, or of one that it requires, into this file.

    Args:
        program: the file; it appears when it is complete.
        module: folder with ``go.mod`` and ``go.sum``.
        package: import path of the main package.
        flags: further ones for the linker.

    Raises:
        RuntimeError: if there is no Go, or with the compiler's words.
    """
    go = find_go()
    if go is None:
        raise RuntimeError("Go is not on this machine: install it to build this program")
    program.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # With -mod=mod the tool may rewrite go.mod and go.sum, hence the copy.
        copy = Path(folder) / "module"
        shutil.copytree(module, copy)
        done = subprocess.run(
            [go, "build", "-trimpath", f"-ldflags=-s -w {flags}", "-o", "program", package],
            cwd=copy,
            env=_environment(go, cache_folder()),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{package} cannot be built:\n{done.stderr[-2000:]}")
        part = program.with_suffix(".part")
        shutil.copy2(copy / "program", part)
        part.rename(program)


def drop_caches() -> None:
    """Remove what only building needs: some gigabytes of modules and objects."""
    for name in ("gomod", "gobuild"):
        shutil.rmtree(cache_folder() / name, ignore_errors=True)


def digest(module: Path, *more: str) -> str:
    """A short hash of a folder's contents, and of further words."""
    found = hashlib.blake2b("\0".join(more).encode(), digest_size=6)
    for source in sorted(module.rglob("*")):
        if source.is_file():
            found.update(source.relative_to(module).as_posix().encode() + source.read_bytes())
    return found.hexdigest()


def _environment(go: str, cache: Path) -> dict[str, str]:
    proxies = subprocess.run(
        [go, "env", "GOPROXY"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOCACHE": str(cache / "gobuild"),
        "GOFLAGS": "-mod=mod -buildvcs=false -modcacherw",
        "GOMODCACHE": str(cache / "gomod"),
        # A module that the proxy lacks fails at once instead of being cloned.
        "GOPROXY": proxies.removesuffix(",direct"),
        "GOTOOLCHAIN": "local",
    }
