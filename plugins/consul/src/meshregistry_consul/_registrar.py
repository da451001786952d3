"""Registering at a Consul agent: one service instance for each endpoint, alive while renewed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import define

from meshregistry.errors import ConfigError
from meshregistry.model import Health, Locality, Resolution
from meshregistry_consul._client import ConsulClient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.model import Endpoint, EndpointKey, ServiceKey, ServiceRecord
    from meshregistry.spi import RegistryContext
    from meshregistry_consul._config import ConsulConfig

_SEPARATORS = {"key=value": "=", "key|value": "|"}
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_HOUR = 3600


class ConsulRegistrar:
    """Writes instances at the agent of the source; its token needs ``service:write``.

    Args:
        config: the options of the source.
        context: what the core gives; its client is a `ConsulClient`.

    Raises:
        ConfigError: if the source has several datacenters, or its hosts do not say which.
    """

    def __init__(self, config: ConsulConfig, context: RegistryContext) -> None:
        if config.datacenters or ("{dc}" in config.hostname and not config.dc):
            raise ConfigError(
                "an agent registers in its own datacenter, and the source does not name one",
                field="datacenters" if config.datacenters else "dc",
                remedy="register in a source with dc: and the name of the agent's datacenter",
            )
        self._config = config
        self._client: ConsulClient = context.client

    async def register(self, record: ServiceRecord, ttl: float) -> ConsulLease:
        """Register an instance for each endpoint, with a check that fails after `ttl` seconds.

        The agent removes an instance a minute after that, which is the least it can.

        Raises:
            ValueError: if Consul cannot hold what the record says, and the adapter read it back.
            RegistryError: if the agent does not take it.
        """
        name = service_name(record.service.key, self._config)
        _holdable(record)
        forms = [instance(name, one, record, self._config, ttl) for one in record.endpoints]
        lease = ConsulLease(self._client, forms)
        await lease.begin()
        return lease

    async def deregister(self, service: ServiceKey, endpoints: Iterable[EndpointKey]) -> None:
        """Take the instances away from this agent; those that are not there are no error.

        Raises:
            ValueError: if no service of this source has such a name.
            RegistryError: if the agent does not answer.
        """
        name = service_name(service, self._config)
        for endpoint in endpoints:
            await self._client.put(_path("service/deregister", instance_id(name, endpoint)))


@define(eq=False)
class ConsulLease:
    """A registration, an `spi.Lease`."""

    _client: ConsulClient
    forms: list[dict[str, Any]]

    async def begin(self) -> None:
        """Register every instance anew.

        Raises:
            RegistryError: if the agent does not take it.
        """
        for form in self.forms:
            await self._register(form)

    async def renew(self) -> None:
        """Say that it is alive; what the agent does not know any more is registered again.

        Raises:
            RegistryError: if the agent does not answer; try again before the time is over.
        """
        for form in self.forms:
            path = _path("check/update", _life(form["ID"]))
            if not await self._client.put(path, {"Status": "passing"}):
                await self._register(form)

    async def deregister(self) -> None:
        """End it now; one that has ended is no error.

        Raises:
            RegistryError: if the agent does not answer; the check then fails in its time.
        """
        for form in self.forms:
            await self._client.put(_path("service/deregister", form["ID"]))

    async def _register(self, form: dict[str, Any]) -> None:
        # Without the option, a check of an earlier registration would stay.
        await self._client.put(
            "/v1/agent/service/register", form, options=("replace-existing-checks",)
        )


def service_name(service: ServiceKey, config: ConsulConfig) -> str:
    """The name in Consul whose host name, by the settings of the source, is this one.

    Raises:
        ValueError: if there is none.
    """
    if service.namespace not in {"", config.ns}:
        msg = f"the namespace {service.namespace!r} is not that of the source: leave it out, or use a source with ns: {service.namespace}"
        raise ValueError(msg)
    shown = config.hostname.format(
        service="{service}",
        dc=config.dc,
        ns=config.ns or "default",
        partition=config.partition or "default",
    )
    before, _, after = shown.partition("{service}")
    host = str(service.host)
    name = host.removeprefix(before).removesuffix(after)
    if not _NAME.fullmatch(name) or f"{before}{name}{after}" != host:
        msg = f"{host} is no host of this source: write {shown}, or change hostname: of the source"
        raise ValueError(msg)
    return name


def instance_id(name: str, endpoint: EndpointKey) -> str:
    """The service id: equal for equal endpoints, and of no other service.

    Colons stand in no name, so that the id of one service can never be that of another.
    """
    return f"{name}:{endpoint.address}:{endpoint.port}"


def instance(
    name: str, endpoint: Endpoint, record: ServiceRecord, config: ConsulConfig, ttl: float
) -> dict[str, Any]:
    """What is sent to the agent, in the form of ``/v1/agent/service/register``.

    Raises:
        ValueError: if the adapter would read something else from it.
    """
    port = record.service.port(endpoint.service_port)
    if port is None:
        msg = f"the endpoint {endpoint} is at the port {endpoint.service_port!r}, which the service does not have"
        raise ValueError(msg)
    called = config.service_port or endpoint.port
    if port.number != called:
        msg = f"the port {port.name} is called at {called} by this source, not at {port.number}: in Consul a service is called at the port of its instances, or at service_port of the source"
        raise ValueError(msg)
    own = instance_id(name, endpoint.key)
    meta = {config.protocol_meta: port.name, **_locality(endpoint.locality, config)}
    tags: list[str] = []
    if config.tags in _SEPARATORS:
        tags = [f"{key}{_SEPARATORS[config.tags]}{text}" for key, text in endpoint.labels.items()]
    else:
        meta = {**endpoint.labels, **meta}
    checks = [
        {
            "CheckID": _life(own),
            "Name": "registered, and renewed in time",
            "TTL": f"{ttl:.3f}s",
            "Status": "passing",
            # The least that Consul knows; it looks every half a minute.
            "DeregisterCriticalServiceAfter": "1m",
        }
    ]
    if endpoint.health is not Health.HEALTHY:
        checks.append(
            {
                "CheckID": f"{own}:health",
                "Name": f"says of itself: {endpoint.health}",
                "TTL": f"{24 * 365 * _HOUR}s",
                "Status": "critical",
            }
        )
    return {
        "ID": own,
        "Name": name,
        "Address": endpoint.address,
        "Port": endpoint.port,
        "Tags": tags,
        "Meta": meta,
        "Weights": {"Passing": endpoint.weight, "Warning": endpoint.weight},
        "Checks": checks,
    }


def _holdable(record: ServiceRecord) -> None:
    """Refuse what Consul has no place for, so that nothing is lost in silence.

    Raises:
        ValueError: if there is something.
    """
    service = record.service
    for what, is_there in (
        ("virtual addresses", bool(service.addresses)),
        ("labels of a service", bool(service.labels)),
        ("external services", service.is_external),
        (f"the resolution {service.resolution}", service.resolution is not Resolution.EDS),
        ("export_to", service.export_to != ("*",)),
        ("networks", any(one.network for one in record.endpoints)),
        ("identities of workloads", any(one.workload_identity for one in record.endpoints)),
        ("a weight of 0", any(not one.weight for one in record.endpoints)),
    ):
        if is_there:
            msg = f"Consul has no place for {what}: leave it out, or register in a source of the kind etcd"
            raise ValueError(msg)


def _locality(locality: Locality, config: ConsulConfig) -> dict[str, str]:
    keys = config.locality
    parts = {
        keys.region: locality.region,
        keys.zone: locality.zone,
        keys.sub_zone: locality.sub_zone,
    }
    return {key: part for key, part in parts.items() if part}


def _life(own: str) -> str:
    return f"{own}:life"


def _path(action: str, own: str) -> str:
    return f"/v1/agent/{action}/{quote(own, safe=':')}"
