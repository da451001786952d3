"""The hub with transports in memory: groups, fan-out, nonces, refusals, faults."""

from __future__ import annotations

import logging
import tracemalloc

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from meshregistry.ads import Request
from meshregistry.errors import RemoteAdsError
from meshregistry.model import CLUSTER, ENDPOINT, Node, Peer, Resource, ResourceSet
from meshregistry.server import Assignment, Hub, Limits, Observers


class Pipe:
    """A transport in memory, which writes when it is told to."""

    def __init__(self, hub: Hub, *, node_id: str = "n", is_delta: bool = False) -> None:
        self.sent: list[bytes] = []
        self.ending: tuple[str, str] | None = None
        self.stream = hub.open(
            self, peer=Peer(address="memory"), is_delta=is_delta, is_aggregated=True
        )
        self._node: Node | None = Node(id=node_id, cluster="edge")

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self, status: str, reason: str) -> None:
        self.ending = (status, reason)

    def ask(self, *names: str, type_url: str = CLUSTER, **fields) -> None:
        node, self._node = self._node, None
        self.stream.receive(Request(type_url=type_url, names=names, **fields), node)

    def accept(self) -> None:
        """The last message was written, and its client accepts it."""
        last = self.last
        self.stream.written()
        self.ask(type_url=last.type_url, version=last.version_info, nonce=last.nonce)

    @property
    def last(self):
        return discovery_pb2.DiscoveryResponse.FromString(self.sent[-1])


def by_cluster(node: Node, peer: Peer) -> Assignment:
    """Groups are what the nodes say; the peer is kept."""
    return Assignment(node.cluster, proxy=peer)


def cluster(name: str, content: bytes = b"") -> Resource:
    """An opaque cluster."""
    return Resource(type_url=CLUSTER, name=name, bytes=content)


def clusters(*names: str) -> ResourceSet:
    """A set of clusters."""
    return ResourceSet.of(map(cluster, names))


def test_a_stream_of_a_group_without_a_set_waits(loop):
    """No empty response is sent, which would take away what the client has."""
    hub = Hub(by_cluster, clock=loop)
    pipe = Pipe(hub)
    pipe.ask()
    loop.run()
    assert ([], 1) == (pipe.sent, hub.statistics().waiting)
    hub.publish("edge", clusters("a"))
    loop.run()
    assert (1, 0) == (len(pipe.last.resources), hub.statistics().waiting)


def test_streams_share_the_bytes_of_a_fan_out(loop):
    """However many streams there are, a push is one object with one nonce."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("a"))
    pipes = [Pipe(hub, node_id=str(number)) for number in range(100)]
    for pipe in pipes:
        pipe.ask()
    loop.run()
    for pipe in pipes:
        pipe.accept()
    loop.run()
    hub.publish("edge", clusters("a", "b"))
    loop.run()
    assert [2] * 100 == [len(pipe.sent) for pipe in pipes]
    assert 1 == len({id(pipe.sent[1]) for pipe in pipes})
    assert (198, 2) == (hub.encoder.hits, hub.encoder.misses)


def test_nonces_never_come_twice_on_a_stream(loop):
    """Also when several responses leave between two publications."""
    hub = Hub(by_cluster, clock=loop)
    pipe = Pipe(hub)
    endpoint = Resource(type_url=ENDPOINT, name="a", bytes=b"")
    for content in (b"1", b"2", b"3"):
        hub.publish("edge", ResourceSet.of([cluster("a", content), endpoint]))
        pipe.ask("a", type_url=ENDPOINT)
        for _ in range(4):
            loop.run()
            pipe.stream.written()
    nonces = [discovery_pb2.DiscoveryResponse.FromString(data).nonce for data in pipe.sent]
    assert len(nonces) == len(set(nonces))


def test_a_slow_stream_gets_the_latest_only(loop):
    """While a write is pending, sets that are replaced are never sent."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("v0"))
    pipe = Pipe(hub)
    pipe.ask()
    loop.run()
    for number in range(1, 50):
        hub.publish("edge", clusters(f"v{number}"))
        loop.run()
    assert 1 == len(pipe.sent)
    pipe.stream.written()
    loop.run()
    assert (2, b"") == (len(pipe.sent), pipe.last.resources[0].value)
    assert hub.current("edge").version(CLUSTER) == pipe.last.version_info


def test_a_slow_stream_does_not_pile_up_memory(loop):
    """A stream that never reads holds one message, whatever is published."""
    hub = Hub(by_cluster, clock=loop, limits=Limits(kept_bytes=1 << 18, kept_diffs=4))
    pipe = Pipe(hub)
    size = 1 << 16
    hub.publish("edge", ResourceSet.of([cluster("a", bytes(size))]))
    pipe.ask()
    loop.run()
    tracemalloc.start()
    try:
        for number in range(200):
            content = number.to_bytes(2, "big") + bytes(size)
            hub.publish("edge", ResourceSet.of([cluster("a", content)]))
            loop.run()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10 * size
    assert 1 == len(pipe.sent)


def test_a_stalled_stream_does_not_hold_up_others(loop):
    """One write in flight fills the limit, until it counts as stalled."""
    hub = Hub(by_cluster, clock=loop, limits=Limits(writes=1, stall_after=1.0))
    hub.publish("edge", clusters("a"))
    stuck, other = Pipe(hub), Pipe(hub)
    stuck.ask()
    other.ask()
    loop.run()
    assert (1, 0) == (len(stuck.sent), len(other.sent))
    loop.advance(1.0)
    assert (1, 1) == (len(other.sent), hub.statistics().stalled)


def test_a_first_request_without_node_id_closes_the_stream(loop):
    """Nothing can be said to a client that does not say who it is; others go on."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("a"))
    bad, empty, good = Pipe(hub), Pipe(hub, node_id=""), Pipe(hub)
    bad.stream.receive(Request(type_url=CLUSTER), None)
    empty.ask()
    good.ask()
    loop.run()
    assert ["INVALID_ARGUMENT"] * 2 == [pipe.ending[0] for pipe in (bad, empty)]
    assert "node.id" in bad.ending[1]
    assert (1, None, 2) == (len(good.sent), good.ending, hub.statistics().refused)


def test_an_assignment_may_turn_a_stream_away(loop):
    """The status of the refusal closes the stream."""

    def refuse(node: Node, peer: Peer) -> Assignment:
        raise RemoteAdsError("not yet", status="UNAVAILABLE")

    pipe = Pipe(Hub(refuse, clock=loop))
    pipe.ask()
    assert ("UNAVAILABLE", "not yet") == pipe.ending


def test_a_fault_in_an_assignment_ends_that_stream_only(loop, caplog):
    """An exception of ours is logged and counted; the client learns that it was ours."""

    def assign(node: Node, peer: Peer) -> Assignment:
        if node.id == "bad":
            raise ZeroDivisionError
        return Assignment("edge")

    hub = Hub(assign, clock=loop)
    hub.publish("edge", clusters("a"))
    bad, good = Pipe(hub, node_id="bad"), Pipe(hub)
    with caplog.at_level(logging.ERROR, "meshregistry.server"):
        bad.ask()
    good.ask()
    loop.run()
    assert ("INTERNAL", 1) == (bad.ending[0], len(good.sent))
    assert "ZeroDivisionError" in caplog.text
    assert 1 == hub.statistics().faults


def test_a_fault_while_making_a_response_ends_that_stream_only(loop, caplog):
    """A set that cannot be read ends the streams that it is for, and the fan-out goes on."""

    class Broken(ResourceSet):
        def groups(self, type_url: str):
            raise ZeroDivisionError

    hub = Hub(lambda node, _: Assignment(node.id), clock=loop)
    hub.publish("bad", Broken())
    hub.publish("good", clusters("a"))
    bad, good = Pipe(hub, node_id="bad"), Pipe(hub, node_id="good")
    with caplog.at_level(logging.ERROR, "meshregistry.server"):
        bad.ask()
        good.ask()
        loop.run()
    assert ("INTERNAL", 1) == (bad.ending[0], len(good.sent))


def test_withdrawing_ends_the_streams_of_the_group(loop):
    """They are told to come again, and then wait; other groups are not touched."""
    hub = Hub(lambda node, _: Assignment(node.id), clock=loop)
    for key in ("a", "b"):
        hub.publish(key, clusters("x"))
    gone, stays = Pipe(hub, node_id="a"), Pipe(hub, node_id="b")
    gone.ask()
    stays.ask()
    hub.withdraw("a")
    loop.run()
    assert ("UNAVAILABLE", None) == (gone.ending[0], stays.ending)
    again = Pipe(hub, node_id="a")
    again.ask()
    loop.run()
    assert ([], 1) == (again.sent, len(stays.sent))


def test_a_set_can_be_made_when_it_is_wanted(loop):
    """A group without a set is asked for when a stream comes, and let go when the last leaves."""
    wanted, unwanted = [], []

    def make(key: str) -> ResourceSet:
        wanted.append(key)
        return clusters("made")

    hub = Hub(by_cluster, clock=loop, wanted=make, unwanted=unwanted.append)
    first, second = Pipe(hub), Pipe(hub)
    first.ask()
    second.ask()
    loop.run()
    assert (["edge"], 1, 1) == (wanted, len(first.sent), len(second.sent))
    first.stream.closed("gone")
    assert [] == unwanted
    second.stream.closed("gone")
    assert ["edge"] == unwanted
    hub.withdraw("edge")
    assert () == hub.keys()


def test_a_group_may_be_withdrawn_when_it_is_unwanted(loop):
    """The hub bears being called from its own callback."""

    def forget(key: str) -> None:
        hub.withdraw(key)

    hub = Hub(by_cluster, clock=loop, wanted=lambda _: clusters("a"), unwanted=forget)
    pipe = Pipe(hub)
    pipe.ask()
    pipe.stream.closed("gone")
    assert ((), 0) == (hub.keys(), hub.statistics().faults)


def test_reassigning_moves_streams_to_other_groups(loop):
    """A stream whose key has changed is sent the other set, without being closed."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("a"))
    hub.publish("north", clusters("b"))
    moved, stays = Pipe(hub, node_id="moved"), Pipe(hub, node_id="stays")
    for pipe in (moved, stays):
        pipe.ask()
        loop.run()
        pipe.accept()
    hub.reassign(lambda stream: "north" if stream.node.id == "moved" else stream.key)
    loop.run()
    assert (2, 1) == (len(moved.sent), len(stays.sent))
    assert hub.current("north").version(CLUSTER) == moved.last.version_info
    assert ((stays.stream,), (moved.stream,)) == (hub.streams("edge"), hub.streams("north"))


def test_reassigning_may_turn_a_stream_away(loop):
    """A client that is no longer let in is closed with the status of the refusal."""

    def key_of(stream):
        raise RemoteAdsError("no longer", status="PERMISSION_DENIED")

    hub = Hub(by_cluster, clock=loop)
    pipe = Pipe(hub)
    pipe.ask()
    hub.reassign(key_of)
    assert ("PERMISSION_DENIED", "no longer") == pipe.ending


def test_observers_hear_of_everything(loop):
    """Streams that come and go, and what their clients accept and refuse."""
    heard = []
    hub = Hub(
        by_cluster,
        clock=loop,
        observers=Observers(
            opened=lambda stream: heard.append(("opened", stream.node.id, stream.proxy.address)),
            closed=lambda stream, reason: heard.append(("closed", reason)),
            acked=lambda stream, event: heard.append(("acked", event.type_url)),
            nacked=lambda stream, event: heard.append(("nacked", event.error)),
        ),
    )
    hub.publish("edge", clusters("a"))
    pipe = Pipe(hub)
    pipe.ask()
    loop.run()
    pipe.accept()
    hub.publish("edge", clusters("b"))
    loop.run()
    pipe.ask(nonce=pipe.last.nonce, error="no")
    pipe.stream.closed("gone")
    pipe.stream.closed("twice")
    assert [
        ("opened", "n", "memory"),
        ("acked", CLUSTER),
        ("nacked", "no"),
        ("closed", "gone"),
    ] == heard


def test_an_observer_that_raises_harms_no_stream(loop, caplog):
    """It is logged and counted."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    hub = Hub(by_cluster, clock=loop, observers=Observers(opened=fail, acked=fail))
    hub.publish("edge", clusters("a"))
    pipe = Pipe(hub)
    with caplog.at_level(logging.ERROR, "meshregistry.server"):
        pipe.ask()
        loop.run()
        pipe.accept()
    assert (1, None, 2) == (len(pipe.sent), pipe.ending, hub.statistics().faults)


def test_too_many_streams_are_turned_away(loop):
    """The limit is kept, and a place that is given back can be taken."""
    hub = Hub(by_cluster, clock=loop, limits=Limits(streams=1))
    pipe = Pipe(hub)
    with pytest.raises(RemoteAdsError, match="connect later") as caught:
        Pipe(hub)
    assert "RESOURCE_EXHAUSTED" == caught.value.status
    pipe.stream.closed()
    Pipe(hub)


def test_a_hub_that_closes_takes_and_keeps_no_stream(loop):
    """Those there are end with UNAVAILABLE, and no timer is left."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("a"))
    pipe = Pipe(hub)
    pipe.ask()
    loop.run()
    hub.close()
    assert "UNAVAILABLE" == pipe.ending[0]
    with pytest.raises(RemoteAdsError) as caught:
        Pipe(hub)
    assert ("UNAVAILABLE", 0) == (caught.value.status, loop.armed)


def test_an_equal_set_is_not_sent_again(loop):
    """What a client holds is compared by content."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("a"))
    pipe = Pipe(hub)
    pipe.ask()
    loop.run()
    pipe.accept()
    hub.publish("edge", clusters("a"))
    loop.run()
    assert 1 == len(pipe.sent)


def test_a_difference_is_found_once_for_all_streams(loop):
    """Streams that hold the same set share the comparison with the next one."""
    count = 0

    class Counting(ResourceSet):
        def changes_since(self, older, type_url):
            nonlocal count
            count += 1
            return super().changes_since(older, type_url)

    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", Counting.of(map(cluster, "a")))
    pipes = [Pipe(hub) for _ in range(50)]
    for pipe in pipes:
        pipe.ask()
    loop.run()
    for pipe in pipes:
        pipe.accept()
    loop.run()
    count = 0
    hub.publish("edge", Counting.of(map(cluster, "ab")))
    loop.run()
    assert ([2] * 50, 1) == ([len(pipe.sent) for pipe in pipes], count)


def test_a_write_after_which_nothing_is_left_gives_no_turn(loop):
    """Whoever watches hears of it all the same; what was published meanwhile gets its turn."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("a"))
    pipe = Pipe(hub)
    pipe.ask()
    loop.run()
    heard = []
    stop = hub.watch(heard.append)
    pipe.stream.written()
    assert [] == loop._soon
    assert ([pipe.stream], True) == (heard, hub.is_current(pipe.stream))
    stop()
    hub.publish("edge", clusters("b"))
    loop.run()
    hub.publish("edge", clusters("c"))
    pipe.stream.written()
    assert not hub.is_current(pipe.stream)
    loop.run()
    assert 3 == len(pipe.sent)


def test_status_tells_what_each_stream_holds(loop):
    """Node, group, peer, and the state of each type."""
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", clusters("a"))
    pipe, silent = Pipe(hub), Pipe(hub)
    pipe.ask()
    loop.run()
    (status,) = hub.status()
    assert ("n", "edge", "memory") == (status.node.id, status.key, status.peer.address)
    assert ["STALE"] == [each.state for each in status.types]
    pipe.accept()
    loop.run()
    assert ["SYNCED"] == [each.state for each in hub.status()[0].types]
    with pytest.raises(LookupError, match="has sent no request yet"):
        silent.stream.status()


def test_a_timer_asks_a_session_when_its_time_has_come(loop):
    """Resources with a time to live are repeated without anybody's doing."""
    life = Resource(type_url=CLUSTER, name="a", bytes=b"", ttl=10)
    hub = Hub(by_cluster, clock=loop)
    hub.publish("edge", ResourceSet.of([life]))
    pipe = Pipe(hub)
    features = {"xds.config.supports-resource-ttl", "xds.config.resource-in-sotw"}
    pipe._node = Node(id="n", cluster="edge", client_features=frozenset(features))
    pipe.ask()
    loop.run()
    pipe.accept()
    loop.run()
    assert (1, 1) == (len(pipe.sent), loop.armed)
    loop.advance(5.0)
    assert 2 == len(pipe.sent)
    pipe.stream.closed()
    assert 0 == loop.armed
