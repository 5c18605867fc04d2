"""What can go wrong with an engine, on demand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from rivetkit_core.testing.engine.client_sockets import ScriptedClientSocket
from rivetkit_core.testing.engine.envoys import Connection, Envoy
from rivetkit_core.testing.engine.gateway import Gateway
from rivetkit_core.testing.engine.response import ScriptedResponse
from rivetkit_core.testing.engine.storage import StorageResponse
from rivetkit_core.wire.envoy.messages import Commands, KvError, KvResponse


class Faults:
    """Switches of one engine. Connections are ended as the real engine ends them.

    Attributes:
        pings: Whether the engine pings, and expects pongs.
    """

    def __init__(
        self,
        envoys: Callable[[], Iterable[Envoy]],
        gateway: Gateway,
        end: Callable[[Connection, int, str], None],
    ) -> None:
        self.pings = True
        self._envoys = envoys
        self._gateway = gateway
        self._end = end
        self._refusals: deque[tuple[int, str]] = deque()
        self._kv_errors: deque[str] = deque()
        self._holding = False
        self._held: deque[tuple[Connection, StorageResponse]] = deque()

    def drop(self, code: int = 1006, reason: str = "") -> None:
        """End every connection, as a network does."""
        for envoy in self._envoys():
            if envoy.connection is not None:
                self._end(envoy.connection, code, reason)

    def go_away(self) -> None:
        """End every connection, as an engine that shuts down does."""
        self.drop(1011, "ws.going_away#ray")

    def evict(self) -> None:
        """End every connection, as if another process had connected with the same key."""
        self.drop(1000, "ws.eviction#ray")

    def refuse_next(self, code: int, reason: str, *, times: int = 1) -> None:
        """Close the next connections in place of ``EnvoyInit``."""
        self._refusals.extend([(code, reason)] * times)

    def fail_next_kv(self, message: str) -> None:
        """Answer the next KV request with this error, and do nothing; called again, the one after it."""
        self._kv_errors.append(message)

    def hold_answers(self) -> None:
        """Do what storage requests ask, and keep the answers until ``release_answers``."""
        self._holding = True

    def release_answers(self) -> None:
        """Send the answers that were held, except those whose connection has ended."""
        self._holding = False
        while self._held:
            connection, answer = self._held.popleft()
            if connection.is_open:
                connection.peer.deliver(answer)

    @property
    def held_answers(self) -> int:
        return len(self._held)

    def duplicate_command(self, actor_id: str) -> None:
        """Send the latest unacknowledged command of an actor once more.

        Raises:
            LookupError: There is none.
        """
        for envoy in self._envoys():
            for entry in reversed(envoy.commands):
                if entry.checkpoint.actor_id == actor_id:
                    envoy.deliver(Commands((entry,)))
                    return
        raise LookupError(f"no command of {actor_id} is unacknowledged")

    def redeliver(self, target: ScriptedResponse | ScriptedClientSocket) -> None:
        """Deliver a request of the default gateway, or unacknowledged frames, once more."""
        self._gateway.route_of(target).redeliver()

    # What the engine asks

    def refusal(self) -> tuple[int, str] | None:
        """How the connection that is being opened ends."""
        return self._refusals.popleft() if self._refusals else None

    def kv_error(self, request_id: int) -> KvResponse | None:
        """The answer in place of the real one."""
        return KvResponse(request_id, KvError(self._kv_errors.popleft())) if self._kv_errors else None

    def pass_answer(self, connection: Connection, answer: StorageResponse) -> None:
        """Send an answer, or keep it."""
        if self._holding:
            self._held.append((connection, answer))
        else:
            connection.peer.deliver(answer)
