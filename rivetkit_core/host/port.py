"""What the core asks of the place it runs in.

    ActorStorage   durable records of one actor
    ActorDatabase  its private SQLite database
    ActorHost      what one generation may ask of its host: to end, and to be woken
    ActorAccess    the way from code in this process to any actor, here or elsewhere
    Link           one open connection to an actor, as messages
    RawRequest     what an actor's own code answers over HTTP, with a RawAnswer
    RawSocket      a websocket with an actor's own code

A host implements these; ``rivetkit_core.testing`` ships fakes that pass the same contract suite.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rivetkit_core.asgi import RawHeaders
from rivetkit_core.wire.envoy.storage_messages import SqlResult as SqlResult
from rivetkit_core.wire.envoy.storage_messages import SqlStatement as SqlStatement
from rivetkit_core.wire.envoy.storage_messages import SqlValue as SqlValue
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse, ToClient, ToServer

ActorKey = tuple[str, ...]
Records = list[tuple[bytes, bytes]]
"""Keys with their values, in the order of a listing."""


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys that begin with a prefix.

    Raises:
        ValueError: There is none: the prefix has no byte below 0xFF.
    """
    kept = prefix.rstrip(b"\xff")
    if not kept:
        raise ValueError(f"no key comes after the prefix {prefix!r}")
    return kept[:-1] + bytes([kept[-1] + 1])


@dataclass(frozen=True, slots=True)
class WriteLimit:
    """How many records, and bytes of them, ``ActorStorage.apply`` takes for sure, beside a state record."""

    keys: int = 127
    size: int = 768 * 1024


class ActorStorage(Protocol):
    """Port: the records of one actor, by binary key. Reads see every completed write."""

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Values of those keys that exist.

        Raises:
            StorageError: The storage cannot be read.
        """
        ...

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        """Write and delete all or nothing; returning means the change survives a crash of the process.

        A key that is both written and deleted is deleted.

        Cancelling leaves the outcome unknown; calling again with the same arguments is safe.

        Raises:
            StorageError: Nothing was written; the caller may retry.
        """
        ...

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        """Records from ``start`` up to, not including, ``end``, by ascending key bytes.

        A write made during the call may or may not be seen.

        Args:
            reverse: Descending, so that ``limit`` keeps the last ones.

        Raises:
            StorageError: The storage cannot be read.
        """
        ...

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        """Records whose key begins with ``prefix``, as ``list_range`` gives them.

        Raises:
            StorageError: The storage cannot be read.
            ValueError: The prefix has no byte below 0xFF.
        """
        ...

    async def delete_range(self, start: bytes, end: bytes) -> None:
        """Delete from ``start`` up to, not including, ``end``, all or nothing and durably, as ``apply`` does.

        Raises:
            StorageError: Nothing was deleted; the caller may retry.
        """
        ...


MAX_SQL_RESULT = 32 * 1024 * 1024
"""Bytes of text and blobs one statement may return."""


class JointCommit(Protocol):
    """Port: statements that wait, and are committed together with records. For one generation.

    Cancelling any of it leaves the outcome unknown: it has to be run to its end.
    """

    async def begin(self) -> bool:
        """Open a transaction that ``commit`` ends; False, and none is open, if its commit could be refused.

        That is so where the schema has constraints that are checked at the commit only.
        """
        ...

    async def commit(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        """Commit what is open and write records, as ``ActorStorage.apply`` does: both or neither.

        What was open survives a failure of the power if the records do.

        Raises:
            StorageError: Either nothing happened, and the transaction is open still, or both will have
                happened when the actor starts next. Calling again, with newer records, is right in any case.
            RivetError: ``sqlite.*``: nothing happened.
        """
        ...


class ActorDatabase(Protocol):
    """Port: the private SQLite database of one generation, as one connection with foreign keys on.

    Calls run one after the other; the caller sees to it that nothing else runs while it has a transaction
    open. A statement that returned outside of a transaction survives a crash of the process. Cancelling
    leaves its outcome unknown.

    All methods raise RivetError: ``sqlite.constraint_failed`` and ``sqlite.failed`` with SQLite's words,
    ``sqlite.result_too_large``, ``sqlite.unavailable``, and where the database is far away
    ``sqlite.remote_indeterminate_result``, ``sqlite.remote_fence_mismatch`` and ``storage.lost``.
    """

    @property
    def session(self) -> int:
        """Changes when the connection was replaced: what was open on the one before was rolled back."""
        ...

    @property
    def joint(self) -> JointCommit | None:
        """How a transaction is committed together with records; None where both are apart."""
        ...

    async def execute(self, statement: SqlStatement) -> SqlResult:
        """Run one statement; it commits by itself unless a transaction is open."""
        ...

    async def execute_batch(self, statements: Sequence[SqlStatement]) -> Sequence[SqlResult]:
        """Run statements in one transaction, or as a part of what is open: all or none and an error."""
        ...

    async def script(self, sql: str) -> None:
        """Run several statements. Those before one that fails stay applied."""
        ...

    async def in_transaction(self) -> bool:
        """Whether a transaction is open: some failures end it."""
        ...

    async def close(self) -> None:
        """Roll back what is open and let go. Nothing is asked afterwards. Idempotent; never raises."""
        ...


class ActorHost(Protocol):
    """Port: what one generation asks of its host. The host decides, and ends the generation when it does."""

    def request_sleep(self) -> None:
        """Ask to be stopped and started again when needed. Never waits; asking twice is asking once."""
        ...

    def request_destroy(self) -> None:
        """Ask to be stopped for good, which overrules sleep. Never waits; asking twice is asking once."""
        ...

    def report_crash(self, message: str) -> None:
        """Ask to be stopped because ``run`` failed; the actor comes back when it is needed. Never waits."""
        ...

    async def set_alarm(self, at_ms: int | None) -> None:
        """Have the actor woken at a time (milliseconds since the Unix epoch) if it sleeps then; None: never.

        Replaces the alarm before. A generation begins without one: what is still to come has to be set
        again before its start ends. On return the alarm survives a crash of the process, as far as the host
        can know. Nothing happens while the actor runs: it has its own clock.

        Raises:
            StorageError: The alarm before may still be in place.
        """
        ...


@dataclass(frozen=True, slots=True)
class ById:
    """An actor by its id; never creates one."""

    actor_id: str


@dataclass(frozen=True, slots=True)
class ByKey:
    """An actor by name and key. With ``create``, it is made when missing, with ``input`` (CBOR bytes)."""

    name: str
    key: ActorKey
    create: bool = False
    input: bytes | None = None
    region: str | None = None


Target = ById | ByKey


class LinkClosed(Exception):
    """The connection ended. ``reason`` is ``group.code`` (perhaps with ``#ray``) or free text."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"connection closed ({code}) {reason}")
        self.code = code
        self.reason = reason


class Link(Protocol):
    """One connection to an actor. One task receives; sending never waits."""

    def send(self, message: ToServer) -> None:
        """Queue a message.

        Raises:
            LinkClosed: The connection has ended.
        """
        ...

    async def receive(self) -> ToClient:
        """The next message. Safe to cancel: no message is lost.

        Raises:
            LinkClosed: The connection has ended and every earlier message was received.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection and wait until the other side noticed. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class RawRequest:
    """An HTTP request to an actor's own code.

    Attributes:
        target: Path and query as the actor sees them, encoded, from the first slash on.
        body: Whole, or in parts that are read once.
    """

    method: str
    target: str
    headers: RawHeaders = field(default_factory=RawHeaders)
    body: bytes | AsyncIterable[bytes] = b""


class RawAnswer(Protocol):
    """The head of an answer, and its body as it comes. ``aclose`` must follow."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> RawHeaders: ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts of the body, once.

        Raises:
            ConnectionLost: The answer was broken off.
        """
        ...

    async def aclose(self) -> None:
        """Read no more: what is not read is not sent. Idempotent."""
        ...


class RawSocket(Protocol):
    """One websocket. One task receives."""

    async def receive(self) -> str | bytes:
        """The next message. Safe to cancel: no message is lost.

        Raises:
            LinkClosed: The websocket has ended and every earlier message was received.
        """
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the other side does not read.

        Raises:
            LinkClosed: The websocket has ended.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the websocket. Idempotent."""
        ...


class ActorAccess(Protocol):
    """Port: calls actors. Payloads are CBOR bytes; ``params`` are connection parameters, None for none.

    All methods raise RivetError: what the actor answered, or a ``client.*`` error for a broken link.
    """

    async def resolve(self, target: Target) -> str:
        """The actor's id, made first if the target says so.

        Raises:
            ActorNotFound: There is none.
        """
        ...

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        """Make a new actor and return its id.

        Raises:
            RivetError: ``actor.duplicate_key`` if the key is in use.
        """
        ...

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        """Run an action and return its output. Cancelling does not stop the action."""
        ...

    async def enqueue(
        self, target: Target, queue: str, request: QueueSendRequest, *, params: bytes | None
    ) -> QueueSendResponse:
        """Send a message to a queue of an actor, and wait for its completion if the request says so.

        Cancelling leaves the outcome unknown; a message that arrived stays in the queue.
        """
        ...

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        """Open a connection; its first message is ``Init`` or an ``ErrorMessage``."""
        ...

    async def fetch(self, target: Target, request: RawRequest, *, params: bytes | None) -> RawAnswer:
        """Have an actor's own code answer a request. Whatever it answers is no error.

        Cancelling ends the handler, where the way there can say so.
        """
        ...

    async def websocket(
        self, target: Target, path: str, *, protocols: Sequence[str], params: bytes | None
    ) -> RawSocket:
        """Open a websocket to an actor's own code. ``path`` may carry a query."""
        ...

    async def aclose(self) -> None:
        """Give back sockets and tasks. Idempotent."""
        ...
