"""``stdio``: a line for each log entry and metric, on a standard stream or in a file.

Lines are written by a thread of the handler, so that a slow disk or a full pipe holds up no
call; lines that find its queue full are dropped and counted.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
import time
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler, WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import field, frozen

from meshregistry.errors import MixerError
from meshregistry.mixer.spi import (
    LOG_ENTRY,
    METRIC,
    Handler,
    LogEntry,
    Metric,
    MixerAdapter,
    StringMap,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes, Value

Level = Literal["INFO", "WARNING", "ERROR"]

_LEVELS: Mapping[str, int] = {"INFO": 0, "WARNING": 1, "ERROR": 2}
_WORDS: Mapping[str, str] = {"INFO": "info", "WARNING": "warn", "ERROR": "error"}
_SEVERITIES: Mapping[str, Level] = {
    "INFORMATIONAL": "INFO",
    "INFO": "INFO",
    "WARNING": "WARNING",
    "WARN": "WARNING",
    "ERROR": "ERROR",
    "ERR": "ERROR",
    "FATAL": "ERROR",
}
_FILES = frozenset({"FILE", "ROTATED_FILE"})
_MEGABYTE = 1_048_576
_DAY = 86_400.0
_JOIN = 5.0
"""Seconds that closing waits for lines that are still to be written."""


@frozen(kw_only=True)
class StdioConfig:
    """Parameters of ``stdio``.

    Attributes:
        log_stream: where lines go.
        severity_levels: severities of log entries to levels, beside the usual names in upper
            and lower case; any other severity is INFO.
        metric_level: the level of metrics.
        output_as_json: a JSON object for each line; else time, level, name and an object.
        output_level: lines of lower levels are not written.
        output_path: of the file; relative to the configuration's folder.
        max_megabytes_before_rotation: the size at which a rotated file is put aside.
        max_days_before_rotation: files put aside that are older are deleted; 0: none.
        max_rotated_files: how many are kept.
        queue_size: lines that wait for the thread; more are dropped and counted.
    """

    log_stream: Literal["STDOUT", "STDERR", "FILE", "ROTATED_FILE"] = "STDOUT"
    severity_levels: dict[str, Level] = field(factory=dict)
    metric_level: Level = "INFO"
    output_as_json: bool = True
    output_level: Level = "INFO"
    output_path: str = ""
    max_megabytes_before_rotation: int = 100
    max_days_before_rotation: int = 30
    max_rotated_files: int = 1000
    queue_size: int = 8192


def _faults(config: StdioConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    is_file = config.log_stream in _FILES
    if is_file and not config.output_path:
        yield f"log_stream: {config.log_stream} needs a file; add outputPath"
    if not is_file and config.output_path:
        yield f"output_path: {config.log_stream} is no file; write logStream: FILE or ROTATED_FILE"
    for name in ("max_megabytes_before_rotation", "max_rotated_files", "queue_size"):
        if getattr(config, name) < 1:
            yield f"{name}: must be at least 1"
    if config.max_days_before_rotation < 0:
        yield "max_days_before_rotation: must not be negative; 0 keeps files of any age"


class _RotatedFile(RotatingFileHandler):
    """Also deletes files that were put aside long ago."""

    def __init__(self, path: Path, *, size: int, count: int, days: int) -> None:
        super().__init__(path, maxBytes=size, backupCount=count, encoding="utf-8", delay=True)
        self._seconds = days * _DAY

    def doRollover(self) -> None:  # noqa: N802 - the name is the standard library's
        super().doRollover()
        if not self._seconds:
            return
        own = Path(self.baseFilename)
        oldest = time.time() - self._seconds
        for path in own.parent.glob(f"{own.name}.*"):
            if path.suffix[1:].isdigit() and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


class StdioHandler(Handler):
    """Hands lines to a thread that writes them."""

    def __init__(self, config: StdioConfig, context: HandlerContext) -> None:
        self._config = config
        self._context = context
        self._severities = {
            **_SEVERITIES,
            **{name.lower(): level for name, level in _SEVERITIES.items()},
            **config.severity_levels,
        }
        self._queue: queue.Queue[str | None] = queue.Queue(config.queue_size)
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        output = await self._context.in_thread(self._output)
        self._thread = threading.Thread(
            target=self._write, args=(output,), name="meshregistry-mixer-stdio", daemon=True
        )
        self._thread.start()

    async def close(self) -> None:
        if self._thread is not None:
            await self._context.in_thread(self._finish, self._thread)

    async def report(self, instances: Sequence[LogEntry | Metric]) -> None:
        for instance in instances:
            level = self._level(instance)
            if _LEVELS[level] < _LEVELS[self._config.output_level]:
                continue
            try:
                self._queue.put_nowait(self._line(instance, level))
            except queue.Full:
                self._context.count("dropped_lines")
            else:
                self._context.count("lines")

    # --- Lines ----------------------------------------------------------------------------

    def _level(self, instance: LogEntry | Metric) -> Level:
        if isinstance(instance, Metric):
            return self._config.metric_level
        return self._severities.get(instance.severity, "INFO")

    def _line(self, instance: LogEntry | Metric, level: Level) -> str:
        if isinstance(instance, Metric):
            when, said = None, {"value": plain(instance.value), **_sorted(instance.dimensions)}
        else:
            when, said = instance.timestamp, _sorted(instance.variables)
        stamp = text_of((when or self._context.wall_time()).astimezone(UTC))
        if self._config.output_as_json:
            return _json({"level": _WORDS[level], "time": stamp, "instance": instance.name, **said})
        return "\t".join((stamp, _WORDS[level], instance.name, _json(said)))

    # --- In the thread --------------------------------------------------------------------

    def _output(self) -> logging.StreamHandler[Any]:
        match self._config.log_stream:
            case "STDOUT":
                return logging.StreamHandler(sys.stdout)
            case "STDERR":
                return logging.StreamHandler(sys.stderr)
        path = self._context.base_path / self._config.output_path
        try:
            with path.open("a", encoding="utf-8"):  # to know at once whether it can be written
                pass
        except OSError as error:
            reason = error.strerror or error
            raise MixerError(
                f"outputPath: {path} cannot be written: {reason}; name a file in a folder that is "
                "there and may be written"
            ) from error
        if self._config.log_stream == "FILE":
            # Opens the file anew when somebody else has rotated it.
            return WatchedFileHandler(path, encoding="utf-8", delay=True)
        return _RotatedFile(
            path,
            size=self._config.max_megabytes_before_rotation * _MEGABYTE,
            count=self._config.max_rotated_files,
            days=self._config.max_days_before_rotation,
        )

    def _write(self, output: logging.StreamHandler[Any]) -> None:
        output.handleError = self._failed  # type: ignore[assignment, method-assign]  # a method that libraries replace, as logging says
        while (line := self._queue.get()) is not None:
            output.handle(logging.makeLogRecord({"msg": line}))
        if isinstance(output, logging.FileHandler):  # a standard stream is not ours to close
            output.close()

    def _failed(self, _record: logging.LogRecord) -> None:
        self._context.count("failed_lines")

    def _finish(self, thread: threading.Thread) -> None:
        try:
            self._queue.put(None, timeout=_JOIN)
        except queue.Full:
            self._context.count("dropped_lines", self._queue.qsize())
            return
        thread.join(_JOIN)


def plain(value: Value | None) -> Any:
    """A value as JSON has it: numbers, truth and texts as such, everything else as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            # JSON knows no infinity.
            return value if abs(value) < float("inf") else text_of(value)
        case StringMap():
            return {key: value[key] for key in sorted(value)}
        case datetime():
            return text_of(value.astimezone(UTC))
    return text_of(value)


def _sorted(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: plain(values[name]) for name in sorted(values)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


STDIO: Final = MixerAdapter(
    name="stdio",
    config_class=StdioConfig,
    templates=(LOG_ENTRY, METRIC),
    open=StdioHandler,
    check=_faults,
    summary="a line for each log entry and metric, on a standard stream or in a file",
)
