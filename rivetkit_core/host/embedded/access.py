"""``ActorAccess`` without a socket: code in this process reaches actors of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.edge.connect import Session
from rivetkit_core.edge.local import LocalChannel, LocalLink, LocalPipe
from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorKey, Link, Target

if TYPE_CHECKING:
    from rivetkit_core.host.embedded.host import EmbeddedHost


class LocalAccess:
    """Forwards to the host, with the limits and errors a socket would bring."""

    def __init__(self, host: EmbeddedHost) -> None:
        self._host = host

    async def resolve(self, target: Target) -> str:
        return (await self._host.place(target)).actor_id

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        return (await self._host.create(name, key, input=input, region=region)).actor_id

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        actor = await self._host.reach(target)
        config = actor.factory.config
        if len(args) > config.max_incoming_message_size:
            raise error("message.incoming_too_long")
        output = await actor.call_detached(action, args, params)
        if len(output) > config.max_outgoing_message_size:
            raise error("message.outgoing_too_long")
        return output

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        actor = await self._host.reach(target, lasting=True)
        pipe = LocalPipe(actor.factory.config)
        self._host.own(_serve(actor, pipe, params))
        return LocalLink(pipe)

    async def aclose(self) -> None:
        """Nothing to give back: the host owns its connections."""


async def _serve(actor: ActorTask, pipe: LocalPipe, params: bytes | None) -> None:
    try:
        await Session(actor, LocalChannel(pipe)).run(params)
    finally:
        pipe.close(1011, "actor.stopped")
