"""The seam between the core and whoever wrote the actor: a factory makes one instance per generation.

The core calls an ``ActorInstance`` with names and bytes and never looks at user objects; the typed layer
implements it by compiling an annotated class. Deadlines are the core's business: instances do not bound
their own hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rivetkit_core.actor.resources import Resource
from rivetkit_core.asgi import Receive, Scope, Send
from rivetkit_core.config import ActorConfig, Durability

if TYPE_CHECKING:
    from rivetkit_core.actor.connections import Connection
    from rivetkit_core.actor.context import ActorContext


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What the core must know of an action before it runs; None follows the actor. ``timeout`` is seconds."""

    durability: Durability | None = None
    timeout: float | None = None


class ActorInstance(Protocol):
    """User code of one generation. Every coroutine may raise anything; the core decides what clients see.

    State lives in the instance. The core stores the bytes of ``encode_state`` and compares them to learn
    whether anything changed.
    """

    @property
    def has_state(self) -> bool:
        """False for a stateless actor: the state methods below are then never called."""
        ...

    @property
    def connection_hooks(self) -> frozenset[str]:
        """Which of ``on_before_connect``, ``create_conn_state``, ``on_connect`` and ``on_disconnect`` do
        anything; the others are not called, so that a connection costs only what it uses."""
        ...

    @property
    def observes_state(self) -> bool:
        """Whether ``on_state_change`` does anything; if not, the core does not look for changes for it."""
        ...

    async def create_state(self, input: bytes | None) -> None:
        """Make the first state. ``input`` is CBOR, None when the actor was created without one."""
        ...

    def restore_state(self, state: bytes) -> None:
        """Load stored state, on every later start; raises ValidationError when it no longer fits."""
        ...

    def encode_state(self) -> bytes:
        """The current state as CBOR; equal states give equal bytes."""
        ...

    @property
    def resources(self) -> Sequence[Resource]:
        """What is held open from the start to the end of a generation, in the order of entering."""
        ...

    @property
    def runs(self) -> bool:
        """Whether ``run`` does anything; if not, it is not called."""
        ...

    async def on_migrate(self, is_new: bool) -> None:
        """Before there is a state: the place for changes of what is stored outside of it."""
        ...

    async def create_vars(self) -> None: ...

    async def on_create(self, input: bytes | None) -> None: ...

    async def on_wake(self) -> None: ...

    async def on_sleep(self) -> None: ...

    async def on_destroy(self) -> None: ...

    async def run(self) -> None:
        """The background loop, from the end of the start until it returns or the abort signal is given."""
        ...

    async def on_state_change(self) -> None: ...

    async def before_connect(self, conn: Connection) -> None:
        """Validate parameters and ask ``on_before_connect``; raising refuses the connection."""
        ...

    async def create_conn_state(self, conn: Connection) -> None: ...

    def encode_conn_state(self, conn: Connection) -> bytes:
        """A connection's own state as CBOR; equal states give equal bytes."""
        ...

    def restore_conn(self, conn: Connection, state: bytes) -> None:
        """Take up a connection that outlived a generation, with its stored state; there are no connect hooks.

        Raises:
            ValidationError: Parameters or state no longer fit.
        """
        ...

    async def on_connect(self, conn: Connection) -> None: ...

    async def on_disconnect(self, conn: Connection) -> None: ...

    @property
    def guards_subscriptions(self) -> bool:
        """Whether ``admit_subscription`` may refuse; if not, it is not called."""
        ...

    async def admit_subscription(self, event: str, conn: Connection) -> None:
        """Ask ``on_before_subscribe`` and ``can_subscribe``.

        Raises:
            Exception: The connection may not hear this event; ``auth.forbidden`` unless a hook said why.
        """
        ...

    async def run_action(self, name: str, args: bytes, conn: Connection | None) -> bytes:
        """Run a declared action. ``args`` is a CBOR array; returns one CBOR item."""
        ...

    @property
    def serves_http(self) -> bool:
        """Whether ``on_request`` does anything; if not, it is not called, and clients get a 404."""
        ...

    @property
    def serves_websockets(self) -> bool:
        """Whether ``on_websocket`` does anything; if not, it is not called, and clients are closed."""
        ...

    def can_hibernate(self, scope: Scope) -> bool:
        """Whether a raw websocket may outlive this generation, by the request it begins with."""
        ...

    async def on_request(self, conn: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a raw request, as an ASGI application would."""
        ...

    async def on_websocket(self, conn: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a raw websocket until it ends, as an ASGI application would.

        Called again, with ``restored`` in the scope's state, for one that an earlier generation had.
        Cancelled when the generation ends and the websocket stays.
        """
        ...

    async def admit_message(self, queue: str, body: bytes, conn: Connection) -> AdmittedMessage:
        """Ask ``can_publish``, then validate a client's message.

        Raises:
            RivetError: ``auth.forbidden`` or ``actor.validation_error``.
        """
        ...


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """How often a message is received in all, and the back-off between attempts, in seconds."""

    attempts: int
    first_delay: float
    longest_delay: float


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """What the core must know of a declared queue; one that opts in to nothing is plain.

    Attributes:
        delay: Seconds before a message may be received, unless its sender says otherwise.
        retries: What becomes of messages that fail.
        dead_letter: The queue that takes those that failed for the last time.
        deduplicate: Seconds during which a message with a known key is not stored again.
    """

    delay: float | None = None
    retries: RetrySpec | None = None
    dead_letter: str | None = None
    deduplicate: float | None = None

    @property
    def opted_in(self) -> bool:
        """Whether records of this queue may carry more than plain ones."""
        return self.delay is not None or self.retries is not None


@dataclass(frozen=True, slots=True)
class AdmittedMessage:
    """A client's message as it is stored, with its deduplication key if its queue has them."""

    body: bytes
    key: str | None = None


@dataclass(frozen=True, slots=True)
class ActorFactory:
    """A registered actor: its wire name, options, actions, queues and how to make an instance."""

    name: str
    create: Callable[[ActorContext], ActorInstance]
    actions: Mapping[str, ActionSpec] = field(default_factory=dict[str, ActionSpec])
    queues: Mapping[str, QueueSpec] = field(default_factory=dict[str, QueueSpec])
    config: ActorConfig = field(default_factory=ActorConfig)
