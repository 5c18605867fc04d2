"""Clients that stay connected while their actor sleeps, as with an engine's gateway (actor-runtime 9.5).

    serve --the actor sleeps--> wait --the client speaks or leaves, or the actor wakes--> serve again

Invariants
    A sleeping actor is woken by its clients' messages and by their leaving, by nothing else of theirs.
    While it sleeps, nothing is read from a client but the message that wakes it.
    Clients of a destroyed actor are closed, whether it ran or slept.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from rivetkit_core.actor.hibernation import SocketId, SocketKeeper
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import RivetError, masked
from rivetkit_core.wire.subprotocols import close_reason

log = logging.getLogger("rivetkit.gateway")

Serve = Callable[[ActorTask, bool], Awaitable[bool]]
"""Serves a client until it is gone, which is False, or until its actor sleeps; told whether it was before."""


class KeptClient(SocketKeeper, Protocol):
    """One client, over a websocket or inside this process."""

    async def spoke(self) -> None:
        """Wait until there is something to tell the actor: a message, or that the client is gone.

        Safe to cancel: nothing is lost.
        """
        ...

    async def end(self, code: int, reason: str) -> None:
        """Close it, while nobody serves it."""
        ...


class _Entry:
    def __init__(self) -> None:
        self.ended: tuple[int, str] | None = None
        self._waiting: asyncio.Timeout | None = None
        self._wanted = False

    async def until(self, client: KeptClient) -> None:
        """Wait for the client, or for ``want``."""
        if not self._wanted:
            try:
                # A timeout without a time: ``want`` expires it to end this wait from outside.
                async with asyncio.timeout(None) as self._waiting:
                    await client.spoke()
            except TimeoutError:
                pass
            finally:
                self._waiting = None

    def want(self) -> None:
        if self._waiting is not None:
            self._waiting.reschedule(0)
        else:
            self._wanted = True

    def end(self, code: int, reason: str) -> None:
        self.ended = (code, reason)
        self.want()

    def served(self) -> None:
        """It is with its actor now, wherever that was wanted."""
        self._wanted = False


class KeptClients:
    """The clients of one host, by actor.

    Args:
        reach: Finds an actor for good, and wakes it.
    """

    def __init__(self, reach: Callable[[str], Awaitable[ActorTask]], entropy: Entropy) -> None:
        self._reach = reach
        self._gateway_id = entropy.bits(32).to_bytes(4, "big")
        self._numbers = itertools.count(1)
        self._entries: dict[str, dict[SocketId, _Entry]] = {}
        self._closing: tuple[int, str] | None = None

    def new_id(self) -> SocketId:
        """For a client that has just come."""
        return SocketId(self._gateway_id, (next(self._numbers) % (1 << 32)).to_bytes(4, "big"))

    def of(self, actor_id: str) -> frozenset[SocketId]:
        """Who is connected to an actor, awake or asleep."""
        return frozenset(self._entries.get(actor_id, ()))

    def woken(self, actor_id: str) -> None:
        """An actor has started: its clients go back to it."""
        for entry in tuple(self._entries.get(actor_id, {}).values()):
            entry.want()

    def end(self, actor_id: str, code: int, reason: str) -> None:
        """Close the clients of an actor that sleeps and will not wake."""
        for entry in tuple(self._entries.get(actor_id, {}).values()):
            entry.end(code, reason)

    def close(self, code: int, reason: str) -> None:
        """Close all clients of actors that sleep, and those of the others when they would stay."""
        self._closing = (code, reason)
        for actor_id in tuple(self._entries):
            self.end(actor_id, code, reason)

    async def keep(self, actor: ActorTask, client: KeptClient, serve: Serve) -> None:
        """Serve a client over any number of generations of its actor; it is closed on return."""
        actor_id, id, entry = actor.identity.actor_id, client.origin.id, _Entry()
        self._entries.setdefault(actor_id, {})[id] = entry
        try:
            await self._keep(actor, client, entry, serve)
        finally:
            entries = self._entries[actor_id]
            del entries[id]
            if not entries:
                del self._entries[actor_id]

    async def _keep(self, actor: ActorTask, client: KeptClient, entry: _Entry, serve: Serve) -> None:
        served = await serve(actor, False)
        while served:
            await entry.until(client)
            ended = self._closing or entry.ended
            if ended is not None:
                await client.end(*ended)
                return
            try:
                actor = await self._reach(actor.identity.actor_id)
            except RivetError as failure:
                seen = masked(failure)
                log.warning("a client of sleeping actor %s is closed: %s", actor.identity.actor_id, failure)
                await client.end(1011, close_reason(seen.group, seen.code))
                return
            entry.served()
            served = await serve(actor, True)
