"""Mesos 1.11.0: its library out of a Python package, and a small program that starts it.

The package `mesos-scheduler` holds all of Mesos in one library, master and agent included. It
was linked against OpenSSL 1.0, curl and Python 2, of which nothing is called here: libraries of
functions that do nothing stand for them. So there is no TLS and no fetching of URIs.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from servers.recipes import Recipe, command, unpack_debian

SOURCES = Path(__file__).resolve().parent / "mesos_local"

_PACKAGE = "mesos-scheduler===1.11.0.linux-x86_64"
# The last pip that takes this form of a version, in an environment that is thrown away.
_PIP = "pip==24.0"
_DEBIAN = ("libsvn1", "libapr1", "libaprutil1", "libutf8proc2", "libserf-1-1", "libsasl2-2")
_STUBS = {
    "libcrypto.so.1.0.0": r".*@OPENSSL_",
    "libssl.so.1.0.0": r"(?!)",
    "libcurl.so.4": r".*@CURL_",
    "libpystub.so": r"_?Py",
}
"""Library to what the symbols look like that it stands for."""


def install(folder: Path) -> None:
    """Fill the folder: library, Debian's libraries, stubs, program.

    Raises:
        RuntimeError: if the machine is another one, or lacks a tool or a package.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise RuntimeError("the package mesos-scheduler is for Linux on x86-64 only")
    for tool in ("gcc", "g++", "nm"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is not on this machine, and Mesos needs it once")
    with tempfile.TemporaryDirectory() as scratch:
        _library(folder, Path(scratch) / "python")
    unpack_debian(_DEBIAN, folder / "root")
    _stubs(folder)
    program = ["-O1", "-w", "-o", folder / "local_cluster", SOURCES / "local_cluster.cpp", "-ldl"]
    command(["g++", *program])


def _library(folder: Path, scratch: Path) -> None:
    """The package is fetched and unpacked; it cannot be installed."""
    command([sys.executable, "-m", "venv", scratch / "venv"])
    pip = [scratch / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q"]
    command([*pip, "install", _PIP])
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    # It ends in an error of the package's own metadata, after the file has been unpacked.
    subprocess.run(
        [*pip, "download", "--no-clean", "--no-deps", "-d", scratch, _PACKAGE],
        env={**os.environ, "TMPDIR": str(unpacked)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    found = next(unpacked.rglob("_scheduler.so"), None)
    if found is None:
        raise RuntimeError(f"the Python package {_PACKAGE} cannot be had by {_PIP}")
    shutil.copyfile(found, folder / "_scheduler.so")
    command(["strip", "--strip-unneeded", folder / "_scheduler.so"])


def _stubs(folder: Path) -> None:
    """Libraries for the linker's sake.

    Each calls getenv, since the linker insists on a version table in what it loads beside
    libraries that have one.
    """
    (folder / "stub").mkdir()
    listed = command(["nm", "-D", "--undefined-only", folder / "_scheduler.so"]).splitlines()
    undefined = sorted({line.split()[-1] for line in listed})
    for library, looks in _STUBS.items():
        names = [name.partition("@")[0] for name in undefined if re.match(looks, name)]
        lines = [
            "char *getenv(const char *);",
            *(
                f'void *{name}(void) {{ return getenv("MESOS_STUB"); }}'
                for name in dict.fromkeys(["mesos_stub", *names])
            ),
        ]
        source = folder / "stub" / f"{library}.c"
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        target = folder / "stub" / library
        command(["gcc", "-w", "-shared", "-fPIC", "-o", target, source, f"-Wl,-soname,{library}"])
        source.unlink()


def _digest() -> str:
    return hashlib.sha256((SOURCES / "local_cluster.cpp").read_bytes()).hexdigest()[:12]


MESOS = Recipe(name="mesos", version=f"1.11.0 {_digest()}", install=install)
