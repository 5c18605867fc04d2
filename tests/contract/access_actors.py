"""An actor that chooses its listeners, for the contract suite."""

from __future__ import annotations

from typing import Any

from rivetkit import Actor, Conn, Event, EventRef, UserError, action, actor


@actor(name="hall", on_before_connect_timeout=0.2, max_outgoing_message_size=20_000)
class Hall(Actor):
    """Friends may hear everything, others what is said aloud."""

    state: list[str]
    conn: Conn[str, str]

    said = Event[str]()
    whispered = Event[str]()
    endless = Event[str]()

    async def on_before_connect(self, params: str) -> None:
        if params == "unknown":
            raise UserError("who are you?", code="unknown", metadata={"try": "friend"})

    async def create_conn_state(self, params: str) -> str:
        return params.upper()

    async def on_disconnect(self, conn: Conn[str, str]) -> None:
        if conn.params not in ("", "clerk"):
            self.state.append(f"{conn.state} left {len(self.guests())}")

    async def on_before_subscribe(self, event: str) -> None:
        if event == "locked":
            raise UserError("locked", code="locked")

    async def can_subscribe(self, event: EventRef[Any, Any]) -> bool:
        if event == Hall.endless:
            await self.ctx.wait_aborted()
        return event != Hall.whispered or self.conn.params == "friend"

    def guests(self) -> list[Conn[Any, Any]]:
        return [conn for conn in self.ctx.conns if conn.params != "clerk"]

    @action
    async def tell(self, text: str) -> None:
        self.said.broadcast(text)
        self.whispered.broadcast(text)

    @action
    async def tell_one(self, who: str, text: str) -> None:
        for conn in self.guests():
            if conn.params == who:
                self.whispered.send(conn, text)

    @action
    async def clear(self, who: str, reason: str) -> int:
        return await self.ctx.disconnect_conns(lambda conn: conn.params == who, reason=reason)

    @action
    async def log(self) -> list[str]:
        return self.state
