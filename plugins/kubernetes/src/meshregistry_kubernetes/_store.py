"""What is known of a cluster, and which services a change touches. Pure; takes the time."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from meshregistry.errors import RecordError
from meshregistry.model import RecordKey
from meshregistry_kubernetes._convert import Member, record_key, to_record
from meshregistry_kubernetes._objects import Broken, KeptNode, KeptPod, KeptService, KeptSlice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.model import ServiceRecord
    from meshregistry_kubernetes._convert import Conversion
    from meshregistry_kubernetes._objects import Kept, Key, SliceEndpoint


@frozen
class Gone:
    """A service has no record (any more)."""

    key: RecordKey


class Store:
    """The objects of one cluster by resource and key, with indexes from parts to services.

    Objects come in any order, and a slice may be known before its service, its pods or its
    nodes; whichever comes later touches the service again.

    Args:
        conversion: how records are made.
        pod_wait: seconds for which an endpoint is held back until its pod is known; None if
            pods are not read.
        selects_namespaces: whether only services of known namespaces count.
    """

    def __init__(
        self,
        conversion: Conversion,
        *,
        pod_wait: float | None = None,
        selects_namespaces: bool = False,
    ) -> None:
        self._conversion = conversion
        self._pod_wait = pod_wait
        self._selects_namespaces = selects_namespaces
        self._tables: defaultdict[str, dict[Key, Kept]] = defaultdict(dict)
        self._slices: defaultdict[Key, dict[Key, KeptSlice | Broken]] = defaultdict(dict)
        self._nodes: dict[str, KeptNode] = {}
        self._by_pod: defaultdict[Key, set[Key]] = defaultdict(set)
        self._by_node: defaultdict[str, set[Key]] = defaultdict(set)
        self._touched: dict[Key, None] = {}
        self._missing: dict[Key, float] = {}
        self._waiting: dict[Key, float] = {}

    # --- Changes --------------------------------------------------------------------

    def replace(self, resource: str, namespace: str, objects: Iterable[Kept]) -> None:
        """Take over a complete listing, of one namespace or (with an empty name) of all."""
        found = {one.key: one for one in objects}
        for key in list(self._tables[resource]):
            if key not in found and namespace in {"", key[0]}:
                self.remove(resource, key)
        for one in found.values():
            self.put(resource, one)

    def put(self, resource: str, new: Kept) -> None:
        """Take over one object; an equal one touches nothing."""
        table = self._tables[resource]
        old = table.get(new.key)
        if old != new:
            table[new.key] = new
            self._moved(resource, old, new)

    def remove(self, resource: str, key: Key) -> None:
        """Forget one object."""
        old = self._tables[resource].pop(key, None)
        if old is not None:
            self._moved(resource, old, None)

    # --- Questions ------------------------------------------------------------------

    def holds(self, resource: str, namespace: str, key: Key | None, uid: str) -> bool:
        """Whether this very object is held; without a key: whether none is."""
        table = self._tables[resource]
        if key is None:
            return not any(namespace in {"", own[0]} for own in table)
        held = table.get(key)
        return held is not None and held.uid == uid

    def take(self, now: float) -> Iterator[ServiceRecord | RecordError | Gone]:
        """What has become of every service touched since the last time."""
        for key, due in list(self._waiting.items()):
            if due <= now:
                del self._waiting[key]
                self._touched[key] = None
        touched, self._touched = self._touched, {}
        for key in touched:
            yield self._outcome(key, now)

    def take_all(self, now: float) -> Iterator[ServiceRecord | RecordError | Gone]:
        """What has become of every service that there is."""
        self._touched |= dict.fromkeys(self._tables["services"])
        return self.take(now)

    @property
    def next_deadline(self) -> float | None:
        """When waiting for a pod ends."""
        return min(self._waiting.values(), default=None)

    # --- How ------------------------------------------------------------------------

    def _moved(self, resource: str, old: Kept | None, new: Kept | None) -> None:
        match resource:
            case "services" | "namespaces":
                self._touch_named(resource, new or old)
            case "endpointslices" | "endpoints":
                self._unlink(old)
                self._link(new)
            case "pods":
                # A pod that is gone changes nothing: the slices say who is an endpoint.
                if new is not None:
                    self._missing.pop(new.key, None)
                    self._touch_all(self._by_pod.get(new.key, ()))
            case "nodes":
                self._move_node(old, new)

    def _touch_all(self, services: Iterable[Key]) -> None:
        self._touched |= dict.fromkeys(services)

    def _touch_named(self, resource: str, one: Kept | None) -> None:
        if one is None:
            return
        if resource == "services":
            self._touch_all([one.key])
        else:
            name = one.key[1]
            self._touch_all(key for key in self._tables["services"] if key[0] == name)

    def _move_node(self, old: Kept | None, new: Kept | None) -> None:
        one = new or old
        if one is None:
            return
        name = one.key[1]
        if isinstance(new, KeptNode):
            self._nodes[name] = new
        else:
            self._nodes.pop(name, None)
        if self._conversion.addresses == "external":
            self._touch_all(self._tables["services"])
        else:
            self._touch_all(self._by_node.get(name, ()))

    def _link(self, new: Kept | None) -> None:
        if not isinstance(new, KeptSlice | Broken) or new.service is None:
            return
        service = new.service
        self._slices[service][new.key] = new
        for endpoint in _endpoints(new):
            if endpoint.pod is not None:
                self._by_pod[endpoint.pod].add(service)
            if endpoint.node:
                self._by_node[endpoint.node].add(service)
        self._touch_all([service])

    def _unlink(self, old: Kept | None) -> None:
        """Take a slice out; what other slices of the service still refer to stays."""
        if not isinstance(old, KeptSlice | Broken) or old.service is None:
            return
        service = old.service
        slices = self._slices[service]
        slices.pop(old.key, None)
        others = [endpoint for one in slices.values() for endpoint in _endpoints(one)]
        pods = {endpoint.pod for endpoint in others}
        nodes = {endpoint.node for endpoint in others}
        for endpoint in _endpoints(old):
            if endpoint.pod is not None and endpoint.pod not in pods:
                _discard(self._by_pod, endpoint.pod, service)
                self._missing.pop(endpoint.pod, None)
            if endpoint.node and endpoint.node not in nodes:
                _discard(self._by_node, endpoint.node, service)
        if not slices:
            del self._slices[service]
        self._touch_all([service])

    def _outcome(self, key: Key, now: float) -> ServiceRecord | RecordError | Gone:
        service = self._tables["services"].get(key)
        self._waiting.pop(key, None)
        if service is None or not self._is_selected(key):
            return Gone(record_key(key))
        slices = self._slices.get(key, {})
        for one in (service, *slices.values()):
            if isinstance(one, Broken):
                return RecordError(one.reason, key=record_key(key))
        if not isinstance(service, KeptService):
            return Gone(record_key(key))
        try:
            record = to_record(service, self._members(key, now), self._nodes, self._conversion)
        except RecordError as error:
            return error
        return Gone(record_key(key)) if record is None else record

    def _is_selected(self, key: Key) -> bool:
        return not self._selects_namespaces or ("", key[0]) in self._tables["namespaces"]

    def _members(self, service: Key, now: float) -> Iterator[Member]:
        slices = self._slices.get(service, {})
        for _, one in sorted(slices.items()):
            if not isinstance(one, KeptSlice):
                continue
            for group in one.groups:
                for endpoint in group.endpoints:
                    pod = self._pod(endpoint)
                    if pod is None and self._is_awaited(service, endpoint, now):
                        continue
                    yield Member(group.ports, endpoint, pod)

    def _pod(self, endpoint: SliceEndpoint) -> KeptPod | None:
        if endpoint.pod is None:
            return None
        pod = self._tables["pods"].get(endpoint.pod)
        if not isinstance(pod, KeptPod):
            return None
        is_same = not endpoint.pod_uid or not pod.uid or endpoint.pod_uid == pod.uid
        return pod if is_same else None

    def _is_awaited(self, service: Key, endpoint: SliceEndpoint, now: float) -> bool:
        """Labels and identity are worth a short wait, but no pod is worth a lost endpoint."""
        if self._pod_wait is None or endpoint.pod is None:
            return False
        due = self._missing.setdefault(endpoint.pod, now) + self._pod_wait
        if due <= now:
            return False
        self._waiting[service] = min(due, self._waiting.get(service, due))
        return True


def _endpoints(one: Kept) -> Iterator[SliceEndpoint]:
    if isinstance(one, KeptSlice):
        for group in one.groups:
            yield from group.endpoints


_Name = TypeVar("_Name", str, tuple[str, str])


def _discard(index: defaultdict[_Name, set[Key]], key: _Name, service: Key) -> None:
    index[key].discard(service)
    if not index[key]:
        del index[key]
