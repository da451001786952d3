"""Logging of the commands; the library itself never configures any."""

from __future__ import annotations

import json
import logging
import sys


class JsonFormatter(logging.Formatter):
    """One JSON object on one line for each message."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message; source and traceback if there is one."""
        document = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if hasattr(record, "source"):
            document["source"] = str(record.source)
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


def configure_logs(level: str, form: str) -> None:
    """Send the messages of meshregistry to standard error.

    Args:
        level: the least severe level to print, such as ``info``.
        form: ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logger = logging.getLogger("meshregistry")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
