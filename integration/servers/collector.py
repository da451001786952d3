"""A real OpenTelemetry Collector on the loopback interface, which writes what it gets to files.

It takes OTLP, the forward protocol of Fluentd, and lines of statsd with the tags of dogstatsd.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import pytest

from servers import programs
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = "collector"
SIGNALS = ("logs", "metrics", "traces")
# Values as they come, not their quantiles.
_TIMED = [
    {"statsd_type": kind, "observer_type": "gauge"}
    for kind in ("timing", "distribution", "histogram")
]
_READY = "Everything is ready"


def collector_program() -> Path:
    """The program; without it the test skips with the reason."""
    found = programs.find(PROGRAM)
    if found is None:
        pytest.skip(programs.reason(PROGRAM))
    return found


class Collector:
    """One collector; an async context manager. It may be stopped and started again.

    Args:
        program: where it is.
        data: for its configuration, its log and what it writes.
    """

    def __init__(self, program: Path, data: Path) -> None:
        self._program = program
        self._data = data
        self._ports = {name: free_port() for name in ("grpc", "http", "forward", "statsd")}
        self._process: ChildProcess | None = None

    def address(self, name: str) -> str:
        """Where it listens for ``grpc`` and ``http`` (OTLP), ``forward`` and ``statsd``."""
        return f"127.0.0.1:{self._ports[name]}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it takes everything."""
        file = self._data / "collector.yaml"
        file.write_text(json.dumps(self._configuration()), encoding="utf-8")
        log = self._data / "collector.log"
        log.write_text("", encoding="utf-8")
        self._process = ChildProcess([str(self._program), "--config", str(file)], log=log)
        await self._process.__aenter__()

        async def is_ready() -> bool:
            return _READY in log.read_text(encoding="utf-8")

        await self._process.until(is_ready, what="the collector is ready", timeout=30)

    async def stop(self) -> None:
        """End it."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def read(
        self, signal: str, take: Callable[[Any], list[Any]], is_enough: Callable[[list[Any]], bool]
    ) -> list[Any]:
        """What was written of one signal, as soon as there is enough of it.

        Args:
            signal: ``logs``, ``metrics`` or ``traces``.
            take: what is wanted of one line, which is a request of OTLP in JSON.
            is_enough: tells of everything that was taken so far.
        """
        found: list[Any] = []
        path = self._path(signal)

        async def is_there() -> bool:
            # A line may be half written.
            whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
            found[:] = [one for line in whole.splitlines() for one in take(json.loads(line))]
            return is_enough(found)

        assert self._process is not None
        await self._process.until(is_there, what=f"there are enough {signal}")
        return found

    def _path(self, signal: str) -> Path:
        return self._data / f"{signal}.json"

    def _configuration(self) -> dict[str, Any]:
        # Hundredths of a second: a test waits for what is written.
        files = {
            f"file/{signal}": {
                "path": str(self._path(signal)),
                "append": True,
                "flush_interval": "10ms",
            }
            for signal in SIGNALS
        }
        protocols = {name: {"endpoint": self.address(name)} for name in ("grpc", "http")}
        return {
            "receivers": {
                "otlp": {"protocols": protocols},
                "fluentforward": {"endpoint": self.address("forward")},
                "statsd": {
                    "endpoint": self.address("statsd"),
                    "aggregation_interval": "100ms",
                    "is_monotonic_counter": True,
                    "timer_histogram_mapping": _TIMED,
                },
            },
            "exporters": files,
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "logs": {"receivers": ["otlp", "fluentforward"], "exporters": ["file/logs"]},
                    "metrics": {"receivers": ["otlp", "statsd"], "exporters": ["file/metrics"]},
                    "traces": {"receivers": ["otlp"], "exporters": ["file/traces"]},
                },
            },
        }


def plain(attributes: list[Any]) -> dict[str, Any]:
    """Attributes of OTLP's JSON as a mapping; numbers of 64 bits are texts there."""
    return {one["key"]: plain_value(one["value"]) for one in attributes}


def plain_value(value: dict[str, Any]) -> Any:
    """One value of OTLP's JSON."""
    ((kind, held),) = value.items()
    return int(held) if kind == "intValue" else held
