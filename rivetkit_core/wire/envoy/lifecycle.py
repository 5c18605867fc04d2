"""Messages about the connection and its actors: start and stop, events, alarms, acknowledgements, pings."""

from __future__ import annotations

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.envoy.kv import read_metadata, write_metadata
from rivetkit_core.wire.envoy.messages import (
    AckCommands,
    AckEvents,
    ActorEvent,
    Command,
    CommandEntry,
    Commands,
    EnvoyInit,
    EventEntry,
    Events,
    Metadata,
    Ping,
    Pong,
    PreloadedEntry,
    PreloadedKv,
    Running,
    SetAlarm,
    SleepIntent,
    StartActor,
    StopActor,
    StopCode,
    StopIntent,
    Stopped,
    StopReason,
)
from rivetkit_core.wire.envoy.structures import (
    read_all,
    read_blobs,
    read_checkpoint,
    read_enum,
    read_request_id,
    write_all,
    write_checkpoint,
    write_request_id,
)
from rivetkit_core.wire.envoy.tagged import TaggedUnion, bare_variant, variant


def _write_stopped(writer: Writer, stopped: Stopped) -> None:
    writer.uint(stopped.code)
    writer.optional(stopped.message, writer.str)


def _read_stopped(reader: Reader) -> Stopped:
    return Stopped(read_enum(reader, StopCode), reader.optional(reader.str))


_INTENT: TaggedUnion[SleepIntent | StopIntent] = TaggedUnion(
    "an intent", bare_variant(SleepIntent), bare_variant(StopIntent)
)
_STATE: TaggedUnion[Running | Stopped] = TaggedUnion(
    "a state update", bare_variant(Running), variant(Stopped, _write_stopped, _read_stopped)
)


def _write_event(writer: Writer, event: ActorEvent) -> None:
    match event:
        case SleepIntent() | StopIntent():
            writer.uint(0)
            _INTENT.write(writer, event)
        case Running() | Stopped():
            writer.uint(1)
            _STATE.write(writer, event)
        case SetAlarm():
            writer.uint(2)
            writer.optional(event.alarm_ts, writer.i64)


def _read_event(reader: Reader) -> ActorEvent:
    match reader.uint():
        case 0:
            return _INTENT.read(reader)
        case 1:
            return _STATE.read(reader)
        case 2:
            return SetAlarm(reader.optional(reader.i64))
        case tag:
            raise ProtocolError(f"an event has no tag {tag}")


def _write_event_entry(writer: Writer, entry: EventEntry) -> None:
    write_checkpoint(writer, entry.checkpoint)
    _write_event(writer, entry.event)


def _read_event_entry(reader: Reader) -> EventEntry:
    return EventEntry(read_checkpoint(reader), _read_event(reader))


def _write_preloaded_entry(writer: Writer, entry: PreloadedEntry) -> None:
    writer.data(entry.key)
    writer.data(entry.value)
    write_metadata(writer, entry.metadata)


def _read_preloaded_entry(reader: Reader) -> PreloadedEntry:
    return PreloadedEntry(reader.data(), reader.data(), read_metadata(reader))


def _write_preloaded(writer: Writer, preloaded: PreloadedKv) -> None:
    write_all(writer, preloaded.entries, _write_preloaded_entry)
    writer.list(preloaded.requested_get_keys, writer.data)
    writer.list(preloaded.requested_prefixes, writer.data)


def _read_preloaded(reader: Reader) -> PreloadedKv:
    return PreloadedKv(read_all(reader, _read_preloaded_entry), read_blobs(reader), read_blobs(reader))


def _write_start(writer: Writer, start: StartActor) -> None:
    writer.str(start.name)
    writer.optional(start.key, writer.str)
    writer.i64(start.create_ts)
    writer.optional(start.input, writer.data)
    write_all(writer, start.hibernating_requests, write_request_id)
    writer.optional(start.preloaded_kv, lambda preloaded: _write_preloaded(writer, preloaded))


def _read_start(reader: Reader) -> StartActor:
    return StartActor(
        name=reader.str(),
        key=reader.optional(reader.str),
        create_ts=reader.i64(),
        input=reader.optional(reader.data),
        hibernating_requests=read_all(reader, read_request_id),
        preloaded_kv=reader.optional(lambda: _read_preloaded(reader)),
    )


def _write_stop(writer: Writer, stop: StopActor) -> None:
    writer.uint(stop.reason)


def _read_stop(reader: Reader) -> StopActor:
    return StopActor(read_enum(reader, StopReason))


_COMMAND: TaggedUnion[Command] = TaggedUnion(
    "a command", variant(StartActor, _write_start, _read_start), variant(StopActor, _write_stop, _read_stop)
)


def _write_command_entry(writer: Writer, entry: CommandEntry) -> None:
    write_checkpoint(writer, entry.checkpoint)
    _COMMAND.write(writer, entry.command)


def _read_command_entry(reader: Reader) -> CommandEntry:
    return CommandEntry(read_checkpoint(reader), _COMMAND.read(reader))


def _write_host_metadata(writer: Writer, message: Metadata) -> None:
    writer.optional(message.prepopulate_actor_names, lambda names: writer.map(names, writer.str, writer.str))
    writer.optional(message.metadata, writer.str)


def _read_host_metadata(reader: Reader) -> Metadata:
    return Metadata(reader.optional(lambda: reader.map(reader.str, reader.str)), reader.optional(reader.str))


def _write_init(writer: Writer, message: EnvoyInit) -> None:
    writer.i64(message.envoy_lost_threshold)
    writer.i64(message.actor_stop_threshold)
    writer.u64(message.max_response_payload_size)


METADATA = variant(Metadata, _write_host_metadata, _read_host_metadata)
EVENTS = variant(
    Events,
    lambda writer, message: write_all(writer, message.entries, _write_event_entry),
    lambda reader: Events(read_all(reader, _read_event_entry)),
)
ACK_COMMANDS = variant(
    AckCommands,
    lambda writer, message: write_all(writer, message.last_command_checkpoints, write_checkpoint),
    lambda reader: AckCommands(read_all(reader, read_checkpoint)),
)
PONG = variant(Pong, lambda writer, message: writer.i64(message.ts), lambda reader: Pong(reader.i64()))

INIT = variant(EnvoyInit, _write_init, lambda reader: EnvoyInit(reader.i64(), reader.i64(), reader.u64()))
COMMANDS = variant(
    Commands,
    lambda writer, message: write_all(writer, message.entries, _write_command_entry),
    lambda reader: Commands(read_all(reader, _read_command_entry)),
)
ACK_EVENTS = variant(
    AckEvents,
    lambda writer, message: write_all(writer, message.last_event_checkpoints, write_checkpoint),
    lambda reader: AckEvents(read_all(reader, read_checkpoint)),
)
PING = variant(Ping, lambda writer, message: writer.i64(message.ts), lambda reader: Ping(reader.i64()))
