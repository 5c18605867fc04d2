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

    async def until(self, client: KeptClient) -> bool:
        """Wait for the client, or for ``want``; whether it was the client."""
        wanted, self._wanted = self._wanted, False
        if wanted:
            return False
        try:
            # A timeout without a time: ``want`` expires it to end this wait from outside.
            async with asyncio.timeout(None) as self._waiting:
                await client.spoke()
        except TimeoutError:
            return False
        finally:
            self._waiting = None
        return True

    def want(self) -> None:
        if self._waiting is not None:
            self._waiting.reschedule(0)
        else:
            self._wanted = True

    def end(self, code: int, reason: str) -> None:
        self.ended = (code, reason)
        self.want()


class KeptClients:
    """The clients of one host, by actor.

    Args:
        reach: Finds an actor for good, and wakes it.
        running: The actor if it is awake, and stays so for now.
    """

    def __init__(
        self,
        reach: Callable[[str], Awaitable[ActorTask]],
        running: Callable[[str], ActorTask | None],
        entropy: Entropy,
    ) -> None:
        self._reach = reach
        self._running = running
        self._waking: dict[str, asyncio.Future[None]] = {}
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

    def woken(self, actor: ActorTask) -> None:
        """An actor has started: its clients go back to it, and it parts with those who left meanwhile."""
        entries = self._entries.get(actor.identity.actor_id, {})
        for id in actor.kept_sockets.keys() - entries.keys():
            actor.part(id)
        for entry in tuple(entries.values()):
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
            awake = self._running(actor_id)
            if awake is not None:
                awake.part(id)

    async def _keep(self, actor: ActorTask, client: KeptClient, entry: _Entry, serve: Serve) -> None:
        actor_id = actor.identity.actor_id
        served = await serve(actor, False)
        while served:
            spoke = await entry.until(client)
            ended = self._closing or entry.ended
            if ended is not None:
                await client.end(*ended)
                return
            try:
                awake = await self._wake(actor_id) if spoke else self._running(actor_id)
            except RivetError as failure:
                seen = masked(failure)
                log.warning("a client of sleeping actor %s is closed: %s", actor_id, failure)
                ended = self._closing or entry.ended or (1011, close_reason(seen.group, seen.code))
                await client.end(*ended)
                return
            if awake is not None:
                served = await serve(awake, True)

    async def _wake(self, actor_id: str) -> ActorTask:
        """Reach an actor. The first of its clients does it for all who want that meanwhile."""
        while (waking := self._waking.get(actor_id)) is not None:
            await asyncio.shield(waking)
        actor = self._running(actor_id)
        if actor is not None:
            return actor
        waking = self._waking[actor_id] = asyncio.get_running_loop().create_future()
        try:
            return await self._reach(actor_id)
        except RivetError as failure:
            waking.set_exception(failure)
            waking.exception()  # nobody else may have wanted it
            raise
        finally:
            del self._waking[actor_id]
            if not waking.done():
                waking.set_result(None)
