"""The envoy protocol between bytes and messages (envoy-protocol 3.3, 3.4, 4).

No I/O and no state. A version is fixed for a connection and is not part of its messages; only the payload
that starts a serverless actor carries one. Both versions share the layouts of nearly all bodies and differ
in their tags. The page protocol of SQLite (7.4) has tags here and no messages.

The engine ignores bytes after a message. We refuse them: they would mean that the two sides disagree about
the layout, and then the fields before them are in doubt too.
"""

from __future__ import annotations

from typing import TypeVar

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.envoy import kv, lifecycle, sql
from rivetkit_core.wire.envoy.messages import Commands, Stopping, ToEnvoy, ToRivet
from rivetkit_core.wire.envoy.tagged import TaggedUnion, Unspoken, bare_variant
from rivetkit_core.wire.envoy.tunnel import to_envoy_tunnel, to_rivet_tunnel

M = TypeVar("M")

SUPPORTED_VERSIONS = (8, 6)
"""Best first. The layout of version 7 is unpublished; an engine that speaks it speaks 6 as well."""

_PAGES = ("SqliteGetPages", "SqliteCommit")
_STAGED_COMMITS = ("SqliteCommitStageBegin", "SqliteCommitStageSegment", "SqliteCommitFinalize")


def _to_rivet(version: int, pages: tuple[str, ...]) -> TaggedUnion[ToRivet]:
    return TaggedUnion(
        f"envoy protocol version {version} to the engine",
        lifecycle.METADATA,
        lifecycle.EVENTS,
        lifecycle.ACK_COMMANDS,
        bare_variant(Stopping),
        lifecycle.PONG,
        kv.KV_REQUEST,
        to_rivet_tunnel(version),
        *map(Unspoken, pages),
        sql.SQL_EXEC,
        sql.SQL_EXECUTE,
        sql.SQL_EXECUTE_BATCH,
    )


def _to_envoy(version: int, pages: tuple[str, ...]) -> TaggedUnion[ToEnvoy]:
    return TaggedUnion(
        f"envoy protocol version {version} to the host",
        lifecycle.INIT,
        lifecycle.COMMANDS,
        lifecycle.ACK_EVENTS,
        kv.KV_RESPONSE,
        to_envoy_tunnel(version),
        lifecycle.PING,
        *(Unspoken(f"{name}Response") for name in pages),
        sql.SQL_EXEC_RESPONSE,
        sql.SQL_EXECUTE_RESPONSE,
        sql.SQL_EXECUTE_BATCH_RESPONSE,
    )


_TO_RIVET = {8: _to_rivet(8, _PAGES + _STAGED_COMMITS), 6: _to_rivet(6, _PAGES)}
_TO_ENVOY = {8: _to_envoy(8, _PAGES + _STAGED_COMMITS), 6: _to_envoy(6, _PAGES)}


def choose_version(engine_version: int) -> int:
    """The version to connect with, given the highest one the engine speaks.

    Raises:
        ProtocolError: The engine is too old.
    """
    for version in SUPPORTED_VERSIONS:
        if version <= engine_version:
            return version
    raise ProtocolError(
        f"the engine speaks envoy protocol {engine_version}, at least {SUPPORTED_VERSIONS[-1]} is needed"
    )


class EnvoyCodec:
    """Reads and writes whole messages of one version, those of either side.

    Every method raises ``ProtocolError`` and nothing else: decoding, for bytes that are not exactly one
    message; encoding, for a message the version lacks or a number or text that does not fit.
    """

    __slots__ = ("_to_envoy", "_to_rivet", "version")

    def __init__(self, version: int) -> None:
        if version not in SUPPORTED_VERSIONS:
            supported = " and ".join(map(str, SUPPORTED_VERSIONS))
            raise ProtocolError(f"envoy protocol version {version} is not supported, only {supported}")
        self.version = version
        self._to_rivet = _TO_RIVET[version]
        self._to_envoy = _TO_ENVOY[version]

    def encode_to_rivet(self, message: ToRivet) -> bytes:
        return _encode(self._to_rivet, message)

    def decode_to_rivet(self, data: bytes) -> ToRivet:
        return _decode(self._to_rivet, data)

    def encode_to_envoy(self, message: ToEnvoy) -> bytes:
        return _encode(self._to_envoy, message)

    def decode_to_envoy(self, data: bytes) -> ToEnvoy:
        return _decode(self._to_envoy, data)


def encode_start_payload(commands: Commands, version: int) -> bytes:
    """The body of a serverless start: a u16 version, then the commands in that version."""
    writer = Writer()
    writer.u16(version)
    return writer.finish() + EnvoyCodec(version).encode_to_envoy(commands)


def decode_start_payload(data: bytes) -> Commands:
    """Read the body of a serverless start. What the commands say is not checked.

    Raises:
        ProtocolError: The version is not supported, or the rest is not exactly one ``Commands``.
    """
    reader = Reader(data)
    message = EnvoyCodec(reader.u16()).decode_to_envoy(reader.fixed(reader.remaining))
    if not isinstance(message, Commands):
        raise ProtocolError(f"a start payload holds Commands, not {type(message).__name__}")
    return message


def _encode(union: TaggedUnion[M], message: M) -> bytes:
    writer = Writer()
    union.write(writer, message)
    return writer.finish()


def _decode(union: TaggedUnion[M], data: bytes) -> M:
    reader = Reader(data)
    message = union.read(reader)
    reader.finish()
    return message
