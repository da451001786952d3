"""From a task and its agent to an instance, as the settings have it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.model import Health, Labels, Locality
from meshregistry_mesos._instance import Instance, InstancePort, port_name, preferred, spoken
from meshregistry_mesos._task import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry_mesos._agent import Agent
    from meshregistry_mesos._config import MesosConfig
    from meshregistry_mesos._task import Task, TaskPort


def instance_of(task: Task, agent: Agent | None, config: MesosConfig) -> Instance | None:
    """The instance that a task is; None if it does not serve, or is left out by the settings.

    Raises:
        ValueError: if it serves and nobody can tell where.
    """
    health = _health(task, config)
    if health is None:
        return None
    ports = tuple(_ports(task, agent, config))
    return Instance(
        id=task.key.id,
        ports=ports,
        health=health,
        labels=Labels({**_chosen(agent, config), **task.labels}),
        locality=_locality(task, agent, config),
    )


def _health(task: Task, config: MesosConfig) -> Health | None:
    """What the state of a task and its checks make of it; None if it is left out."""
    if task.state not in LIVE:
        return None
    known, status = config.health, task.status
    if task.state == "TASK_UNREACHABLE":
        shown = known.unreachable
    elif task.state == "TASK_KILLING":
        shown = known.killing
    elif status.healthy is not None:
        shown = known.healthy if status.healthy else known.unhealthy
    elif status.is_pending:
        shown = known.pending
    else:
        shown = known.check_failed if status.is_checked is False else known.healthy
    return None if shown == "OMIT" else Health(shown)


def _ports(task: Task, agent: Agent | None, config: MesosConfig) -> Iterator[InstancePort]:
    taken: set[str] = set()
    for index, port in enumerate(task.ports):
        if (port.visibility or task.visibility or "CLUSTER") not in config.visibility:
            continue
        protocol = spoken(port.name, port.transport, config.protocol)
        address, number = _place(port, task, agent, config)
        yield InstancePort(
            name=port_name(port.name, protocol, index, taken),
            address=address,
            number=number,
            protocol=protocol,
            service_number=_service_number(port, task),
            vips=port.vips,
        )


def _place(port: TaskPort, task: Task, agent: Agent | None, config: MesosConfig) -> tuple[str, int]:
    """Where a port answers: address and number.

    A task without a network of its own has the address of its agent as that of its
    container, so that both ways lead to the same.
    """
    by_host = {one.host: one.container for one in task.status.mapped}
    by_container = {one.container: one.host for one in task.status.mapped}
    is_of_host = port.scope == "host" or (not port.scope and port.number in by_host)
    container = preferred(list(task.status.addresses), config.family)
    wants_host = config.address == "host" or (config.address == "auto" and is_of_host)
    is_known = agent is not None and bool(agent.address)
    # Without mapped ports the container has the address of its agent, or the agent none of it.
    if container and not (wants_host and (is_known or task.status.mapped)):
        return container, by_host.get(port.number, port.number) if is_of_host else port.number
    if agent is None or not is_known:
        reason = (agent and agent.fault) or "is not known, and so not where it runs"
        raise ValueError(f"its agent {task.agent!r}: {reason}")
    return agent.address, port.number if is_of_host else by_container.get(port.number, port.number)


def _service_number(port: TaskPort, task: Task) -> int:
    """The number that callers know: of a virtual address, of the container, or fixed; else 0."""
    if port.vips:
        return port.vips[0].port
    container = {one.host: one.container for one in task.status.mapped}.get(port.number)
    if container is not None:
        return container
    return 0 if port.number in task.allocated else port.number


def _chosen(agent: Agent | None, config: MesosConfig) -> dict[str, str]:
    attributes = agent.attributes if agent is not None else {}
    return {name: attributes[name] for name in config.attributes if name in attributes}


def _locality(task: Task, agent: Agent | None, config: MesosConfig) -> Locality:
    if agent is None:
        return Locality(zone=task.location)
    names, said = config.locality, agent.attributes
    return Locality(
        said.get(names.region) or agent.region,
        said.get(names.zone) or agent.zone or task.location,
        said.get(names.sub_zone, ""),
    )
