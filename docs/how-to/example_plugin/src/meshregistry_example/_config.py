"""What users write under a source of the kind ``hosts``."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, le

from meshregistry.spi import Path, Seconds


@frozen(kw_only=True)
class HostsConfig:
    """The options of one source; structured strictly, so there is nothing to check twice.

    Attributes:
        path: the file, relative to the settings file.
        port: the port of every service and endpoint.
        protocol: what the port speaks.
        suffix: follow only names that end in it.
        interval: time between two looks at the file.
    """

    path: Path
    port: int = field(validator=[ge(1), le(65535)])
    protocol: Literal["HTTP", "HTTP2", "GRPC", "TCP"] = "HTTP"
    suffix: str = ""
    interval: Seconds = Seconds(5.0)
