"""The real servers in Go: which, of what version, and how they come into the cache folder.

Each is the main package of a released module, required by a module of ours that holds nothing
but `go.mod` and `go.sum` (`go/<name>/`); the original Mixer and the OpenTelemetry Collector have
a main package of ours beside them. Beside a program in ``bin/`` lies its stamp, which says of
what it was built; or, if it cannot be had, the reason, with which its tests skip.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from servers.cache import cache_folder
from servers.golang import compile_to, digest, drop_caches, find_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MODULES = Path(__file__).with_name("go")
NEEDED_SPACE = 8_000_000_000

# What a Kubernetes of a release calls itself; built as a dependency it would not know.
_KUBERNETES = " ".join(
    f"-X {package}.{name}={value}"
    for package, name, value in (
        ("k8s.io/component-base/version", "gitVersion", "v1.36.2"),
        ("k8s.io/component-base/version", "gitMajor", "1"),
        ("k8s.io/component-base/version", "gitMinor", "36"),
        ("k8s.io/client-go/pkg/version", "gitVersion", "v1.36.2"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program.

    Attributes:
        name: of its file.
        module: folder below `MODULES`.
        package: import path.
        version: what it says of itself when it is asked.
        question: how it is asked.
        minutes: about how long a first build takes on two cores.
        flags: for the linker.
    """

    name: str
    module: str
    package: str
    version: str
    question: str = "--version"
    minutes: int = 5
    flags: str = ""

    @property
    def path(self) -> Path:
        """Where it is, if it is there."""
        return cache_folder() / "bin" / self.name

    @property
    def stamp(self) -> str:
        """Of what it is to be built."""
        inputs = digest(MODULES / self.module, self.package, self.flags)
        return f"{self.version} {inputs}"


PROGRAMS = (
    Program(
        name="consul",
        module="consul",
        package="github.com/hashicorp/consul",
        version="v1.16.1",
        question="version",
    ),
    Program(
        name="kube-apiserver",
        module="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-apiserver",
        version="v1.36.2",
        flags=_KUBERNETES,
    ),
    Program(
        name="kube-controller-manager",
        module="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-controller-manager",
        version="v1.36.2",
        minutes=2,
        flags=_KUBERNETES,
    ),
    Program(
        name="etcd",
        module="etcd",
        package="go.etcd.io/etcd/server/v3",
        version="3.7.3",
        minutes=1,
    ),
    Program(
        name="opa",
        module="opa",
        package="github.com/open-policy-agent/opa",
        version="1.22.3",
        question="version",
        minutes=2,
    ),
    Program(
        name="original-mixer",
        module="mixer",
        package="./original",
        # Istio 1.5, of August 2020.
        version="0.0.0-20200812220246",
        minutes=2,
    ),
    Program(
        name="collector",
        module="collector",
        package="./collector",
        version="0.165.0",
        minutes=2,
    ),
)


def find(name: str) -> Path | None:
    """The program as it was built, or None."""
    path = cache_folder() / "bin" / name
    return path if path.exists() else None


def reason(name: str) -> str:
    """Why a program is not there: what to print when its tests skip."""
    failed = _beside(cache_folder() / "bin" / name, "failed")
    if failed.exists():
        return f"{name} cannot be had: {failed.read_text(encoding='utf-8').strip()}"
    return f"{name} has not been built: `make integration` does it"


def install(programs: Iterable[Program] = PROGRAMS, *, say: Callable[[str], None] = print) -> bool:
    """Build each program that is missing or of another version; whether all are there.

    One at a time, since each build keeps all cores busy; a second caller waits for the first.
    What cannot be built is said with its reason, and the others are built all the same.
    """
    cache = cache_folder()
    (cache / "bin").mkdir(exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = [program for program in programs if not is_current(program)]
        failed = [program for program in wanted if not _build(program, say)]
        if len(failed) < len(wanted):
            drop_caches()
    return not failed


def is_current(program: Program) -> bool:
    """Whether the program is there and was built of this; one without a stamp is asked."""
    if not program.path.exists():
        return False
    stamp = _beside(program.path, "stamp")
    if stamp.exists():
        return stamp.read_text(encoding="utf-8").strip() == program.stamp
    done = subprocess.run(
        [program.path, program.question], capture_output=True, text=True, check=False, timeout=30
    )
    if program.version not in done.stdout.split("\n", 1)[0].split():
        return False
    stamp.write_text(program.stamp + "\n", encoding="utf-8")
    return True


def _build(program: Program, say: Callable[[str], None]) -> bool:
    failed = _beside(program.path, "failed")
    began = time.monotonic()
    try:
        _check_machine()
        say(f"building {program.name} {program.version}: about {program.minutes} min, once")
        compile_to(program.path, MODULES / program.module, program.package, flags=program.flags)
    except RuntimeError as error:
        failed.write_text(f"{error}\n", encoding="utf-8")
        say(f"{program.name} is not built, and its tests are skipped: {error}")
        return False
    failed.unlink(missing_ok=True)
    _beside(program.path, "stamp").write_text(program.stamp + "\n", encoding="utf-8")
    say(f"{program.name} {program.version} is built: {time.monotonic() - began:.0f} s")
    return True


def _check_machine() -> None:
    if find_go() is None:
        raise RuntimeError("Go is not on this machine: install it to build this program")
    free = shutil.disk_usage(cache_folder()).free
    if free < NEEDED_SPACE:
        raise RuntimeError(
            f"{cache_folder()} has {free / 1e9:.1f} GB of free space and building takes "
            f"{NEEDED_SPACE / 1e9:.0f}: make room, or let MESHREGISTRY_SERVERS name another folder"
        )


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}")
