"""The check cache: answers of policy, kept by the attributes that they depend on."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import define, field

from meshregistry.mixer._directive import NO_DIRECTIVE
from meshregistry.mixer._shapes import Shape, ShapeList, read_shape
from meshregistry.mixer._status import OK, Code, Status
from meshregistry.mixer._times import read_duration
from meshregistry.mixer.client._result import CheckResult, read_directive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.mixer._attributes import AttributeBag, Value
    from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse


_Key = tuple[Shape, object]


@define(eq=False)
class Answer:
    """What a server said of policy, with what is left of its validity.

    Attributes:
        result: what callers are given.
        open_result: the same for callers to whom an internal error means allowed.
        shape: what it depends on; None: it cannot be compared, and is for one request only.
        signature: what that request held.
        expiry: until when it holds.
        uses: how often it may be used again; negative: without end.
    """

    result: CheckResult
    open_result: CheckResult
    shape: Shape | None
    signature: Hashable
    expiry: float
    uses: int
    is_accept: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.is_accept = self.result.is_allowed

    def is_valid(self, now: float) -> bool:
        """Whether it may be used once more."""
        return self.uses != 0 and now <= self.expiry

    def serve(self, entries: Mapping[str, Value], now: float) -> bool:
        """Take one use for a request with these attributes, if it is for them."""
        if self.shape is None or not self.is_valid(now):
            return False
        if self.shape.signature(entries) != self.signature:
            return False
        if self.uses > 0:
            self.uses -= 1
        return True


def read_answer(response: CheckResponse, bag: AttributeBag, now: float) -> Answer:
    """The policy part of a response to a check of this bag.

    A response without one is INVALID_ARGUMENT, and for this request only. Without a duration
    it holds for ever, with a use count of 0 for nobody else, below 0 without end.
    """
    if not response.HasField("precondition"):
        missing = CheckResult(Status(Code.INVALID_ARGUMENT, "the answer has no precondition"))
        return Answer(missing, missing, None, None, now, 0)
    said = response.precondition
    directive = (
        read_directive(said.route_directive) if said.HasField("route_directive") else NO_DIRECTIVE
    )
    status = Status(said.status.code, said.status.message) if said.status.code else OK
    result = CheckResult(status, directive, is_cache_hit=True)
    forgiven = result.replaced(status=OK) if status.code == Code.INTERNAL else result
    expiry = math.inf
    if said.HasField("valid_duration"):
        duration = read_duration(said.valid_duration)
        # What cannot be read is not relied on.
        expiry = -math.inf if duration is None else now + duration.total_seconds()
    shape = read_shape(said.referenced_attributes, bag)
    signature = None
    if shape is not None:
        signature = shape.fitted(bag.entries)
        if signature is None:
            # It speaks of attributes that the request did not have.
            shape = None
    return Answer(result, forgiven, shape, signature, expiry, said.valid_use_count)


class CheckCache:
    """Answers by shape and signature; the least recently used ones go first.

    Args:
        size: how many answers it holds; 0: none.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._shapes = ShapeList()
        self._answers: OrderedDict[_Key, Answer] = OrderedDict()
        self.accepts = 0
        """How many requests it allowed."""
        self.denies = 0
        """How many requests it denied."""

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, entries: Mapping[str, Value], now: float) -> Answer | None:
        """Take one use of an answer for a request with these attributes; None: there is none."""
        answers = self._answers
        shapes = self._shapes.ordered
        for shape in shapes:
            signature = shape.signature(entries)
            if signature is None:
                continue
            key = (shape, signature)
            answer = answers.get(key)
            if answer is None:
                continue
            if answer.uses == 0 or now > answer.expiry:
                del answers[key]
                continue
            if answer.uses > 0:
                answer.uses -= 1
            answers.move_to_end(key)
            if shape is not shapes[0]:
                self._shapes.used(shape)
            if answer.is_accept:
                self.accepts += 1
            else:
                self.denies += 1
            return answer
        return None

    def take(self, answer: Answer, entries: Mapping[str, Value], now: float) -> bool:
        """Take one use of an answer that another request has got, if it is for this one, too."""
        if not answer.serve(entries, now):
            return False
        if answer.is_accept:
            self.accepts += 1
        else:
            self.denies += 1
        return True

    def put(self, answer: Answer, entries: Mapping[str, Value], now: float) -> None:
        """Keep an answer to a request with these attributes, if others may use it."""
        if self._size == 0 or answer.shape is None or not answer.is_valid(now):
            return
        shape = answer.shape = self._shapes.known(answer.shape)
        answer.signature = shape.fitted(entries)
        key = (shape, answer.signature)
        self._answers[key] = answer
        self._answers.move_to_end(key)
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)

    def question(self, entries: Mapping[str, Value]) -> Hashable:
        """What makes two requests one question, as far as is known before the answer.

        What both hold for every known shape, or all attributes where none is known.
        """
        held = [(shape, shape.signature(entries)) for shape in self._shapes.ordered]
        fitting = [each for each in held if each[1] is not None]
        if fitting:
            return frozenset(fitting)
        return frozenset((name, type(value), value) for name, value in entries.items())


class SharedCheckCache(CheckCache):
    """A check cache for several threads."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._lock = threading.RLock()

    def get(self, entries: Mapping[str, Value], now: float) -> Answer | None:
        with self._lock:
            return super().get(entries, now)

    def take(self, answer: Answer, entries: Mapping[str, Value], now: float) -> bool:
        with self._lock:
            return super().take(answer, entries, now)

    def put(self, answer: Answer, entries: Mapping[str, Value], now: float) -> None:
        with self._lock:
            super().put(answer, entries, now)

    def question(self, entries: Mapping[str, Value]) -> Hashable:
        with self._lock:
            return super().question(entries)
