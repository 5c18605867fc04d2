"""Answers storage requests of envoys, with the engine's fencing (envoy-protocol 7)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rivetkit_core.testing.engine.actors import ScriptedActor
from rivetkit_core.testing.engine.envoys import Connection
from rivetkit_core.wire.envoy.messages import (
    KvError,
    KvRequest,
    KvResponse,
    SqlError,
    SqlExec,
    SqlExecResponse,
    SqlExecute,
    SqlExecuteBatch,
    SqlExecuteBatchResponse,
    SqlExecuteResponse,
)

StorageRequest = KvRequest | SqlExec | SqlExecute | SqlExecuteBatch
StorageResponse = KvResponse | SqlExecResponse | SqlExecuteResponse | SqlExecuteBatchResponse

_ACTOR_ID = re.compile(r"[0-9a-z]{30}")


def valid_id(actor_id: str) -> bool:
    """Whether the engine can read it as an id at all."""
    return _ACTOR_ID.fullmatch(actor_id) is not None


class Storage:
    """Keys and values are not fenced at all; SQL only against a newer generation."""

    def __init__(self, actors: Mapping[str, ScriptedActor]) -> None:
        self._actors = actors

    def answer(self, connection: Connection, request: StorageRequest) -> StorageResponse:
        if isinstance(request, KvRequest):
            return self._kv(connection, request)
        actor = self._actors.get(request.actor_id)
        fenced = actor is None or (actor.namespace, actor.generation) != (
            request.namespace,
            request.generation,
        )
        if actor is None or fenced:
            return _refused(request, SqlError("core", "internal_error", "actor does not exist"))
        actor.sql.enter(connection, request.generation)
        match request:
            case SqlExec():
                return SqlExecResponse(request.request_id, actor.sql.script(request.sql))
            case SqlExecute():
                return SqlExecuteResponse(request.request_id, actor.sql.execute(request.statement))
            case SqlExecuteBatch():
                return SqlExecuteBatchResponse(request.request_id, actor.sql.batch(request.statements))

    def _kv(self, connection: Connection, request: KvRequest) -> KvResponse:
        actor = self._actors.get(request.actor_id)
        if not valid_id(request.actor_id):
            return KvResponse(request.request_id, KvError(f"failed to parse actor id {request.actor_id!r}"))
        if actor is None or actor.namespace != connection.envoy.hello.namespace:
            return KvResponse(request.request_id, KvError("actor does not exist"))
        return KvResponse(request.request_id, actor.kv.answer(request.data))


def _refused(request: SqlExec | SqlExecute | SqlExecuteBatch, failure: SqlError) -> StorageResponse:
    match request:
        case SqlExec():
            return SqlExecResponse(request.request_id, failure)
        case SqlExecute():
            return SqlExecuteResponse(request.request_id, failure)
        case SqlExecuteBatch():
            return SqlExecuteBatchResponse(request.request_id, failure)
