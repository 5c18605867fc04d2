"""Queues: durable messages for an actor, from its clients and from itself.

``jobs = Queue[Order, Receipt]()`` is a reference on the class, the queue itself on an actor and a way to
send on a stub. A queue that declares a reply keeps each message until it is completed; one without deletes
it before handing it over, unless ``completable=`` says otherwise.
"""

from __future__ import annotations

import typing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, overload

from typing_extensions import TypeVar

from rivetkit._authoring import InvalidActor
from rivetkit._codecs import QueueCodec
from rivetkit._job import QueueRef
from rivetkit._local_queue import LocalQueue
from rivetkit._queue_options import Deduplicate, Retry
from rivetkit._stub import RemoteQueue, SendsMessages, Stub

if TYPE_CHECKING:
    from rivetkit._actor import Actor
    from rivetkit._contract import Contract

B = TypeVar("B")
R = TypeVar("R", default=None)
A = TypeVar("A", bound="Contract")


class Queue(Generic[B, R]):
    """A declared queue: ``jobs = Queue[Order, Receipt]()``, with the types of messages and replies.

    Args:
        name: What clients call it; the attribute's name if not given.
        completable: Whether received messages stay stored until they are completed; a queue with a reply
            keeps them unless told.
        delay: Seconds before a message may be received. Lets senders inside the actor choose, too.
        retries: What to do with a message that fails; leave it out to have none of this.
        dead_letter: A queue of the same actor that takes messages that failed for the last time. They are
            dropped without one.
        deduplicate: Which messages are the same one.
    """

    __rivet_remote__: ClassVar[bool] = True

    def __init__(
        self,
        *,
        name: str = "",
        completable: bool | None = None,
        delay: float | None = None,
        retries: Retry | None = None,
        dead_letter: Queue[B, Any] | None = None,
        deduplicate: Deduplicate[B] | None = None,
    ) -> None:
        self.name: str = name
        self.delay = delay
        self.retries = retries
        self.dead_letter = dead_letter
        self.deduplicate = deduplicate
        self._completable = completable
        self._owner: type[object] | None = None
        self._attribute = ""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = self.name or name
        self._attribute = self._attribute or name
        self._owner = self._owner or owner

    @cached_property
    def codec(self) -> QueueCodec:
        """The bytes of its messages and replies.

        Raises:
            InvalidActor: It was declared without a message type.
        """
        owner = self._owner or type(self)
        declared: tuple[object, ...] = typing.get_args(getattr(self, "__orig_class__", None))
        if not declared:
            raise InvalidActor(
                f"{owner.__name__}.{self.name} does not say what it carries: "
                f"write `{self.name} = Queue[str]()`, with the type of its messages."
            )
        return QueueCodec(self.name, declared, owner)

    @overload
    def __get__(self, instance: None, owner: type[A], /) -> QueueRef[A, B, R]: ...
    @overload
    def __get__(self, instance: Stub, owner: Any, /) -> RemoteQueue[B, R]: ...
    @overload
    def __get__(self, instance: Actor, owner: Any, /) -> LocalQueue[B, R]: ...
    def __get__(self, instance: Actor | Stub | None, owner: Any, /) -> object:
        if instance is None:
            return self.reference()
        if isinstance(instance, Stub):
            handle = instance.__rivet_handle__
            if not isinstance(handle, SendsMessages):
                raise TypeError(f"{handle!r} cannot send to queues")
            return RemoteQueue[B, R](handle, self.reference())
        local = LocalQueue[B, R](instance, self.reference())
        # One for each actor: it knows which message is not completed yet.
        vars(instance)[self._attribute] = local
        return local

    def reference(self) -> QueueRef[Any, B, R]:
        """What handles and the actor's context accept."""
        keeps = self._completable
        if keeps is None:
            keeps = self.codec.has_reply or self.retries is not None
        key = None if self.deduplicate is None else self.deduplicate.by
        return QueueRef(self.name, self.codec, completable=keeps, key=key)
