"""The real servers that are not built from Go: fetched, unpacked or compiled once.

A recipe fills one folder of the cache. Its stamp is written last, so that a half-made folder
is made again; if the recipe fails, the reason is kept, and the tests skip with it.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from servers.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One server.

    Attributes:
        name: of its folder in the cache.
        version: of what it installs, with a digest of the sources of ours that take part.
        install: fills the empty folder; raises `RuntimeError` with the reason if it cannot.
        minutes: about how long that takes on two cores.
    """

    name: str
    version: str
    install: Callable[[Path], None]
    minutes: int = 1

    @property
    def folder(self) -> Path:
        """Where it is, if it is there."""
        return cache_folder() / self.name

    @property
    def is_current(self) -> bool:
        """Whether it is there, and of this version."""
        stamp = self.folder / ".stamp"
        return stamp.exists() and stamp.read_text(encoding="utf-8") == self.version

    def find(self) -> Path | None:
        """Its folder, or None if it is not installed."""
        return self.folder if self.is_current else None

    def reason(self) -> str:
        """Why it is not there: what to print when its tests skip."""
        failed = self._failed
        if failed.exists():
            return f"{self.name} cannot be had: {failed.read_text(encoding='utf-8').strip()}"
        return f"{self.name} is not installed: `make servers` does it"

    def make(self, say: Callable[[str], None] = print) -> bool:
        """Install it if it is missing or of another version; whether it is there."""
        if self.is_current:
            return True
        say(f"installing {self.name}: about {self.minutes} min, once")
        began = time.monotonic()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            self.install(self.folder)
        except (RuntimeError, OSError) as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._failed.write_text(f"{error}\n", encoding="utf-8")
            say(f"{self.name} is not installed, and its tests are skipped: {error}")
            return False
        self._failed.unlink(missing_ok=True)
        (self.folder / ".stamp").write_text(self.version, encoding="utf-8")
        say(f"{self.name} is installed: {time.monotonic() - began:.0f} s")
        return True

    @property
    def _failed(self) -> Path:
        return self.folder.with_name(f"{self.name}.failed")


def make_all(recipes: Iterable[Recipe], *, say: Callable[[str], None] = print) -> bool:
    """Install each that is missing; a second caller waits for the first. Whether all are there."""
    with (cache_folder() / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = [recipe.make(say) for recipe in recipes]
        return all(made)


def command(
    words: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a step of a recipe prints.

    Args:
        words: program and arguments.
        cwd: where it runs.
        environment: the whole of it; default: that of this process.

    Raises:
        RuntimeError: if the program is not there or fails, with the end of what it said.
    """
    program = shutil.which(words[0])
    if program is None:
        raise RuntimeError(f"{words[0]} is not on this machine")
    done = subprocess.run(
        [program, *words[1:]],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise RuntimeError(f"{words[0]} ended with status {done.returncode}: {said}")
    return done.stdout


def unpack_debian(packages: Sequence[str], target: Path) -> None:
    """Unpack packages of Debian into a folder, which needs no rights; nothing is installed.

    Lists of packages that a new machine lacks, or that are too old, are fetched once.

    Raises:
        RuntimeError: if the machine is none of Debian's kind, or lacks a package.
    """
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is not on this machine, and this comes as Debian's")
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        try:
            command(download, cwd=scratch)
        except RuntimeError:
            command(["apt-get", "-qq", "update"])
            command(download, cwd=scratch)
        for package in sorted(scratch.glob("*.deb")):
            command(["dpkg", "-x", package, target])
