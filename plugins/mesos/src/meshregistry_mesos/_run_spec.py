"""What apps and pods of Marathon have in common: names, health with a memory, selection. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.errors import RecordError
from meshregistry.model import Health, RecordKey
from meshregistry_mesos._instance import Instance, dns_label, dns_path
from meshregistry_mesos._records import Naming, service_records

if TYPE_CHECKING:
    from meshregistry_mesos._marathon_config import MarathonConfig
    from meshregistry_mesos._publisher import Outcome

HealthMemory = Mapping[str, bool]
"""What was last said of the health of each task: a new leader of Marathon begins without it."""


@frozen(kw_only=True)
class RunSpec:
    """An app or a pod, with what runs of it.

    Attributes:
        id: its path, such as ``/shop/web``.
        is_pod: whether it is a pod.
        instances: those that serve.
        faults: of those that cannot be read.
        health: what is said, or was last said, of each.
    """

    id: str
    is_pod: bool = False
    instances: tuple[Instance, ...] = ()
    faults: tuple[str, ...] = ()
    health: HealthMemory = field(factory=dict)


def is_selected(id_: str, config: MarathonConfig) -> bool:
    """Whether the settings ask for this app or pod."""
    return not config.apps or any(fnmatchcase(id_, pattern) for pattern in config.apps)


def outcome(spec: RunSpec, config: MarathonConfig) -> Outcome:
    """What becomes of an app or a pod."""
    parts = [part for part in reversed(spec.id.split("/")) if part]
    app_path = ".".join(filter(None, map(dns_label, parts)))

    def vip_host(name: str) -> str:
        return config.vip_hostname.format(vip=dns_path(name))

    naming = Naming(
        key=RecordKey(spec.id),
        host=config.hostname.format(app=dns_label("-".join(parts)), app_path=app_path),
        vip_host=vip_host if config.vip_hostname else None,
        service_ports=config.service_ports,
    )
    try:
        return service_records(naming, spec.instances, spec.faults)
    except RecordError as error:
        return error


def shown_health(
    state: str,
    is_healthy: bool | None,
    *,
    is_ready: bool = True,
    has_check: bool = False,
    keeps_unreachable: bool = False,
    config: MarathonConfig,
) -> Health | None:
    """The health of an instance; None if it is left out.

    Args:
        state: of its task.
        is_healthy: what its health checks say, or last said; None if they have not yet.
        is_ready: whether its readiness checks are passed.
        has_check: whether it has health checks.
        keeps_unreachable: whether its unreachable strategy is ``disabled``, so that being cut
            off from the master says nothing.
        config: of the source.
    """
    known = config.health
    if state == "TASK_KILLING":
        shown = known.killing
    elif state == "TASK_UNREACHABLE" and not keeps_unreachable:
        shown = known.unreachable
    elif state not in {"TASK_RUNNING", "TASK_UNREACHABLE"}:
        return None
    elif not is_ready or (has_check and is_healthy is None):
        shown = known.pending
    else:
        shown = known.unhealthy if is_healthy is False else known.healthy
    return None if shown == "OMIT" else Health(shown)
