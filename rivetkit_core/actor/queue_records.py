"""The stored messages of one actor: which there are, and how they change (actor-runtime 2.1, 7.9).

Knows records and ids; who sends, receives or waits is not its business. Callers hold one lock around
every call.

Invariants
    Messages and metadata change in one atomic write, so that neither counts what the other does not have.
    An id is given once: not again after a failed write, a deletion or a reset.
    ``heads`` is what storage holds, in the order of arrival; a write whose outcome is unknown is looked up
    before the next operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.errors import ProtocolError, RivetError
from rivetkit_core.host.port import ActorStorage, prefix_end
from rivetkit_core.wire.persisted import (
    QUEUE_MESSAGE_PREFIX,
    QUEUE_METADATA_KEY,
    QueueMessage,
    QueueMetadata,
    decode_queue_message,
    decode_queue_metadata,
    encode_queue_message,
    encode_queue_metadata,
    queue_message_key,
)

_BATCH = 100
_KEY_LENGTH = len(queue_message_key(1))


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a stored message without reading its body. ``due`` is in milliseconds."""

    name: str
    due: int | None
    failures: int
    in_flight: bool


class QueueRecords:
    """Reads the stored queue once, then follows its own writes."""

    def __init__(self, storage: ActorStorage, log: ActorLog = NO_ACTOR) -> None:
        self._log = log
        self.heads: dict[int, Head] = {}
        self._storage = storage
        self._next_id = 1
        self._opened = False
        self._uncertain: set[int] = set()

    @property
    def size(self) -> int:
        return len(self.heads)

    async def open(self) -> None:
        """Learn what is stored, the first time; later, what failed writes may have left behind.

        Raises:
            StorageError: The storage cannot be read; the next call tries again.
        """
        if not self._opened:
            await self._scan()
            self._opened = True
        elif self._uncertain:
            found = await self.load(self._uncertain)
            for message_id in self._uncertain:
                self.heads.pop(message_id, None)
            self.heads.update((message_id, _head(message)) for message_id, message in found.items())
            self.heads = dict(sorted(self.heads.items()))
            self._uncertain.clear()

    async def load(self, ids: Iterable[int]) -> dict[int, QueueMessage]:
        """Messages by id, in the order asked for, without those that are gone or unreadable."""
        keys = {message_id: queue_message_key(message_id) for message_id in ids}
        stored = await self._storage.load(list(keys.values()))
        decoded = {
            number: _decode(key, stored[key], self._log) for number, key in keys.items() if key in stored
        }
        return {number: message for number, message in decoded.items() if message is not None}

    def reserve(self) -> int:
        """An id for a new message."""
        message_id, self._next_id = self._next_id, self._next_id + 1
        return message_id

    async def change(
        self,
        puts: Mapping[int, QueueMessage],
        remove: Sequence[int] = (),
        *,
        beside: Mapping[bytes, bytes] | None = None,
        forget: Sequence[bytes] = (),
    ) -> None:
        """Write and remove messages together with the metadata, all or nothing.

        Args:
            puts: New messages, whose ids come from ``reserve``, and changed ones.
            remove: Ids; those that are gone already change nothing.
            beside: Records of others to write in the same moment.
            forget: Keys of others to delete in the same moment.

        Raises:
            StorageError: Nothing was written, as far as storage can tell.
        """
        gone = [message_id for message_id in remove if message_id in self.heads]
        size = len(self.heads.keys() | puts.keys()) - len(gone)
        written = {queue_message_key(number): encode_queue_message(one) for number, one in puts.items()}
        if gone or any(number not in self.heads for number in puts):
            written[QUEUE_METADATA_KEY] = encode_queue_metadata(QueueMetadata(self._next_id, size))
        deleted = [*map(queue_message_key, gone), *forget]
        if not written and not deleted:
            return
        try:
            await self._storage.apply({**written, **(beside or {})}, deleted)
        except BaseException:
            self._uncertain.update(puts, gone)
            raise
        self.heads.update((message_id, _head(message)) for message_id, message in puts.items())
        for message_id in gone:
            del self.heads[message_id]

    async def restore(self, messages: Mapping[int, QueueMessage]) -> None:
        """Write messages again that were removed, in their old places."""
        remaining = iter(messages.items())
        while batch := dict(islice(remaining, _BATCH)):
            await self.change(batch)
        self.heads = dict(sorted(self.heads.items()))

    async def clear(self) -> None:
        """Remove every message. Ids go on counting."""
        await self._storage.delete_range(QUEUE_MESSAGE_PREFIX, prefix_end(QUEUE_MESSAGE_PREFIX))
        self.heads.clear()
        self._uncertain.clear()
        await self._write_metadata()

    async def _scan(self) -> None:
        metadata = await self._load_metadata()
        heads: dict[int, Head] = {}
        last = 0
        for key, value in await self._storage.list(QUEUE_MESSAGE_PREFIX):
            if len(key) != _KEY_LENGTH:
                self._log.error("queue.invalid_message_key: a record with the key %s was skipped", key.hex())
                continue
            last = int.from_bytes(key[len(QUEUE_MESSAGE_PREFIX) :], "big")
            message = _decode(key, value, self._log)
            if message is not None:
                heads[last] = _head(message)
        stored_next = 0 if metadata is None else metadata.next_id
        self._next_id = max(stored_next, last + 1)
        self.heads = heads
        untouched = metadata is None and not last
        if not untouched and metadata != QueueMetadata(self._next_id, len(heads)):
            await self._write_metadata()

    async def _load_metadata(self) -> QueueMetadata | None:
        stored = (await self._storage.load([QUEUE_METADATA_KEY])).get(QUEUE_METADATA_KEY)
        if stored is None:
            return None
        try:
            return decode_queue_metadata(stored)
        except RivetError as failure:
            self._log.error("the queue's metadata is unreadable and is made anew: %s", failure)
            return QueueMetadata(0, 0)

    async def _write_metadata(self) -> None:
        metadata = encode_queue_metadata(QueueMetadata(self._next_id, self.size))
        await self._storage.apply({QUEUE_METADATA_KEY: metadata})


def _decode(key: bytes, value: bytes, log: ActorLog) -> QueueMessage | None:
    try:
        return decode_queue_message(value)
    except ProtocolError as failure:
        log.error("a queued message is unreadable and was skipped (%s): %s", key.hex(), failure)
        return None


def _head(message: QueueMessage) -> Head:
    return Head(message.name, message.available_at, message.failure_count or 0, bool(message.in_flight))
