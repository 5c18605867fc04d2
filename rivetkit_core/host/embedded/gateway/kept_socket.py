"""A websocket of the gateway that outlives the generations of its actor, with what its client said."""

from __future__ import annotations

from rivetkit_core.actor.hibernation import SocketOrigin
from rivetkit_core.edge.replay import Replay
from rivetkit_core.edge.websocket import Frame, Socket, SocketClosed


class KeptSocket:
    """Implements ``Socket`` for whoever serves it now, and ``KeptClient``."""

    def __init__(self, socket: Socket, origin: SocketOrigin) -> None:
        self.origin = origin
        self.next_index = 0
        self._socket = socket
        self._said: Replay[Frame] = Replay()
        self._gone = False
        self._end = (1005, "")

    @property
    def received_index(self) -> int:
        return self._said.received_index

    async def receive(self) -> bytes:
        return (await self.receive_frame()).data

    async def receive_frame(self) -> Frame:
        await self.spoke()
        if not len(self._said):
            raise SocketClosed(*self._end)
        return self._said.take()

    async def spoke(self) -> None:
        if len(self._said) or self._gone:
            return
        try:
            self._said.add(await self._socket.receive_frame())
        except SocketClosed as closed:
            self._gone, self._end = True, (closed.code, closed.reason)

    async def send(self, data: bytes, *, text: bool) -> None:
        await self._socket.send(data, text=text)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    async def end(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    def ack(self, index: int) -> None:
        self._said.ack(index)

    def hibernate(self) -> None:
        self._said.rewind()
