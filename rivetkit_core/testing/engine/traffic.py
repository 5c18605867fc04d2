"""What went over the wire: messages and bytes by direction and kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rivetkit_core.wire.envoy.messages import (
    KvRequest,
    SqlExec,
    SqlExecute,
    SqlExecuteBatch,
    ToEnvoy,
    ToEnvoyTunnel,
    ToRivet,
    ToRivetTunnel,
)


def kind_of(message: ToRivet | ToEnvoy) -> str:
    """The name to count a message under: its own, or that of what a tunnel or a KV request carries."""
    match message:
        case ToRivetTunnel() | ToEnvoyTunnel():
            return type(message.kind).__name__
        case KvRequest():
            return type(message.data).__name__
        case _:
            return type(message).__name__


@dataclass(slots=True)
class Flow:
    """One direction, by kind."""

    messages: Counter[str] = field(default_factory=Counter[str])
    bytes: Counter[str] = field(default_factory=Counter[str])

    def count(self, kind: str, size: int) -> None:
        self.messages[kind] += 1
        self.bytes[kind] += size

    def since(self, earlier: Flow) -> Flow:
        return Flow(self.messages - earlier.messages, self.bytes - earlier.bytes)

    def copy(self) -> Flow:
        return Flow(self.messages.copy(), self.bytes.copy())


@dataclass(slots=True)
class Traffic:
    """Both directions. Sizes are those of the messages, without websocket framing.

    Attributes:
        round_trips: Requests to storage: the host waits for the answer of each.
    """

    to_engine: Flow = field(default_factory=Flow)
    to_host: Flow = field(default_factory=Flow)
    round_trips: int = 0

    def sent_by_host(self, message: ToRivet, size: int) -> None:
        self.to_engine.count(kind_of(message), size)
        self.round_trips += isinstance(message, KvRequest | SqlExec | SqlExecute | SqlExecuteBatch)

    def sent_by_engine(self, message: ToEnvoy, size: int) -> None:
        self.to_host.count(kind_of(message), size)

    def copy(self) -> Traffic:
        """The counts as they are now, to compare with later."""
        return Traffic(self.to_engine.copy(), self.to_host.copy(), self.round_trips)

    def since(self, earlier: Traffic) -> Traffic:
        """What was counted after ``earlier`` was copied."""
        return Traffic(
            self.to_engine.since(earlier.to_engine),
            self.to_host.since(earlier.to_host),
            self.round_trips - earlier.round_trips,
        )
