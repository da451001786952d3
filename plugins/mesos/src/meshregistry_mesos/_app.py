"""From an app of Marathon, with its tasks, to instances; pure.

The fields are those of Marathon's REST API (``/v2/apps``), with the older places of networks
and ports of versions before 1.5 beside the newer ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.model import Labels, Locality
from meshregistry_mesos._instance import (
    Instance,
    InstancePort,
    Vip,
    port_name,
    preferred,
    spoken,
    vips,
)
from meshregistry_mesos._reading import (
    a_flag,
    a_list,
    a_number,
    a_text,
    an_object,
    texts,
)
from meshregistry_mesos._run_spec import HealthMemory, RunSpec, shown_health

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshregistry.model import Health
    from meshregistry_mesos._marathon_config import MarathonConfig

_MODES = {"BRIDGE": "container/bridge", "USER": "container", "HOST": "host"}
_GOOD_STATUS = range(200, 400)


@frozen(kw_only=True)
class AppPort:
    """A port that an app declares.

    Attributes:
        name: may be empty.
        transport: ``tcp``, ``udp`` or both.
        container: number in the container; 0 for the same as on the host, or without one.
        service: the number that Marathon has assigned for callers; 0 without.
        is_on_host: whether a task is given a port of its host for it.
        vips: virtual addresses that lead to it.
    """

    name: str = ""
    transport: str = ""
    container: int = 0
    service: int = 0
    is_on_host: bool = True
    vips: tuple[Vip, ...] = ()


def read_app(app: Any, config: MarathonConfig, memory: HealthMemory) -> RunSpec:
    """An app, as ``/v2/apps`` embeds it with tasks, deployments and readiness.

    Raises:
        ValueError: if the app itself is malformed, and not only some of its tasks.
    """
    id_ = a_text(app, "id")
    if not id_:
        raise ValueError("an app has no id")
    mode = _mode(app)
    ports = _declared(app, mode)
    labels = texts(app, "labels")
    checks = len(a_list(app, "healthChecks"))
    instances: list[Instance] = []
    faults: list[str] = []
    health: dict[str, bool] = {}
    for number, task in enumerate(a_list(app, "tasks")):
        name = f"number {number}"
        try:
            name = a_text(task, "id") or name
            said = _is_healthy(task, checks)
            said = memory.get(name) if said is None and checks else said
            if said is not None:
                health[name] = said
            shown = _health(app, task, said, checks, config)
            if shown is None:
                continue
            instances.append(
                Instance(
                    id=name,
                    ports=tuple(_ports(task, ports, mode, config)),
                    health=shown,
                    labels=Labels(labels),
                    locality=Locality(a_text(task, "region"), a_text(task, "zone")),
                )
            )
        except ValueError as error:
            faults.append(f"the task {name!r} is left out: {error}")
    return RunSpec(id=id_, instances=tuple(instances), faults=tuple(faults), health=health)


def _mode(app: Any) -> str:
    """``host``, ``container/bridge`` or ``container``."""
    networks = a_list(app, "networks")
    if networks:
        return a_text(networks[0], "mode") or "container"
    docker = a_text(an_object(an_object(app, "container"), "docker"), "network")
    if docker:
        return _MODES.get(docker, "host")
    return "container" if app.get("ipAddress") is not None else "host"


def _declared(app: Any, mode: str) -> list[AppPort]:
    if mode == "host":
        definitions = a_list(app, "portDefinitions")
        if definitions or app.get("portDefinitions") is not None:
            return [
                AppPort(
                    name=a_text(one, "name"),
                    transport=a_text(one, "protocol"),
                    service=a_number(one, "port"),
                    vips=vips(texts(one, "labels")),
                )
                for one in definitions
            ]
        return [AppPort(service=_number(one, "ports")) for one in a_list(app, "ports")]
    container = an_object(app, "container")
    mappings = a_list(container, "portMappings") or a_list(
        an_object(container, "docker"), "portMappings"
    )
    if mappings:
        # A bridge gives every port one of the host; other networks only if it is asked for.
        is_bridge = mode == "container/bridge"
        return [
            AppPort(
                name=a_text(one, "name"),
                transport=a_text(one, "protocol"),
                container=a_number(one, "containerPort"),
                service=a_number(one, "servicePort"),
                is_on_host=is_bridge or one.get("hostPort") is not None,
                vips=vips(texts(one, "labels")),
            )
            for one in mappings
        ]
    discovery = an_object(an_object(app, "ipAddress"), "discovery")
    return [
        AppPort(
            name=a_text(one, "name"),
            transport=a_text(one, "protocol"),
            container=a_number(one, "number"),
            is_on_host=False,
            vips=vips(texts(one, "labels")),
        )
        for one in a_list(discovery, "ports")
    ]


def _ports(
    task: Any, declared: list[AppPort], mode: str, config: MarathonConfig
) -> Iterator[InstancePort]:
    allocated = [_number(one, "ports") for one in a_list(task, "ports")]
    addresses = [a_text(one, "ipAddress") for one in a_list(task, "ipAddresses")]
    own = preferred([one for one in addresses if one], config.family)
    taken: set[str] = set()
    on_host = iter(allocated)
    for index, port in enumerate(declared):
        host_port = next(on_host, 0) if port.is_on_host else 0
        wants_host = mode != "container" or (config.address == "host" and host_port > 0)
        address = a_text(task, "host") if wants_host else own
        number = host_port if wants_host else port.container or host_port
        if not address or not number:
            what = "port of its host" if wants_host else "address of its own"
            raise ValueError(f"it has no {what} for the port {port.name or index!r} of its app")
        protocol = spoken(port.name, port.transport, config.protocol)
        yield InstancePort(
            name=port_name(port.name, protocol, index, taken),
            address=address,
            number=number,
            protocol=protocol,
            service_number=port.vips[0].port if port.vips else port.service or port.container,
            vips=port.vips,
        )


def _health(
    app: Any, task: Any, is_healthy: bool | None, checks: int, config: MarathonConfig
) -> Health | None:
    # Versions that do not tell the state list tasks that have been started.
    state = a_text(task, "state") or ("TASK_RUNNING" if task.get("startedAt") else "TASK_STAGING")
    return shown_health(
        state,
        is_healthy,
        is_ready=_is_ready(app, task),
        has_check=checks > 0,
        keeps_unreachable=app.get("unreachableStrategy") == "disabled",
        config=config,
    )


def _is_healthy(task: Any, checks: int) -> bool | None:
    """What the health checks of a task say; None as long as one of them has not.

    Without any, a general check of Mesos counts, if it has a result.
    """
    if not checks:
        return _is_checked(an_object(task, "checkResult"))
    alive = [
        a_flag(one, "alive")
        for one in a_list(task, "healthCheckResults")
        if one is not None and _says_something(one)
    ]
    if False in alive:
        return False
    return True if alive.count(True) >= checks else None


def _says_something(result: Any) -> bool:
    """Whether a check has been made: before the first one, Marathon says that it is not alive."""
    times = a_text(result, "lastSuccess") or a_text(result, "lastFailure")
    return bool(a_flag(result, "alive") or times or a_number(result, "consecutiveFailures"))


def _is_checked(result: Mapping[str, Any]) -> bool | None:
    http, command, tcp = (an_object(result, one) for one in ("http", "command", "tcp"))
    if "statusCode" in http:
        return a_number(http, "statusCode") in _GOOD_STATUS
    if "exitCode" in command:
        return a_number(command, "exitCode") == 0
    return a_flag(tcp, "succeeded")


def _is_ready(app: Any, task: Any) -> bool:
    """Whether readiness checks let it take part: they are asked while a deployment goes on.

    Tasks of an older version than the app's have passed theirs, and have no results any more.
    """
    if not a_list(app, "readinessChecks") or not a_list(app, "deployments"):
        return True
    results = [
        a_flag(one, "ready")
        for one in a_list(app, "readinessCheckResults")
        if a_text(one, "taskId") == a_text(task, "id")
    ]
    if results:
        return all(results)
    return a_text(task, "version") != a_text(app, "version")


def _number(value: Any, key: str) -> int:
    return a_number({key: value}, key)
