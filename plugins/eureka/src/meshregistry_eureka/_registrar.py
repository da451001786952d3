"""Registering in Eureka: one instance, whose lease must be renewed."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from py_eureka_client import eureka_basic  # type: ignore[import-untyped]

from meshregistry.errors import ConfigError
from meshregistry.model import Health
from meshregistry_eureka._library import NotThere, sent_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshregistry.model import Endpoint, Port, ServiceRecord
    from meshregistry.spi import RegistryContext
    from meshregistry_eureka._client import EurekaClient
    from meshregistry_eureka._config import EurekaConfig, Server

_STATUS = {
    Health.HEALTHY: "UP",
    Health.DRAINING: "OUT_OF_SERVICE",
    Health.UNHEALTHY: "DOWN",
}


class EurekaRegistrar:
    """Writes records; peers copy what one server is told.

    Args:
        config: of the source.
        context: of the source; its client is an `EurekaClient`.
        wall_clock: seconds since 1970: by its time Eureka tells a newer registration.
    """

    def __init__(
        self,
        config: EurekaConfig,
        context: RegistryContext,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._client: EurekaClient = context.client
        self._wall_clock = wall_clock

    async def register(self, record: ServiceRecord, ttl: float) -> EurekaLease:
        """Register an instance for about `ttl` seconds; servers look once a minute who is gone.

        Raises:
            ConfigError: if the record is none that an instance can say.
            RegistryError: if no server takes it.
        """
        one = instance(record, self._config, ttl)
        one.lastDirtyTimestamp = round(1000 * self._wall_clock())
        lease = EurekaLease(self._client, one)
        await lease.begin()
        return lease


class EurekaLease:
    """A registration, an `spi.Lease`.

    Args:
        client: of the source.
        instance: a `py_eureka_client.eureka_basic.Instance`.
    """

    def __init__(self, client: EurekaClient, instance: Any) -> None:
        self._client = client
        self._instance = instance

    async def begin(self) -> None:
        """Register it.

        Raises:
            RegistryError: if no server takes it.
        """
        await self._ask(lambda url: eureka_basic.register(url, self._instance))

    async def renew(self) -> None:
        """Prolong it; a server that does not know it is told again.

        Raises:
            RegistryError: if no server answers; try again before the time is over.
        """
        one = self._instance

        def heartbeat(url: str) -> Awaitable[None]:
            renewed: Awaitable[None] = eureka_basic.send_heartbeat(
                url, one.app, one.instanceId, one.lastDirtyTimestamp, one.status
            )
            return renewed

        try:
            await self._ask(heartbeat)
        except NotThere:
            await self.begin()

    async def deregister(self) -> None:
        """End it now; one that has ended is no error.

        Raises:
            RegistryError: if no server answers; the lease then runs out.
        """
        one = self._instance
        try:
            await self._ask(lambda url: eureka_basic.cancel(url, one.app, one.instanceId))
        except NotThere:
            return

    async def _ask(self, call: Callable[[str], Awaitable[None]]) -> None:
        async def ask(server: Server) -> None:
            with sent_by(self._client, server):
                await call(server.url)

        await self._client.any(ask)


def instance(record: ServiceRecord, config: EurekaConfig, ttl: float) -> Any:
    """The instance that says what a record says, as `service_record` reads it.

    Raises:
        ConfigError: if one instance cannot say it.
    """
    before, _, after = config.hostname.lower().partition("{name}")
    host = str(record.service.host)
    if not (host.startswith(before) and host.endswith(after)):
        raise ConfigError(
            f"the host {host} does not match hostname: {config.hostname}",
            field="hostname",
            remedy="register a host that does",
        )
    name = host[len(before) : len(host) - len(after)]
    plain, secure = _endpoints(record)
    one = plain or secure
    if one is None:
        raise ConfigError("the record has no endpoint", remedy="give one")
    # Renewed once, a lease lasts twice as long as it says (com.netflix.eureka.lease.Lease).
    duration = max(1, math.ceil(ttl / 2))
    return eureka_basic.Instance(
        instanceId=f"{one.address}:{name}:{one.port}",
        app=name.upper(),
        hostName=one.address,
        ipAddr=one.address,
        vipAddress=name,
        secureVipAddress=name,
        status=_STATUS[one.health],
        overriddenstatus="UNKNOWN",
        port=_wrapped(plain),
        securePort=_wrapped(secure),
        metadata=_metadata(record, one, config),
        leaseInfo=eureka_basic.LeaseInfo(
            renewalIntervalInSecs=max(1, duration // 2), durationInSecs=duration
        ),
    )


def _endpoints(record: ServiceRecord) -> tuple[Endpoint | None, Endpoint | None]:
    """The endpoint of the plain port and that of the secure one.

    Raises:
        ConfigError: if there are more, or they have two addresses.
    """
    by_kind: dict[bool, Endpoint] = {}
    for one in record.endpoints:
        is_secure = _port(record, one).protocol.is_tls
        if is_secure in by_kind or any(one.address != own.address for own in by_kind.values()):
            raise ConfigError(
                "an instance in Eureka has one address, a plain port and a secure one",
                remedy="register each address, and each port, by itself",
            )
        by_kind[is_secure] = one
    return by_kind.get(False), by_kind.get(True)


def _port(record: ServiceRecord, endpoint: Endpoint) -> Port:
    port = record.service.port(endpoint.service_port)
    if port is None:
        raise ConfigError(
            f"the service has no port {endpoint.service_port!r}", remedy="name one that it has"
        )
    return port


def _wrapped(endpoint: Endpoint | None) -> Any:
    if endpoint is None:
        return eureka_basic.PortWrapper(port=0, enabled=False)
    return eureka_basic.PortWrapper(port=endpoint.port, enabled=True)


def _metadata(record: ServiceRecord, endpoint: Endpoint, config: EurekaConfig) -> dict[str, str]:
    protocol = _port(record, endpoint).protocol
    keys, place = config.locality, endpoint.locality
    spoken = {"HTTPS": "http", "TLS": "tcp"}.get(protocol.name, str(protocol).lower())
    about = {
        keys.region: place.region,
        keys.zone: place.zone,
        keys.sub_zone: place.sub_zone,
        config.weight_meta: "" if endpoint.weight == 1 else str(endpoint.weight),
    }
    if config.protocol_meta and spoken != config.protocol.lower():
        about[config.protocol_meta[0]] = spoken
    return {**endpoint.labels, **{key: value for key, value in about.items() if value}}
