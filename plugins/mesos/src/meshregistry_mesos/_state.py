"""What a master has said: agents, frameworks and tasks, and the services that these make. Pure."""

from __future__ import annotations

import contextlib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.errors import RecordError, RegistryProtocolError
from meshregistry.model import RecordKey
from meshregistry_mesos._agent import Agent, read_agent
from meshregistry_mesos._instance import dns_label, dns_path
from meshregistry_mesos._reading import a_list, a_text, an_id, an_object
from meshregistry_mesos._records import Converted, Naming, service_records
from meshregistry_mesos._task import TERMINAL, Task, TaskKey, read_task
from meshregistry_mesos._task_instance import instance_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry_mesos._config import MesosConfig
    from meshregistry_mesos._publisher import Outcome


@frozen(kw_only=True)
class News:
    """What an event has changed.

    Attributes:
        touched: services to publish again.
        is_to_list: whether only a new listing can tell the rest.
        faults: of which nobody knows whose they are.
    """

    touched: frozenset[RecordKey] = frozenset()
    is_to_list: bool = False
    faults: tuple[RecordError, ...] = ()


class MesosState:
    """The state of a cluster, begun by a listing and carried on by events.

    Args:
        config: of the source.

    Attributes:
        awaited: agents that an earlier master knew and that this one has not heard of yet.
        faults: of the listing, of which nobody knows whose they are.
    """

    def __init__(self, config: MesosConfig) -> None:
        self.awaited: set[str] = set()
        self.faults: list[RecordError] = []
        self._config = config
        self._agents: dict[str, Agent] = {}
        self._frameworks: dict[str, str] = {}
        self._tasks: dict[TaskKey, Task] = {}
        self._services: dict[RecordKey, dict[TaskKey, None]] = {}

    @classmethod
    def listed(cls, config: MesosConfig, state: Any) -> MesosState:
        """What ``get_state`` of a ``SUBSCRIBED`` event says.

        Raises:
            RegistryProtocolError: if it is no such state.
        """
        self = cls(config)
        try:
            agents, tasks = an_object(state, "get_agents"), an_object(state, "get_tasks")
            frameworks = a_list(an_object(state, "get_frameworks"), "frameworks")
            recovered = a_list(agents, "recovered_agents")
            listed = a_list(agents, "agents")
            running = [*a_list(tasks, "tasks"), *a_list(tasks, "unreachable_tasks")]
        except ValueError as error:
            msg = f"the state that the master sent cannot be read: {error}; is this Mesos?"
            raise RegistryProtocolError(msg) from error
        for one in frameworks:
            self._note(self._framework, one)
        for one in listed:
            # One that nobody can name hides no service: its tasks say that it is not known.
            with contextlib.suppress(ValueError):
                self._agent(one)
        for one in recovered:
            self._note(lambda message: self.awaited.add(an_id(message, "id")), one)
        for one in running:
            self._note(self._task, one)
        return self

    # --- A new master ---------------------------------------------------------------

    def keep(self, former: MesosState, *, is_other_master: bool) -> None:
        """Keep what is known of agents that have not come back to a new master yet.

        A new leader knows an agent's tasks once the agent has registered with it again; what
        it lists before that says nothing about the rest.

        Args:
            former: what was known before.
            is_other_master: whether another master said so; the same one knows all its agents.
        """
        before = former.awaited | (former._agents.keys() if is_other_master else set())
        places = {agent.place for agent in self._agents.values()}
        for id_ in sorted(before - self._agents.keys()):
            agent = former._agents.get(id_)
            if agent is None or (agent.place and agent.place in places):
                # Nothing is known of it, or another agent has taken its place.
                continue
            self.awaited.add(id_)
            self._agents[id_] = agent
        for id_ in {key.framework for key in self._tasks} - self._frameworks.keys():
            # Tasks may be listed before their framework has registered again.
            if id_ in former._frameworks:
                self._name_framework(id_, former._frameworks[id_])
        for task in former._tasks.values():
            if task.agent in self.awaited and task.key not in self._tasks:
                name = former._frameworks.get(task.key.framework)
                if name is not None:
                    self._frameworks.setdefault(task.key.framework, name)
                self._put(task)

    def release(self) -> frozenset[RecordKey]:
        """Await nobody any more; the services that lose tasks by that."""
        gone, self.awaited = self.awaited, set()
        return self._lose_agents(gone)

    # --- Events ---------------------------------------------------------------------

    def apply(self, event: Any) -> News:
        """Take in one event of the stream; kinds that we do not know change nothing."""
        try:
            return self._applied(event)
        except ValueError as error:
            # Whatever it was about, a listing tells it again, and names what is wrong with it.
            fault = RecordError(f"an event of the master cannot be read: {error}")
            return News(is_to_list=True, faults=(fault,))

    def _applied(self, event: Any) -> News:
        news = News()
        match a_text(event, "type"):
            case "TASK_ADDED":
                message = an_object(an_object(event, "task_added"), "task")
                news = News(touched=self._task(message))
            case "TASK_UPDATED":
                news = self._updated(an_object(event, "task_updated"))
            case "AGENT_ADDED":
                news = self._agent_added(an_object(an_object(event, "agent_added"), "agent"))
            case "AGENT_REMOVED":
                id_ = an_id(an_object(event, "agent_removed"), "agent_id")
                self.awaited.discard(id_)
                news = News(touched=self._lose_agents({id_}))
            case "FRAMEWORK_ADDED" | "FRAMEWORK_UPDATED" as kind:
                said = an_object(event, kind.lower())
                news = News(touched=self._framework(an_object(said, "framework")))
            case "FRAMEWORK_REMOVED":
                info = an_object(an_object(event, "framework_removed"), "framework_info")
                news = News(touched=self._lose_framework(an_id(info, "id")))
        return news

    def _updated(self, update: Any) -> News:
        status = an_object(update, "status")
        key = TaskKey(an_id(update, "framework_id"), an_id(status, "task_id"))
        state = a_text(update, "state") or a_text(status, "state")
        task = self._tasks.get(key)
        if state in TERMINAL:
            return News(touched=self._drop(key))
        if task is None:
            # It was lost, and is back: what it is only a listing tells.
            return News(is_to_list=True)
        return News(touched=self._put(task.after(state, status)))

    def _agent_added(self, message: Any) -> News:
        agent = read_agent(message)
        successors = set()
        for id_ in self.awaited - {agent.id}:
            former = self._agents.get(id_)
            if former is not None and former.place and former.place == agent.place:
                successors.add(id_)
        self.awaited -= successors
        touched = self._lose_agents(successors) | self._agent(message)
        was_awaited = agent.id in self.awaited
        self.awaited.discard(agent.id)
        # Its tasks come along in no order that is promised, so what is gone a listing tells.
        return News(touched=touched, is_to_list=was_awaited)

    # --- Services -------------------------------------------------------------------

    def services(self) -> dict[RecordKey, Outcome]:
        """What becomes of every service."""
        return {key: self.service(key) for key in sorted(self._services)}

    def service(self, key: RecordKey) -> Outcome:
        """What becomes of one service; of one that is not there, nothing."""
        faults: list[str] = []
        instances = []
        tasks = [self._tasks[one] for one in self._services.get(key, ())]
        for task in tasks:
            try:
                task.check()
                instance = instance_of(task, self._agents.get(task.agent), self._config)
            except ValueError as error:
                faults.append(f"the task {task.key.id!r} is left out: {error}")
            else:
                instances += [instance] if instance is not None else []
        if not tasks:
            return Converted()
        try:
            return service_records(self._naming(key, tasks[0]), instances, faults)
        except RecordError as error:
            return error

    def _naming(self, key: RecordKey, task: Task) -> Naming:
        config = self._config
        framework = dns_path(self._frameworks[task.key.framework])
        host = config.hostname.format(
            task=dns_label(task.name), task_path=dns_path(task.name), framework=framework
        )

        def vip_host(name: str) -> str:
            return config.vip_hostname.format(vip=dns_path(name), framework=framework)

        return Naming(
            key=key,
            host=host,
            vip_host=vip_host if config.vip_hostname else None,
            service_ports=config.service_ports,
        )

    def _key(self, task: Task) -> RecordKey | None:
        """The service that a task belongs to; None while its framework is not known or not asked for."""
        name = self._frameworks.get(task.key.framework)
        if name is None:
            return None
        wanted, unwanted = self._config.frameworks, self._config.exclude_frameworks
        is_wanted = not wanted or any(fnmatchcase(name, one) for one in wanted)
        if not is_wanted or any(fnmatchcase(name, one) for one in unwanted):
            return None
        return RecordKey(f"{name}/{task.name}")

    # --- What is known --------------------------------------------------------------

    def _note(self, read: Any, message: Any) -> None:
        """Read a part of the listing; what nobody can tell the owner of is a fault of all."""
        try:
            read(message)
        except ValueError as error:
            self.faults.append(RecordError(f"an entry of the master cannot be read: {error}"))

    def _framework(self, message: Any) -> frozenset[RecordKey]:
        info = an_object(message, "framework_info")
        return self._name_framework(an_id(info, "id"), a_text(info, "name"))

    def _name_framework(self, id_: str, name: str) -> frozenset[RecordKey]:
        if self._frameworks.get(id_) == name:
            return frozenset()
        own = [task for key, task in self._tasks.items() if key.framework == id_]
        before = frozenset[RecordKey]().union(*(self._drop(task.key) for task in own))
        self._frameworks[id_] = name
        return before.union(*map(self._put, own))

    def _lose_framework(self, id_: str) -> frozenset[RecordKey]:
        gone = [key for key in self._tasks if key.framework == id_]
        touched = frozenset[RecordKey]().union(*map(self._drop, gone))
        self._frameworks.pop(id_, None)
        return touched

    def _agent(self, message: Any) -> frozenset[RecordKey]:
        agent = read_agent(message)
        self._agents[agent.id] = agent
        return frozenset(self._services_on({agent.id}))

    def _services_on(self, agents: Iterable[str]) -> Iterator[RecordKey]:
        wanted = set(agents)
        for task in self._tasks.values():
            if task.agent in wanted and (key := self._key(task)) is not None:
                yield key

    def _lose_agents(self, agents: Iterable[str]) -> frozenset[RecordKey]:
        gone = set(agents)
        touched = [self._drop(key) for key, task in [*self._tasks.items()] if task.agent in gone]
        for id_ in gone:
            self._agents.pop(id_, None)
        return frozenset[RecordKey]().union(*touched)

    def _task(self, message: Any) -> frozenset[RecordKey]:
        task = read_task(message)
        return self._drop(task.key) if task.state in TERMINAL else self._put(task)

    def _put(self, task: Task) -> frozenset[RecordKey]:
        before = self._drop(task.key)
        self._tasks[task.key] = task
        key = self._key(task)
        if key is None:
            return before
        self._services.setdefault(key, {})[task.key] = None
        return before | {key}

    def _drop(self, key: TaskKey) -> frozenset[RecordKey]:
        task = self._tasks.pop(key, None)
        service = self._key(task) if task is not None else None
        if service is None or service not in self._services:
            return frozenset()
        self._services[service].pop(key, None)
        if not self._services[service]:
            del self._services[service]
        return frozenset({service})
