"""All three services of Envoy on the port of a Mixer server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.mixer.fronts._access_log import AccessLogFront
from meshregistry.mixer.fronts._authorization import AuthorizationFront
from meshregistry.mixer.fronts._counts import Counts, front_metrics
from meshregistry.mixer.fronts._options import FrontOptions
from meshregistry.mixer.fronts._rate_limit import RateLimitFront

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc.aio

    from meshregistry.mixer.server import Mixer
    from meshregistry.model import Metric


class EnvoyFronts:
    """Serves Envoy's filters: ``MixerServer(…, fronts=[EnvoyFronts()])``.

    Authorization v3 becomes a check, the access log v3 a report, a rate limit v3 a quota.

    Args:
        options: how Envoys are read.
    """

    def __init__(self, options: FrontOptions | None = None) -> None:
        self._options = options or FrontOptions()
        self._counts = Counts()
        self._logs: list[AccessLogFront] = []

    def __call__(self, mixer: Mixer, server: grpc.aio.Server) -> None:
        """Add the services to a server."""
        AuthorizationFront(mixer, self._options, self._counts).add_to(server)
        log = AccessLogFront(mixer, self._options, self._counts)
        log.add_to(server)
        self._logs.append(log)
        RateLimitFront(mixer, self._counts).add_to(server)

    def end(self) -> None:
        """The server ends: so do the streams in which Envoys report, once they are quiet."""
        for log in self._logs:
            log.end()
        self._logs.clear()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often what happened, by a few words such as ``checks denied``."""
        return dict(self._counts.by_name)

    def metrics(self) -> tuple[Metric, ...]:
        """The same for Prometheus; a server that has these fronts shows it with its own."""
        return front_metrics(self._counts.by_name)
