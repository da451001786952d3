"""A real OpenTelemetry Collector on the loopback interface: what it takes, it writes into files."""

from __future__ import annotations

import itertools
import json
import signal
import socket
from typing import TYPE_CHECKING, Any, Self

import pytest

from servers import programs
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = "collector"
_MARK = "collector.mark."
"""Begins the names of metrics that are only sent to see them arrive; not shown."""
_SIGNALS = ("logs", "metrics", "traces")
_TIMER = {"observer_type": "summary", "summary": {"percentiles": [0, 50, 100]}}


def collector_program() -> Path:
    """The program; without it the test skips with the reason."""
    found = programs.find(PROGRAM)
    if found is None:
        pytest.skip(programs.reason(PROGRAM))
    return found


class Collector:
    """One server, which can be killed and started again; an async context manager.

    Args:
        program: where it is.
        data: for its configuration, its log and what it writes.
    """

    def __init__(self, program: Path, data: Path) -> None:
        self._program = program
        self._data = data
        self._ports = {name: free_port() for name in ("grpc", "http", "forward", "statsd")}
        self._process: ChildProcess | None = None
        self._marks = itertools.count()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def address(self, name: str) -> str:
        """Where it listens: for ``grpc`` and ``http`` (OTLP), ``forward`` or ``statsd``."""
        return f"127.0.0.1:{self._ports[name]}"

    async def start(self) -> None:
        """Start it, on the ports that it had, and wait until all of its receivers listen."""
        # JSON is YAML.
        silent = {"grpc", "http", "forward"}
        mark = self._next_mark()

        def is_ready() -> bool:
            silent.difference_update([name for name in silent if self._listens(name)])
            self._send(mark)
            return not silent and self._has(mark)

        settings = self._data / "collector.json"
        settings.write_text(json.dumps(self._settings()), encoding="utf-8")
        command = [str(self._program), "--config", f"file:{settings}"]
        self._process = ChildProcess(command, log=self._data / "collector.log")
        await self._process.__aenter__()
        try:
            await self.until(is_ready, what="the collector listens", timeout=30)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it; what it has in memory is written."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it without a warning."""
        await self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it where it is: its ports stay open, and nobody reads them. Then it can be killed."""
        assert self._process is not None
        self._process.process.send_signal(signal.SIGSTOP)

    async def until(self, holds: Callable[[], bool], *, what: str, timeout: float = 20.0) -> None:
        """Wait until something is so while it runs."""

        async def is_so() -> bool:
            return holds()

        assert self._process is not None
        await self._process.until(is_so, what=what, timeout=timeout)

    async def all_lines(self) -> None:
        """Wait until every line of statsd that was sent before is written."""
        mark = self._next_mark()
        self._send(mark)
        await self.until(lambda: self._has(mark), what="all lines are written")

    def logs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The records that it wrote so far, each with the group it stands in."""
        return self._found("logs", "scopeLogs", "logRecords")

    def spans(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The spans that it wrote so far, each with the group it stands in."""
        return self._found("traces", "scopeSpans", "spans")

    def metrics(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The metrics that it wrote so far, each with the group it stands in."""
        found = self._found("metrics", "scopeMetrics", "metrics")
        return [(group, one) for group, one in found if not one["name"].startswith(_MARK)]

    @property
    def log(self) -> str:
        """What it said."""
        return (self._data / "collector.log").read_text(errors="replace")

    def _found(
        self, what: str, scopes: str, entries: str
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        groups = f"resource{scopes.removeprefix('scope')}"
        found = []
        for line in self._lines(what):
            for group in json.loads(line)[groups]:
                for scope in group[scopes]:
                    around = {
                        "resource": plain(group["resource"].get("attributes", [])),
                        "scope": scope["scope"].get("name", ""),
                    }
                    found.extend((around, one) for one in scope[entries])
        return found

    def _lines(self, what: str) -> list[str]:
        """All complete ones."""
        path = self._data / f"{what}.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    async def _end(self, signal_number: int) -> None:
        if self._process is not None:
            await self._process.stop(signal_number)
            self._process = None

    def _listens(self, name: str) -> bool:
        with socket.socket() as probe:
            return not probe.connect_ex(("127.0.0.1", self._ports[name]))

    def _next_mark(self) -> str:
        return f"{_MARK}{next(self._marks)}."

    def _send(self, mark: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.sendto(f"{mark}:1|c".encode(), ("127.0.0.1", self._ports["statsd"]))

    def _has(self, mark: str) -> bool:
        return any(mark in line for line in self._lines("metrics"))

    def _settings(self) -> dict[str, Any]:
        return {
            "receivers": {
                "otlp": {
                    "protocols": {
                        name: {"endpoint": self.address(name)} for name in ("grpc", "http")
                    }
                },
                "fluentforward": {"endpoint": self.address("forward")},
                "statsd": {
                    "endpoint": self.address("statsd"),
                    "aggregation_interval": "100ms",
                    "is_monotonic_counter": True,
                    # One batch for all senders: a mark is written with what came before it.
                    "ignore_host": True,
                    "timer_histogram_mapping": [
                        {"statsd_type": kind, **_TIMER} for kind in ("timing", "histogram")
                    ],
                },
            },
            "exporters": {
                f"file/{name}": {
                    "path": str(self._data / f"{name}.jsonl"),
                    "append": True,
                    "flush_interval": "10ms",
                }
                for name in _SIGNALS
            },
            "service": {
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "debug"}},
                "pipelines": {
                    name: {"receivers": receivers, "exporters": [f"file/{name}"]}
                    for name, receivers in (
                        ("logs", ["otlp", "fluentforward"]),
                        ("metrics", ["otlp", "statsd"]),
                        ("traces", ["otlp"]),
                    )
                },
            },
        }


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes in the JSON of OTLP, each with its type: ``(kind, value)``."""
    return {one["key"]: _value(one["value"]) for one in attributes}


def _value(value: dict[str, Any]) -> Any:
    if not value:
        return "none", None
    ((kind, held),) = value.items()
    kind = kind.removesuffix("Value")
    if kind == "int":
        held = int(held)
    elif kind == "kvlist":
        held = plain(held.get("values", []))
    return kind, held
