"""The engine's KV store for one actor, in memory, as the engine host's storage sees it."""

from __future__ import annotations

from rivetkit_core.errors import error
from rivetkit_core.host.engine.storage_requests import Requests, RequestScope
from rivetkit_core.testing import FakeClock
from rivetkit_core.testing.engine.kv import ActorKv
from rivetkit_core.wire.envoy.messages import KvDelete, KvError, KvRequestData, KvResponseData


class EngineRecords(RequestScope):
    """Answers at once, within the engine's limits.

    Attributes:
        lose_deletes: While set, deletes fail.
    """

    def __init__(self) -> None:
        super().__init__(Requests(FakeClock(), "default", lambda _request: False), "actor", 1, lambda: True)
        self._kv = ActorKv(lambda: 0)
        self.lose_deletes = False

    @property
    def stored(self) -> dict[bytes, bytes]:
        return self._kv.records

    async def kv(self, data: KvRequestData) -> KvResponseData:
        if self.lose_deletes and isinstance(data, KvDelete):
            raise error("storage.unavailable", "lost")
        answer = self._kv.answer(data)
        if isinstance(answer, KvError):
            raise error("storage.unavailable", answer.message)
        return answer
