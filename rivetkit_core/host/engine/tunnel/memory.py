"""What the tunnel remembers of the past, always bounded.

Answers   whole answers, for requests that the engine delivers again (envoy-protocol 6.2)
Recent    names of things that happened a moment ago
Kept      websockets that the engine was left with a moment ago, and does not list yet
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from rivetkit_core.clock import Clock
from rivetkit_core.wire.envoy.messages import RequestId, ResponseStart

T = TypeVar("T", bound=Hashable)

_SECONDS = 60.0
_TOTAL_BYTES = 16 * 1024 * 1024
_ANSWER_BYTES = 1024 * 1024
_OVERHEAD = 512
_KEPT_SECONDS = 10.0


class Answers:
    """Finished answers for 60 s and at most 16 MiB; the oldest go first, those above 1 MiB are not kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[RequestId, tuple[float, int, ResponseStart]] = OrderedDict()
        self._bytes = 0

    def keep(self, request: RequestId, answer: ResponseStart) -> None:
        """Remember the answer of a request, if it is short enough."""
        self.forget(request)
        size = _size(answer)
        if size > _ANSWER_BYTES:
            return
        self._kept[request] = (self._clock.monotonic() + _SECONDS, size, answer)
        self._bytes += size
        self._trim()

    def get(self, request: RequestId) -> ResponseStart | None:
        """The answer given before, if it is still remembered."""
        self._trim()
        found = self._kept.get(request)
        return None if found is None else found[2]

    def forget(self, request: RequestId) -> None:
        """Let the request run again should it be delivered again."""
        found = self._kept.pop(request, None)
        if found is not None:
            self._bytes -= found[1]

    def _trim(self) -> None:
        now = self._clock.monotonic()
        while self._kept:
            oldest = next(iter(self._kept))
            deadline = self._kept[oldest][0]
            if deadline > now and self._bytes <= _TOTAL_BYTES:
                return
            self.forget(oldest)


class Recent(Generic[T]):
    """Things of the last ``seconds``, at most ``capacity`` of them; the oldest are forgotten first."""

    def __init__(self, clock: Clock, *, seconds: float, capacity: int = 4096) -> None:
        self._clock = clock
        self._seconds = seconds
        self._capacity = capacity
        self._deadlines: OrderedDict[T, float] = OrderedDict()

    def add(self, thing: T) -> None:
        self._deadlines[thing] = self._clock.monotonic() + self._seconds
        self._deadlines.move_to_end(thing)
        self._trim()

    def __contains__(self, thing: T) -> bool:
        self._trim()
        return thing in self._deadlines

    def _trim(self) -> None:
        now = self._clock.monotonic()
        while self._deadlines:
            oldest = next(iter(self._deadlines))
            if self._deadlines[oldest] > now and len(self._deadlines) <= self._capacity:
                return
            del self._deadlines[oldest]


class Kept:
    """Websockets by actor, for 10 s after it slept.

    The engine notes that it keeps a websocket a moment after the actor has ended. A start in that moment does
    not list it, and what is said to its client until then is lost (measured on 2.3.19).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_actor: OrderedDict[str, tuple[float, set[RequestId]]] = OrderedDict()

    def add(self, actor_id: str, id: RequestId) -> None:
        _, ids = self._by_actor.pop(actor_id, (0.0, set[RequestId]()))
        ids.add(id)
        self._by_actor[actor_id] = (self._clock.monotonic() + _KEPT_SECONDS, ids)
        self._trim()

    def of(self, actor_id: str) -> frozenset[RequestId]:
        """Those of an actor that is starting."""
        self._trim()
        return frozenset(self._by_actor.pop(actor_id, (0.0, set[RequestId]()))[1])

    def _trim(self) -> None:
        now = self._clock.monotonic()
        while self._by_actor:
            oldest = next(iter(self._by_actor))
            if self._by_actor[oldest][0] > now:
                return
            del self._by_actor[oldest]


def _size(answer: ResponseStart) -> int:
    headers = sum(map(len, answer.headers)) + sum(map(len, answer.headers.values()))
    return _OVERHEAD + headers + len(answer.body or b"")
