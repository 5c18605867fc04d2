"""What the engine's management API talks about, as values (envoy-protocol 2.2).

Timestamps are whole milliseconds since the Unix epoch, as on the wire. Each class reads itself from decoded
JSON with ``read``; fields a later engine adds are ignored, fields that are missing or have another type are
a ``ProtocolError``. Knows nothing about HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self, cast

from rivetkit_core.errors import ProtocolError

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Health:
    """Who answers at an address. ``runtime`` is ``engine`` for an engine."""

    runtime: str
    version: str | None

    @classmethod
    def read(cls, body: object) -> Self:
        fields = as_object(body)
        return cls(text(fields, "runtime"), optional_text(fields, "version"))


@dataclass(frozen=True, slots=True)
class EngineMetadata:
    """Which engine this is. ``envoy_protocol_version`` is the newest it speaks."""

    version: str
    envoy_protocol_version: int

    @classmethod
    def read(cls, body: object) -> Self:
        fields = as_object(body)
        return cls(text(fields, "version"), whole(fields, "envoy_protocol_version"))


@dataclass(frozen=True, slots=True)
class Datacenter:
    """One place the engine runs in."""

    label: int
    name: str
    url: str

    @classmethod
    def read(cls, body: object) -> Self:
        fields = as_object(body)
        return cls(whole(fields, "label"), text(fields, "name"), text(fields, "url"))


@dataclass(frozen=True, slots=True)
class Namespace:
    """A separate world of actors and pools."""

    namespace_id: str
    name: str
    display_name: str
    create_ts: int

    @classmethod
    def read(cls, body: object) -> Self:
        fields = as_object(body)
        return cls(
            text(fields, "namespace_id"),
            text(fields, "name"),
            text(fields, "display_name"),
            whole(fields, "create_ts"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalPool:
    """Envoys connect to the engine by themselves.

    With ``drain_on_version_upgrade`` the envoys of an older version give up their actors as soon as one of
    a newer version connects.
    """

    drain_on_version_upgrade: bool = True

    def to_json(self) -> dict[str, object]:
        return {"normal": {"drain_on_version_upgrade": self.drain_on_version_upgrade}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerlessPool:
    """The engine starts envoys with a request to ``url``; durations are seconds (envoy-protocol 8).

    ``headers`` may hold secrets and are not shown.
    """

    url: str
    request_lifespan: int
    drain_grace_period: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    max_concurrent_actors: int | None = None
    drain_on_version_upgrade: bool = True

    def to_json(self) -> dict[str, object]:
        options: dict[str, object] = {
            "url": self.url,
            "request_lifespan": self.request_lifespan,
            "drain_grace_period": self.drain_grace_period,
            "headers": dict(self.headers),
            "drain_on_version_upgrade": self.drain_on_version_upgrade,
        }
        if self.max_concurrent_actors is not None:
            options["max_concurrent_actors"] = self.max_concurrent_actors
        return {"serverless": options}


PoolConfig = NormalPool | ServerlessPool


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool as one datacenter knows it.

    ``protocol_version`` is None until the first envoy of the pool connected; an actor created before that
    waits for a gateway request, whatever connects later.
    """

    datacenter: str
    serverless: bool
    drain_on_version_upgrade: bool
    protocol_version: int | None
    error: object

    @classmethod
    def read(cls, datacenter: str, body: object) -> Self:
        fields = as_object(body)
        serverless = fields.get("serverless") is not None
        options = as_object(fields.get("serverless" if serverless else "normal"))
        return cls(
            datacenter,
            serverless,
            flag(options, "drain_on_version_upgrade"),
            optional_whole(fields, "protocol_version"),
            fields.get("runner_pool_error"),
        )


@dataclass(frozen=True, slots=True)
class EngineActor:
    """An actor as the engine knows it.

    ``error`` says why it does not run: None, a word such as ``no_envoys``, or an object with one key.
    """

    actor_id: str
    name: str
    key: str | None
    namespace_id: str
    datacenter: str
    pool: str
    crash_policy: str
    create_ts: int
    start_ts: int | None
    pending_allocation_ts: int | None
    connectable_ts: int | None
    sleep_ts: int | None
    reschedule_ts: int | None
    destroy_ts: int | None
    error: object

    @classmethod
    def read(cls, body: object) -> Self:
        fields = as_object(body)
        return cls(
            actor_id=text(fields, "actor_id"),
            name=text(fields, "name"),
            key=optional_text(fields, "key"),
            namespace_id=text(fields, "namespace_id"),
            datacenter=text(fields, "datacenter"),
            pool=text(fields, "runner_name_selector"),
            crash_policy=text(fields, "crash_policy"),
            create_ts=whole(fields, "create_ts"),
            start_ts=optional_whole(fields, "start_ts"),
            pending_allocation_ts=optional_whole(fields, "pending_allocation_ts"),
            connectable_ts=optional_whole(fields, "connectable_ts"),
            sleep_ts=optional_whole(fields, "sleep_ts"),
            reschedule_ts=optional_whole(fields, "reschedule_ts"),
            destroy_ts=optional_whole(fields, "destroy_ts"),
            error=fields.get("error"),
        )


@dataclass(frozen=True, slots=True)
class Envoy:
    """A connected host process. ``slots`` is how many actors it runs."""

    envoy_key: str
    namespace_id: str
    datacenter: str
    pool: str
    version: int
    slots: int
    create_ts: int
    last_ping_ts: int
    last_connected_ts: int | None
    stop_ts: int | None
    metadata: object

    @classmethod
    def read(cls, body: object) -> Self:
        fields = as_object(body)
        return cls(
            envoy_key=text(fields, "envoy_key"),
            namespace_id=text(fields, "namespace_id"),
            datacenter=text(fields, "datacenter"),
            pool=text(fields, "pool_name"),
            version=whole(fields, "version"),
            slots=whole(fields, "slots"),
            create_ts=whole(fields, "create_ts"),
            last_ping_ts=whole(fields, "last_ping_ts"),
            last_connected_ts=optional_whole(fields, "last_connected_ts"),
            stop_ts=optional_whole(fields, "stop_ts"),
            metadata=fields.get("metadata"),
        )


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One record of an actor's key-value store."""

    value: bytes = field(repr=False)
    update_ts: int = 0


def as_object(value: object) -> Json:
    if not isinstance(value, Mapping):
        raise _malformed(f"{type(value).__name__} where an object was expected")
    return cast("Json", value)


def listed(fields: Json, name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise _malformed(f"{name} is not a list")
    return cast("list[object]", value)


def text(fields: Json, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _malformed(f"{name} is not a string")
    return value


def optional_text(fields: Json, name: str) -> str | None:
    return None if fields.get(name) is None else text(fields, name)


def whole(fields: Json, name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _malformed(f"{name} is not a whole number")
    return value


def optional_whole(fields: Json, name: str) -> int | None:
    return None if fields.get(name) is None else whole(fields, name)


def flag(fields: Json, name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise _malformed(f"{name} is not true or false")
    return value


def _malformed(reason: str) -> ProtocolError:
    return ProtocolError(reason, label="the engine's answer")
