"""Registration of workloads: who may, what is written, and what is remembered of it.

Nothing depends on what is remembered here: a registration stands in the backend of a source,
its id says which one it is, and any replica renews it or ends it.
"""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from meshregistry.errors import ConfigError, RegistryError, RegistryProtocolError
from meshregistry.model import ServiceRecord, SourceId
from meshregistry.pilot._agent_registration_ids import decode_id, encode_id
from meshregistry.registries import read_machine
from meshregistry.server import Caller, Refusal, registration_routes
from meshregistry.settings import RegistrationClient
from meshregistry.spi import Lease, Registrar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import web

    from meshregistry.aggregate import Source
    from meshregistry.documents import Secret
    from meshregistry.registries import Groups, Machine
    from meshregistry.settings import RegistrationSettings, RegistrationToken, Settings

    Granted = RegistrationClient | RegistrationToken

_log = logging.getLogger("meshregistry.pilot")
_SHORTEST = 1.0
_PARTS = 3.0
"""An agent that renews so often within its time may miss twice."""


def registrations(
    settings: Settings,
    *,
    registrar: Callable[[SourceId], tuple[Source, Registrar]],
    groups: Callable[[], Groups],
    now: Callable[[], float],
) -> Registrations | None:
    """What takes in the registrations of these settings; None if nobody may register."""
    own = settings.server.registration
    if own is None:
        return None
    if any(one.id == own.source and one.kind == "memory" for one in settings.sources):
        _log.warning(
            "registrations are kept in the memory of this process alone: other replicas do not "
            "see them and a restart forgets them; name a source of the kind etcd, consul or eureka in "
            "server.registration.source"
        )
    return Registrations(
        own,
        registrar=lambda: registrar(SourceId(own.source)),
        groups=groups,
        trust_domain=settings.mesh.domain,
        now=now,
    )


@frozen
class _Held:
    """What this replica has written, so that a renewal writes nothing."""

    records: tuple[ServiceRecord, ...]
    ttl: float
    registrar: Registrar
    leases: tuple[Lease, ...]
    until: float


class Registrations:
    """What `server.registration_routes` asks.

    Args:
        settings: who may register what, and for how long.
        registrar: the source that keeps registrations, and what writes into it; raises
            LookupError or RegistryError.
        groups: what there is to be a member of.
        trust_domain: of the identities that service accounts stand for.
        now: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        settings: RegistrationSettings,
        *,
        registrar: Callable[[], tuple[Source, Registrar]],
        groups: Callable[[], Groups],
        trust_domain: str,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._registrar = registrar
        self._groups = groups
        self._trust_domain = trust_domain
        self._now = now
        self._held: dict[str, _Held] = {}

    def routes(self) -> list[web.RouteDef]:
        """What is served."""
        return registration_routes(self.admit, self.register, self.deregister)

    # --- Who ----------------------------------------------------------------------

    async def admit(self, caller: Caller) -> None:
        """Let everybody pass who may register something.

        Raises:
            Refusal: 401 for all others.
        """
        await self._grants(caller)

    async def _grants(self, caller: Caller) -> list[Granted]:
        grants: list[Granted] = [
            client for client in self._settings.clients if client.identity in caller.identities
        ]
        for one in self._settings.tokens:
            if caller.token and await _is_token(one.token, caller.token, one.name):
                grants.append(one)  # noqa: PERF401 - a comprehension would hide the waiting
        if not grants:
            reason = "the token is not known" if caller.token else "nobody says who asks"
            remedy = "send Authorization: Bearer and a token of server.registration.tokens"
            if self._settings.clients:
                remedy += ", or a client certificate of server.registration.clients"
            raise _refusal(401, reason, remedy)
        return grants

    # --- What ---------------------------------------------------------------------

    async def register(self, body: bytes, caller: Caller) -> tuple[bool, dict[str, Any]]:
        """Register a workload, or renew it; whether it was written, and the answer.

        Raises:
            Refusal: 400 with what is wrong, 403, or 503 if the backend does not take it now.
        """
        grants = await self._grants(caller)
        source, registrar = self._source()
        try:
            machine = read_machine(
                body, self._groups(), namespace=source.namespace, trust_domain=self._trust_domain
            )
            ttl = self._ttl(machine)
        except ConfigError as error:
            raise Refusal(400, error.faults) from None
        for record in machine.records:
            _check(grants, record.service.namespace or "", str(record.service.host))
        records = tuple(_bare(record, source) for record in machine.records)
        key = encode_id(records)
        is_new = not await self._renew(key, records, ttl, registrar)
        if is_new:
            await self._write(key, records, ttl, registrar)
            for record in records:
                ends = ", ".join(map(str, record.endpoints))
                _log.info("%s has registered %s at %s", _who(grants), record.service, ends)
        answer = {
            "id": key,
            "ttl": ttl,
            "renew_after": round(ttl / _PARTS, 3),
            "services": [
                {"namespace": record.service.namespace or "", "host": str(record.service.host)}
                for record in machine.records
            ],
        }
        return is_new, answer

    async def deregister(self, key: str, caller: Caller) -> None:
        """End a registration; one that has ended is no error.

        Raises:
            Refusal: 403, 404 for what is no id, or 503 if the backend does not answer.
        """
        grants = await self._grants(caller)
        try:
            services = decode_id(key)
        except ValueError:
            remedy = "use the id that POST /v1/register gave"
            raise _refusal(404, "there is no such id", remedy, field="id") from None
        source, registrar = self._source()
        for service, _ in services:
            _check(grants, service.namespace or source.namespace, str(service.host))
        self._held.pop(key, None)
        try:
            for service, endpoints in services:
                await registrar.deregister(service, endpoints)
                _log.info("%s has ended the registration of %s", _who(grants), service)
        except ValueError as error:
            raise _refusal(404, str(error), "", field="id") from None
        except RegistryError as error:
            raise _away(error) from error

    # --- How ----------------------------------------------------------------------

    def _source(self) -> tuple[Source, Registrar]:
        try:
            return self._registrar()
        except (LookupError, RegistryError, ConfigError) as error:
            raise _away(error) from error

    def _ttl(self, machine: Machine) -> float:
        ttl = self._settings.default_ttl if machine.ttl is None else machine.ttl
        longest = self._settings.max_ttl
        if not _SHORTEST <= ttl <= longest:
            raise ConfigError(
                f"must be from {_SHORTEST:g} s to {longest:g} s, not {ttl:g} s",
                field="ttl",
                remedy="write a duration such as 30s, and register again before it is over",
            )
        return float(ttl)

    async def _renew(
        self, key: str, records: tuple[ServiceRecord, ...], ttl: float, registrar: Registrar
    ) -> bool:
        """Prolong what this replica has written itself, if it is the same still."""
        now = self._now()
        for old in [one for one, held in self._held.items() if held.until < now]:
            del self._held[old]
        held = self._held.get(key)
        if held is None or (held.records, held.ttl) != (records, ttl):
            return False
        if held.registrar is not registrar:
            return False  # the source was opened anew: its old client is closed
        try:
            for lease in held.leases:
                await lease.renew()
        except RegistryError as error:
            raise _away(error) from error
        self._held[key] = evolve(held, until=now + ttl)
        return True

    async def _write(
        self, key: str, records: tuple[ServiceRecord, ...], ttl: float, registrar: Registrar
    ) -> None:
        try:
            leases = tuple([await registrar.register(record, ttl) for record in records])
        except ValueError as error:
            reason, colon, remedy = str(error).partition(": ")
            raise _refusal(400, reason, remedy if colon else "") from None
        except RegistryProtocolError as error:
            # The backend has looked at it: the same again would be refused again.
            raise _refusal(400, f"the registry refuses it: {error}", "") from error
        except RegistryError as error:
            raise _away(error) from error
        self._held[key] = _Held(records, ttl, registrar, leases, self._now() + ttl)


async def _is_token(secret: Secret, given: str, name: str) -> bool:
    try:
        wanted = await secret.read()
    except (OSError, KeyError, UnicodeDecodeError) as error:
        _log.warning("the token %r of server.registration cannot be read: %s", name, error)
        return False
    # A header may hold any bytes; those that are no text stand in it as surrogates.
    sent = given.encode(errors="surrogateescape")
    return bool(wanted) and hmac.compare_digest(wanted.encode(), sent)


def _bare(record: ServiceRecord, source: Source) -> ServiceRecord:
    """Without what the settings of the source say anyway; not every backend could hold it."""
    service = record.service
    if service.namespace == source.namespace:
        service = evolve(service, namespace=None)
    endpoints = [
        evolve(one, network="") if one.network == source.network else one
        for one in record.endpoints
    ]
    return ServiceRecord(service, endpoints)


def _check(grants: Iterable[Granted], namespace: str, host: str) -> None:
    if not any(grant.allows(namespace, host) for grant in grants):
        name = f"{host} of the namespace {namespace}" if namespace else host
        raise _refusal(
            403,
            f"{name} is not granted to you",
            "have it added to namespaces: and hosts: of your token or certificate",
            field="host",
        )


def _who(grants: Iterable[Granted]) -> str:
    """For the log: a token's own name, or the identity of a certificate."""
    one = next(iter(grants))
    name = one.identity if isinstance(one, RegistrationClient) else one.name
    return name or "a token without a name"


def _refusal(status: int, reason: str, remedy: str, *, field: str = "") -> Refusal:
    return Refusal(status, [ConfigError(reason, field=field, remedy=remedy)])


def _away(error: Exception) -> Refusal:
    """The backend does not take it now; what was registered before stands until its time."""
    reason = error.args[0] if isinstance(error, LookupError) else error
    if isinstance(error, KeyError):
        reason = f"there is no source {reason} any more"
    return _refusal(503, f"the registry cannot be written to: {reason}", "send it again soon")
