"""Turns: answers first, one write a stream, within limits, and nobody waits for a stalled one."""

from __future__ import annotations

from meshregistry.server._fanout import Fanout, Wish


class Peer:
    """A writer with a pile of messages, which notes when it writes."""

    def __init__(self, name: str, log: list[str], *messages: bytes) -> None:
        self.name = name
        self.wish = self.queued = Wish.NOTHING
        self.messages = list(messages)
        self._log = log

    def write(self, data: bytes) -> None:
        self._log.append(f"{self.name}:{data.decode()}")


def turn(peer: Peer) -> bytes | None:
    """The next message of its pile."""
    return peer.messages.pop(0) if peer.messages else None


def fanout(loop, *, max_writes: int = 10, max_bytes: int = 1_000) -> Fanout[Peer]:
    """One whose writes stall after a second."""
    return Fanout(loop, turn, max_writes=max_writes, max_bytes=max_bytes, stall_after=1.0)


def test_answers_go_before_pushes(loop):
    """Whoever asked is served before those who are only told."""
    log: list[str] = []
    pushed, asked = Peer("pushed", log, b"1"), Peer("asked", log, b"1")
    turns = fanout(loop)
    turns.want(pushed, Wish.PUSH)
    turns.want(asked, Wish.ANSWER)
    loop.run()
    assert ["asked:1", "pushed:1"] == log


def test_a_push_that_becomes_an_answer_goes_first_and_once(loop):
    """A stream that waits for a push and then asks moves up; its old place is skipped."""
    log: list[str] = []
    first, second = Peer("first", log, b"1"), Peer("second", log, b"1", b"2")
    turns = fanout(loop)
    turns.want(first, Wish.PUSH)
    turns.want(second, Wish.PUSH)
    turns.want(second, Wish.ANSWER)
    loop.run()
    assert ["second:1", "first:1"] == log


def test_a_stream_has_one_write_in_flight(loop):
    """The next message is asked for when the last one is written, not before."""
    log: list[str] = []
    peer = Peer("a", log, b"1", b"2")
    turns = fanout(loop)
    turns.want(peer, Wish.PUSH)
    turns.want(peer, Wish.ANSWER)
    loop.run()
    assert (["a:1"], [b"2"]) == (log, peer.messages)
    turns.written(peer)
    loop.run()
    assert ["a:1", "a:2"] == log


def test_streams_take_turns(loop):
    """After its write a stream waits behind those who wait already."""
    log: list[str] = []
    one, two = Peer("one", log, b"1", b"2"), Peer("two", log, b"1", b"2")
    turns = fanout(loop, max_writes=1)
    for peer in (one, two):
        turns.want(peer, Wish.PUSH)
    for peer in (one, two, one, two):
        loop.run()
        turns.written(peer)
    assert ["one:1", "two:1", "one:2", "two:2"] == log


def test_writes_in_flight_are_limited(loop):
    """No more writes are started together than the limit says."""
    log: list[str] = []
    peers = [Peer(str(number), log, b"x") for number in range(5)]
    turns = fanout(loop, max_writes=2)
    for peer in peers:
        turns.want(peer, Wish.PUSH)
    loop.run()
    assert 2 == len(log) == turns.writing
    turns.written(peers[0])
    loop.run()
    assert 3 == len(log)


def test_a_large_fan_out_lets_the_loop_read_in_between(loop):
    """Between two batches of turns, others have theirs: who asks meanwhile goes first."""
    log: list[str] = []
    turns = fanout(loop, max_writes=10_000, max_bytes=10_000)
    asked = Peer("asked", log, b"1")
    for number in range(1_000):
        turns.want(Peer(str(number), log, b"1"), Wish.PUSH)
    loop.call_soon(lambda: turns.want(asked, Wish.ANSWER))
    loop.run()
    assert 1_001 == len(log)
    assert 0 < log.index("asked:1") < 1_000


def test_bytes_in_flight_are_limited(loop):
    """No write starts while the limit is reached."""
    log: list[str] = []
    peers = [Peer(str(number), log, b"x" * 60) for number in range(4)]
    turns = fanout(loop, max_bytes=100)
    for peer in peers:
        turns.want(peer, Wish.PUSH)
    loop.run()
    assert (2, 120) == (len(log), turns.bytes_in_flight)
    turns.written(peers[0])
    loop.run()
    assert (3, 120) == (len(log), turns.bytes_in_flight)


def test_a_stalled_write_does_not_hold_up_others(loop):
    """After a while a write that hangs no longer counts; it costs its one message."""
    log: list[str] = []
    stuck, other = Peer("stuck", log, b"1", b"2"), Peer("other", log, b"1")
    turns = fanout(loop, max_writes=1)
    turns.want(stuck, Wish.PUSH)
    turns.want(other, Wish.PUSH)
    loop.run()
    assert ["stuck:1"] == log
    loop.advance(1.0)
    assert (["stuck:1", "other:1"], 1) == (log, turns.stalled)
    turns.want(stuck, Wish.ANSWER)
    loop.run()
    assert [b"2"] == stuck.messages
    turns.written(other)
    turns.written(stuck)
    loop.run()
    assert (0, "stuck:2") == (turns.stalled, log[-1])


def test_a_stream_that_ends_gives_its_place_back(loop):
    """Forgetting a stream frees its share, and it gets no turn any more."""
    log: list[str] = []
    gone, waiting, other = Peer("gone", log, b"1"), Peer("w", log, b"1"), Peer("other", log, b"1")
    turns = fanout(loop, max_writes=1)
    for peer in (gone, waiting, other):
        turns.want(peer, Wish.PUSH)
    loop.run()
    turns.rest(waiting)
    turns.rest(gone)
    loop.run()
    assert ["gone:1", "other:1"] == log
    assert 1 == turns.bytes_in_flight


def test_closing_leaves_no_timer(loop):
    """A fan-out that waits for room arms a timer, and closing takes it away."""
    log: list[str] = []
    turns = fanout(loop, max_writes=1)
    for peer in (Peer("a", log, b"1"), Peer("b", log, b"1")):
        turns.want(peer, Wish.PUSH)
    loop.run()
    assert 1 == loop.armed
    turns.close()
    assert 0 == loop.armed
