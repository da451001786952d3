"""The log of HTTP servers: what strangers send is not told as a fault of ours."""

from __future__ import annotations

import logging
from typing import Any

from meshregistry.errors import MissingExtraError

try:
    from aiohttp.http_exceptions import HttpProcessingError
except ModuleNotFoundError as error:
    raise MissingExtraError("server", error.name or "aiohttp", "mixer-server") from error


class HttpLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger for `aiohttp.web.AppRunner`.

    Anybody can send what is no HTTP to a port, such as a client of gRPC that was given the wrong
    one; aiohttp logs the traceback of its parser for each. Here it is a line for debugging.
    """

    def __init__(self) -> None:
        super().__init__(logging.getLogger("meshregistry.http"), {})

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log, but for what could not be parsed."""
        fault = kwargs.get("exc_info")
        if isinstance(fault, HttpProcessingError):
            reason, *_ = str(fault.message).splitlines()
            super().log(logging.DEBUG, "what came is no HTTP: %s", reason.rstrip(": "))
            return
        super().log(level, msg, *args, **kwargs)
