"""Tasks as a Mesos master describes them; pure.

The messages are those of ``mesos.v1`` (``mesos.proto``, ``master.proto``) in their JSON form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from attrs import evolve, field, frozen

from meshregistry_mesos._instance import Vip, vips
from meshregistry_mesos._reading import (
    a_flag,
    a_list,
    a_number,
    a_text,
    an_id,
    an_object,
    pairs,
)

TERMINAL = frozenset(
    f"TASK_{state}"
    for state in (
        "FINISHED",
        "FAILED",
        "KILLED",
        "ERROR",
        "LOST",
        "DROPPED",
        "GONE",
        "GONE_BY_OPERATOR",
    )
)
"""States from which no task returns, except after LOST and GONE_BY_OPERATOR as if it were new."""

LIVE = frozenset({"TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE"})
"""States in which a task may answer requests."""

_GOOD_STATUS = range(200, 400)
_HIGHEST_PORT = 65_535


class TaskKey(NamedTuple):
    """The identity of a task: its framework chooses the id."""

    framework: str
    id: str


@frozen
class Mapped:
    """A port of a container that is mapped to one of its host."""

    host: int
    container: int


@frozen(kw_only=True)
class Status:
    """What the statuses of a task say, the newest last.

    Attributes:
        addresses: of its container, or of its host if it has none of its own.
        mapped: ports of its container.
        healthy: what its health check says; None without one.
        is_checked: what Mesos' general check says; None without one.
        is_pending: whether there is such a check that has said nothing yet.
    """

    addresses: tuple[str, ...] = ()
    mapped: tuple[Mapped, ...] = ()
    healthy: bool | None = None
    is_checked: bool | None = None
    is_pending: bool = False

    def after(self, status: Any) -> Status:
        """What is known once this message has come, too.

        Raises:
            ValueError: if it is malformed.
        """
        container = an_object(status, "container_status")
        networks = a_list(container, "network_infos")
        addresses = tuple(
            a_text(one, "ip_address")
            for network in networks
            for one in a_list(network, "ip_addresses")
        )
        mapped = tuple(
            Mapped(a_number(one, "host_port"), a_number(one, "container_port"))
            for network in networks
            for one in a_list(network, "port_mappings")
        )
        known = Status(
            # The last words of a task, or of its agent, do not repeat where it runs.
            addresses=addresses or self.addresses,
            mapped=mapped or self.mapped,
        )
        if a_text(status, "state") != "TASK_RUNNING":
            # Nor how it was: that it ends, or cannot be reached, is said by its state.
            return evolve(
                known,
                healthy=self.healthy,
                is_checked=self.is_checked,
                is_pending=self.is_pending,
            )
        # A master keeps the newest status of a state only, so what it does not say is not known.
        is_checked, is_pending = _check(status)
        return evolve(
            known,
            healthy=a_flag(status, "healthy"),
            is_checked=is_checked,
            is_pending=is_pending,
        )


@frozen
class TaskPort:
    """A port that a task declares.

    Attributes:
        number: of its host or its container, as `scope` says.
        name: may be empty.
        transport: ``tcp``, ``udp``; may be empty.
        scope: ``host``, ``container``, or empty if nothing says.
        visibility: who may see it; empty for whoever may see the task.
        vips: virtual addresses that lead to it.
    """

    number: int
    name: str = ""
    transport: str = ""
    scope: str = ""
    visibility: str = ""
    vips: tuple[Vip, ...] = ()


@frozen(kw_only=True)
class Task:
    """A task of which the master knows.

    Attributes:
        key: its identity.
        name: of its discovery information, else its own: what all tasks of a service share.
        agent: the id of the agent that it runs on.
        state: as the master has it.
        ports: those of its discovery information, else those that it was given.
        allocated: ports of its host that it was given, which differ from task to task.
        labels: of the task and of its discovery information.
        visibility: of its discovery information; empty without.
        location: likewise.
        status: what its statuses say.
        fault: why something of it could not be read; None if all is well.
        status_fault: the same of its newest status.
    """

    key: TaskKey
    name: str
    agent: str
    state: str
    ports: tuple[TaskPort, ...] = ()
    allocated: frozenset[int] = frozenset()
    labels: Mapping[str, str] = field(factory=dict)
    visibility: str = ""
    location: str = ""
    status: Status = Status()
    fault: str | None = None
    status_fault: str | None = None

    def after(self, state: str, status: Any) -> Task:
        """The task once an update has come; a malformed one is its fault until the next."""
        try:
            known = self.status.after(status)
        except ValueError as error:
            fault = f"its status is malformed: {error}"
            return evolve(self, state=state, status_fault=fault)
        return evolve(self, state=state, status=known, status_fault=None)

    def check(self) -> None:
        """Say what is wrong with it, if anything is.

        Raises:
            ValueError: with the reason.
        """
        fault = self.fault or self.status_fault
        if fault is not None:
            raise ValueError(fault)


def read_task(message: Any) -> Task:
    """A task; what is wrong with it beyond its identity is its fault.

    Raises:
        ValueError: if nobody can tell whose task it is.
    """
    key = TaskKey(an_id(message, "framework_id"), an_id(message, "task_id"))
    try:
        discovery = an_object(message, "discovery")
        name = a_text(discovery, "name")
    except ValueError:
        discovery, name = {}, ""
    task = Task(
        key=key,
        name=name or a_text(message, "name") or key.id,
        agent=a_text(an_object(message, "agent_id"), "value"),
        state=a_text(message, "state"),
    )
    try:
        discovery = an_object(message, "discovery")
        allocated = _allocated(message)
        declared = a_list(an_object(discovery, "ports"), "ports")
        ports = tuple(map(_port, declared)) if discovery else tuple(map(TaskPort, allocated))
        labels = pairs(discovery, "labels") | pairs(message, "labels")
        version = a_text(discovery, "version")
        if version:
            labels.setdefault("version", version)
        statuses = a_list(message, "statuses")
        task = evolve(
            task,
            ports=ports,
            allocated=frozenset(allocated),
            labels=labels,
            visibility=a_text(discovery, "visibility"),
            location=a_text(discovery, "location"),
        )
    except ValueError as error:
        return evolve(task, fault=f"it is malformed: {error}")
    for one in statuses:
        task = task.after(task.state, one)
    return task


def _port(message: Any) -> TaskPort:
    labels = pairs(message, "labels")
    return TaskPort(
        a_number(message, "number"),
        a_text(message, "name"),
        a_text(message, "protocol"),
        labels.get("network-scope", ""),
        a_text(message, "visibility"),
        vips(labels),
    )


def _allocated(message: Any) -> list[int]:
    """Ports of the host, out of the resources of the task."""
    found: list[int] = []
    for resource in a_list(message, "resources"):
        if a_text(resource, "name") == "ports":
            for one in a_list(an_object(resource, "ranges"), "range"):
                begin, end = a_number(one, "begin"), a_number(one, "end")
                if not 0 < begin <= end <= _HIGHEST_PORT:
                    raise ValueError(f"the range of ports {begin}-{end} is none")
                found += range(begin, end + 1)
    return found


def _check(status: Any) -> tuple[bool | None, bool]:
    """What a general check says, and whether it has yet to say something.

    Mesos itself draws no conclusion from it (its documentation of task checks): an HTTP
    status of success or redirection, a command that ends with 0 and a connection that could
    be made are taken as good.
    """
    check = an_object(status, "check_status")
    http, command, tcp = (an_object(check, one) for one in ("http", "command", "tcp"))
    if "status_code" in http:
        return a_number(http, "status_code") in _GOOD_STATUS, False
    if "exit_code" in command:
        return a_number(command, "exit_code") == 0, False
    if "succeeded" in tcp:
        return a_flag(tcp, "succeeded"), False
    return None, bool(check)
