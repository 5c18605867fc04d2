"""References to queues, and the jobs that are received from them.

Payloads are validated when they are sent and when they are read; the core keeps them as bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, cast, overload

from typing_extensions import TypeIs, TypeVar

from rivetkit._amounts import require_seconds
from rivetkit._codecs import QueueCodec
from rivetkit._references import Ref
from rivetkit._validation import UNSET
from rivetkit_core.errors import ValidationError

if TYPE_CHECKING:
    from rivetkit._contract import Contract
    from rivetkit_core.actor.queue_message import ReceivedMessage

A_contra = TypeVar("A_contra", bound="Contract", contravariant=True)
J_co = TypeVar("J_co", covariant=True)
B = TypeVar("B")
R = TypeVar("R", default=None)


class Source(ABC, Generic[J_co]):
    """Where jobs of one type come from; several sources give jobs of any of their types."""

    name: str
    completable: bool

    @abstractmethod
    def job(self, message: ReceivedMessage) -> J_co:
        """A received message as a job."""


class QueueRef(Ref[A_contra], Source["Job[B, R]"], Generic[A_contra, B, R]):
    """A queue, with its messages and replies. ``completable`` is how it is received unless told otherwise."""

    def __init__(
        self,
        name: str,
        codec: QueueCodec,
        *,
        completable: bool,
        key: Callable[[B], str] | None = None,
    ) -> None:
        super().__init__(name)
        self._codec = codec
        self._key = key
        self.completable = completable

    def job(self, message: ReceivedMessage) -> Job[B, R]:
        return Job(message, self)

    def owns(self, job: Job[Any, Any]) -> TypeIs[Job[B, R]]:
        """Whether a job came from this queue; types it where jobs of several queues are received."""
        return job.queue == self

    def key_of(self, body: B) -> str | None:
        """The deduplication key of a message; None where messages have none."""
        if self._key is None:
            return None
        key = cast("object", self._key(body))
        if not isinstance(key, str):
            raise TypeError(
                f"the key of a message in queue `{self.name}` is text, and {type(key).__name__} is none: "
                f"make it so in Deduplicate(by=...)"
            )
        return key

    def encode_body(self, body: B) -> bytes:
        """A message as CBOR.

        Raises:
            ValidationError: It does not fit the declared type.
        """
        return self._codec.encode_body(body)

    def decode_body(self, body: bytes) -> B:
        """A received message.

        Raises:
            ValidationError: It does not fit the declared type.
        """
        return cast("B", self._codec.decode_body(body))

    def encode_reply(self, reply: R | None) -> bytes | None:
        """A reply as CBOR; None for a queue without replies.

        Raises:
            ValidationError: It does not fit the declared type.
        """
        return self._codec.encode_reply(reply)

    def decode_reply(self, reply: bytes | None) -> R:
        """The reply a message was completed with; None for a queue without replies.

        Raises:
            RivetError: ``queue.no_reply`` if it was completed without one, and None is no reply.
            ValidationError: The actor answered with something of another type.
        """
        return cast("R", self._codec.decode_reply(reply))


@dataclass(frozen=True, slots=True)
class Sent(Generic[B]):
    """A message that is stored. Ids count from 1 for each actor and are never used again.

    ``duplicate`` says that an earlier message with the same key, whose id this is, stands for it.
    """

    id: int
    body: B
    created_at: datetime
    duplicate: bool = False


class Job(Generic[B, R]):
    """A received message.

    ``async with job:`` completes it at the end of the block, unless that happened inside; a queue that
    retries gets it back when the block fails.
    """

    def __init__(self, core: ReceivedMessage, ref: QueueRef[Any, B, R]) -> None:
        self.__rivet_core__ = core
        self._ref = ref

    @property
    def id(self) -> int:
        """Unique among all messages of the actor, and ascending."""
        return self.__rivet_core__.id

    @property
    def queue(self) -> QueueRef[Any, B, R]:
        """The queue it was in."""
        return self._ref

    @property
    def created_at(self) -> datetime:
        """When it was sent, in UTC."""
        return datetime.fromtimestamp(self.__rivet_core__.created_at / 1000, UTC)

    @cached_property
    def body(self) -> B:
        """What was sent.

        Raises:
            ValidationError: What is stored no longer fits the declared type. The job can still be completed.
        """
        return self._ref.decode_body(self.__rivet_core__.body)

    @property
    def completable(self) -> bool:
        """Whether it stays stored until it is completed; otherwise it is gone already."""
        return self.__rivet_core__.completable

    @property
    def completed(self) -> bool:
        """Whether ``complete`` has been called."""
        return self.__rivet_core__.completed

    @overload
    async def complete(self: Job[Any, None], reply: None = None, /) -> None: ...
    @overload
    async def complete(self, reply: R, /) -> None: ...
    async def complete(self, reply: object = UNSET, /) -> None:
        """Delete the message, then answer its sender if that waits. Cancelling does not stop it halfway.

        Raises:
            ValidationError: The reply does not fit its declared type; the message is still stored.
            TypeError: There is no reply, and the queue declares one.
            RivetError: ``queue.already_completed``, or ``queue.complete_not_configured`` for a message that
                was received without ``completable``.
            StorageError: The message is still stored; complete it again.
        """
        encoded = self._no_reply() if reply is UNSET else self._ref.encode_reply(cast("R", reply))
        await self.__rivet_core__.complete(encoded)

    @property
    def must_be_completed(self) -> bool:
        """Whether it has to be completed before the next one is received from the same place."""
        core = self.__rivet_core__
        return core.completable and not core.completed and not core.leased

    @property
    def attempt(self) -> int:
        """1 for the first try, and counting where the queue retries."""
        return self.__rivet_core__.failures + 1

    async def retry(self, *, delay: float | None = None) -> None:
        """The attempt failed: try again after ``delay`` seconds or the back-off, or bury it as a dead letter.

        Raises:
            RivetError: ``queue.retries_not_configured``, or ``queue.already_completed``.
        """
        require_seconds("delay", delay)
        await self.__rivet_core__.retry(delay)

    def _no_reply(self) -> bytes | None:
        try:
            return self._ref.encode_reply(None)
        except ValidationError as misfit:
            raise TypeError(
                f"queue `{self._ref.name}` has a reply: write `await job.complete(reply)`"
            ) from misfit

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None, /
    ) -> bool:
        """Complete a job that needs no reply, or give back one that failed where its queue retries.

        A failure that will be tried again is logged and goes no further; others pass.
        """
        core = self.__rivet_core__
        if core.completed or not core.completable:
            return False
        if raised is None:
            await core.complete(self._no_reply())
            return False
        if not core.leased:
            return False
        if not isinstance(raised, Exception):
            await core.release()
            return False
        core.log.warning(
            "job %d of queue %r failed",
            self.id,
            self._ref.name,
            exc_info=raised,
            extra={"queue_name": self._ref.name, "message_id": self.id},
        )
        await core.retry()
        return True

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self._ref.name}>"
