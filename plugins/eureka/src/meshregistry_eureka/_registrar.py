"""Registering in Eureka: an instance for each endpoint, whose lease must be renewed."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from attrs import define, fields
from py_eureka_client import eureka_basic  # type: ignore[import-untyped]  # it has no types

from meshregistry.model import Endpoint, Health, Labels, Service, ServiceRecord
from meshregistry_eureka._client import EurekaClient
from meshregistry_eureka._convert import service_record
from meshregistry_eureka._instance import Instance
from meshregistry_eureka._library import NotThere, sent_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from meshregistry.model import EndpointKey, ServiceKey
    from meshregistry.spi import RegistryContext
    from meshregistry_eureka._config import EurekaConfig, Server

_STATUS = {
    Health.HEALTHY: "UP",
    Health.DRAINING: "OUT_OF_SERVICE",
    Health.UNHEALTHY: "DOWN",
}


class EurekaRegistrar:
    """Writes instances; peers copy what one server is told.

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
        """Register instances for about `ttl` seconds; servers look once a minute who is gone.

        Raises:
            ValueError: if the adapter would read something else back.
            RegistryError: if no server takes it.
        """
        made = instances(record, self._config, ttl, round(1000 * self._wall_clock()))
        lease = EurekaLease(self._client, made)
        await lease.begin()
        return lease

    async def deregister(self, service: ServiceKey, endpoints: Iterable[EndpointKey]) -> None:
        """Take instances out, whoever registered them; those that are not there are no error.

        Raises:
            ValueError: if no service of this source has such a name.
            RegistryError: if no server answers.
        """
        name = service_name(service, self._config)
        for endpoint in endpoints:
            await _cancel(self._client, name.upper(), instance_id(name, endpoint))


@define(eq=False)
class EurekaLease:
    """A registration, an `spi.Lease`.

    Attributes:
        instances: beans of `py_eureka_client.eureka_basic`.
    """

    _client: EurekaClient
    instances: list[Any]

    async def begin(self) -> None:
        """Register every instance anew.

        Raises:
            RegistryError: if no server takes it.
        """
        for one in self.instances:
            await self._register(one)

    async def renew(self) -> None:
        """Prolong it; a server that does not know an instance is told again.

        Raises:
            RegistryError: if no server answers; try again before the time is over.
        """
        for one in self.instances:
            try:
                await self._heartbeat(one)
            except NotThere:
                await self._register(one)

    async def deregister(self) -> None:
        """End it now; one that has ended is no error.

        Raises:
            RegistryError: if no server answers; the leases then run out.
        """
        for one in self.instances:
            await _cancel(self._client, one.app, one.instanceId)

    async def _register(self, one: Any) -> None:
        await _ask(self._client, lambda url: eureka_basic.register(url, one))
        # A lease lasts as long as it says at first, and twice as long once it is renewed.
        with contextlib.suppress(NotThere):
            await self._heartbeat(one)

    async def _heartbeat(self, one: Any) -> None:
        about = (one.app, one.instanceId, one.lastDirtyTimestamp, one.status)
        await _ask(self._client, lambda url: eureka_basic.send_heartbeat(url, *about))


async def _cancel(client: EurekaClient, app: str, id_: str) -> None:
    try:
        await _ask(client, lambda url: eureka_basic.cancel(url, app, id_))
    except NotThere:
        return


async def _ask(client: EurekaClient, call: Callable[[str], Awaitable[None]]) -> None:
    async def ask(server: Server) -> None:
        with sent_by(client, server):
            await call(server.url)

    await client.any(ask)


def service_name(service: ServiceKey, config: EurekaConfig) -> str:
    """The name in Eureka whose host, by the settings of the source, is this one.

    Raises:
        ValueError: if there is none.
    """
    if service.namespace:
        msg = f"Eureka has no namespaces, and {service} has one: leave it out"
        raise ValueError(msg)
    before, _, after = config.hostname.lower().removesuffix(".").partition("{name}")
    host = str(service.host)
    name = host.removeprefix(before).removesuffix(after)
    if not name or f"{before}{name}{after}" != host:
        msg = f"{host} is no host of this source: write {config.hostname}, or change hostname: of the source"
        raise ValueError(msg)
    return name


def instance_id(name: str, endpoint: EndpointKey) -> str:
    """Equal for equal endpoints, in the manner of Spring's clients."""
    return f"{endpoint.address}:{name}:{endpoint.port}"


def instances(record: ServiceRecord, config: EurekaConfig, ttl: float, now: int) -> list[Any]:
    """The beans that say what a record says.

    Args:
        record: at least one endpoint.
        config: of the source.
        ttl: time to live, in seconds.
        now: in milliseconds.

    Raises:
        ValueError: if the adapter would read something else from them.
    """
    name = service_name(record.service.key, config)
    made = [_instance(name, one, record.service, config) for one in record.endpoints]
    # Renewed, a lease lasts twice as long as it says (com.netflix.eureka.lease.Lease).
    duration = max(1, math.ceil(ttl / 2))
    for one in made:
        one.lastDirtyTimestamp = now
        one.leaseInfo = eureka_basic.LeaseInfo(
            renewalIntervalInSecs=max(1, duration // 2), durationInSecs=duration
        )
    _check(record, service_record(str(record.service.host), map(_read, made), config).record)
    return made


def _instance(name: str, endpoint: Endpoint, service: Service, config: EurekaConfig) -> Any:
    port = service.port(endpoint.service_port)
    if port is None:
        msg = f"the endpoint {endpoint} is at the port {endpoint.service_port!r}, which the service does not have"
        raise ValueError(msg)
    used = eureka_basic.PortWrapper(port=endpoint.port, enabled=True)
    unused = eureka_basic.PortWrapper(port=0, enabled=False)
    spoken = {"HTTPS": "http", "TLS": "tcp"}.get(port.protocol.name, port.name)
    keys, place = config.locality, endpoint.locality
    about = {
        keys.region: place.region,
        keys.zone: place.zone,
        keys.sub_zone: place.sub_zone,
        config.weight_meta: "" if endpoint.weight == 1 else str(endpoint.weight),
    }
    if config.protocol_meta and spoken != config.protocol.lower():
        about[config.protocol_meta[0]] = spoken
    return eureka_basic.Instance(
        instanceId=instance_id(name, endpoint.key),
        app=name.upper(),
        hostName=endpoint.address,
        ipAddr=endpoint.address,
        vipAddress=name,
        secureVipAddress=name,
        status=_STATUS[endpoint.health],
        overriddenstatus="UNKNOWN",
        port=unused if port.protocol.is_tls else used,
        securePort=used if port.protocol.is_tls else unused,
        metadata={**endpoint.labels, **{key: value for key, value in about.items() if value}},
    )


def _read(one: Any) -> Instance:
    """What the adapter reads of a bean, once a server has it."""
    return Instance(
        app=one.app,
        id=one.instanceId,
        status=one.status,
        ip_address=one.ipAddr,
        host_name=one.hostName,
        port=one.port.port if one.port.enabled else None,
        secure_port=one.securePort.port if one.securePort.enabled else None,
        vips=(one.vipAddress,),
        secure_vips=(one.secureVipAddress,),
        metadata=Labels(one.metadata),
    )


def _check(record: ServiceRecord, found: ServiceRecord | None) -> None:
    """Refuse what Eureka has no place for, so that nothing is lost in silence.

    Raises:
        ValueError: naming the first thing that would be read otherwise.
    """
    if found is None or len(found.endpoints) != len(record.endpoints):
        msg = "each instance has one address and one port: give endpoints that differ in them"
        raise ValueError(msg)
    pairs = [
        (one.name, getattr(record.service, one.name), getattr(found.service, one.name))
        for one in fields(Service)
        if one.name != "namespace"
    ]
    for own, read in zip(record.endpoints, found.endpoints, strict=True):
        # What Eureka has no field for stands in metadata, and so among the labels.
        kept = Labels({key: read.labels.get(key, "") for key in own.labels})
        pairs.append(("labels", own.labels, kept))
        pairs += [
            (one.name, getattr(own, one.name), getattr(read, one.name))
            for one in fields(Endpoint)
            if one.name != "labels"
        ]
    for what, own, read in pairs:
        if own != read:
            msg = (
                f"this source would read the {what} {_shown(own)} back as {_shown(read)}: write "
                "that, change the options of the source, or register in one of the kind etcd"
            )
            raise ValueError(msg)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
