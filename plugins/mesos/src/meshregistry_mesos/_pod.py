"""From the status of a pod of Marathon to instances; pure. The API is ``/v2/pods/::status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.model import Labels, Locality
from meshregistry_mesos._instance import Instance, InstancePort, port_name, preferred, spoken, vips
from meshregistry_mesos._reading import a_flag, a_list, a_number, a_text, an_object, texts
from meshregistry_mesos._run_spec import HealthMemory, RunSpec, shown_health

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshregistry_mesos._marathon_config import MarathonConfig

_RUNNING = frozenset({"TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE"})
_SERVING = frozenset({"STABLE", "DEGRADED"})


def read_pod(status: Any, config: MarathonConfig, memory: HealthMemory) -> RunSpec:
    """A pod, with its instances; each is one instance with the ports of all its containers.

    Raises:
        ValueError: if the pod itself is malformed, and not only some of its instances.
    """
    id_ = a_text(status, "id")
    if not id_:
        raise ValueError("a pod has no id")
    spec = an_object(status, "spec")
    containers = {a_text(one, "name"): one for one in a_list(spec, "containers")}
    networks = a_list(spec, "networks")
    mode = a_text(networks[0], "mode") if networks else "host"
    labels = texts(spec, "labels")
    strategy = an_object(spec, "scheduling").get("unreachableStrategy")
    instances: list[Instance] = []
    faults: list[str] = []
    health: dict[str, bool] = {}
    for number, one in enumerate(a_list(status, "instances")):
        name = f"number {number}"
        try:
            name = a_text(one, "id") or name
            has_check, said = _is_healthy(one, containers)
            said = memory.get(name) if said is None and has_check else said
            if said is not None:
                health[name] = said
            shown = shown_health(
                _state(one),
                said,
                has_check=has_check,
                keeps_unreachable=strategy == "disabled",
                config=config,
            )
            if shown is None:
                continue
            instances.append(
                Instance(
                    id=name,
                    ports=tuple(_ports(one, containers, mode, config)),
                    health=shown,
                    labels=Labels(labels),
                    locality=Locality(a_text(one, "agentRegion"), a_text(one, "agentZone")),
                )
            )
        except ValueError as error:
            faults.append(f"the instance {name!r} is left out: {error}")
    return RunSpec(
        id=id_, is_pod=True, instances=tuple(instances), faults=tuple(faults), health=health
    )


def _state(instance: Any) -> str:
    """The state that a task would have: of its containers, the one that is furthest gone."""
    if a_text(instance, "status") not in _SERVING:
        return "TASK_STAGING"
    states = {a_text(one, "status") for one in a_list(instance, "containers")}
    for state in ("TASK_KILLING", "TASK_UNREACHABLE"):
        if state in states:
            return state
    return "TASK_RUNNING"


def _is_healthy(instance: Any, containers: Mapping[str, Any]) -> tuple[bool, bool | None]:
    """Whether there are health checks, and what they say: None as long as one says nothing.

    The flag of an endpoint is there once its container's check has said something.
    """
    has_check = False
    flags: list[bool | None] = []
    for container in a_list(instance, "containers"):
        declared = containers.get(a_text(container, "name"), {})
        if declared.get("healthCheck") is None:
            continue
        has_check = True
        flags += [a_flag(one, "healthy") for one in a_list(container, "endpoints")]
    if False in flags:
        return has_check, False
    return has_check, None if None in flags or not flags else True


def _ports(
    instance: Any, containers: Mapping[str, Any], mode: str, config: MarathonConfig
) -> Iterator[InstancePort]:
    addresses = [
        str(address)
        for network in a_list(instance, "networks")
        for address in a_list(network, "addresses")
    ]
    own = preferred(addresses, config.family)
    taken: set[str] = set()
    for running in a_list(instance, "containers"):
        if a_text(running, "status") not in _RUNNING:
            continue
        name = a_text(running, "name")
        declared = {
            a_text(one, "name"): one for one in a_list(containers.get(name, {}), "endpoints")
        }
        for endpoint in a_list(running, "endpoints"):
            port = declared.get(a_text(endpoint, "name"), {})
            host_port = a_number(endpoint, "allocatedHostPort")
            container_port = a_number(port, "containerPort")
            wants_host = mode != "container" or (config.address == "host" and host_port > 0)
            address = a_text(instance, "agentHostname") if wants_host else own
            number = host_port if wants_host else container_port or host_port
            if not address or not number:
                what = "port of its host" if wants_host else "address of its own"
                raise ValueError(f"it has no {what} for the endpoint {a_text(endpoint, 'name')!r}")
            found = vips(texts(port, "labels"))
            transport = ",".join(map(str, a_list(port, "protocol")))
            protocol = spoken(a_text(endpoint, "name"), transport, config.protocol)
            yield InstancePort(
                name=port_name(a_text(endpoint, "name"), protocol, len(taken), taken),
                address=address,
                number=number,
                protocol=protocol,
                service_number=found[0].port if found else container_port,
                vips=found,
            )
