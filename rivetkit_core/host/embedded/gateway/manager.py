"""The manager API: JSON endpoints that place actors (client-protocol 1.3)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import cast
from urllib.parse import parse_qsl, unquote

from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.host.embedded.addresses import REGION, check_key
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store_port import ActorRow
from rivetkit_core.host.port import ActorKey, ById, ByKey
from rivetkit_core.host.web.asgi import Head
from rivetkit_core.wire import actor_key, cbor

Json = dict[str, object]

_PUT_FIELDS = frozenset({"datacenter", "name", "key", "runner_name_selector", "input", "crash_policy"})
_CRASH_POLICIES = ("restart", "sleep", "destroy")
_MAX_INPUT = 4 * 1024 * 1024
_MAX_PAGE = 1000


class Manager:
    """Answers manager calls of one host."""

    def __init__(self, host: EmbeddedHost) -> None:
        self._host = host

    async def handle(self, head: Head, body: bytes) -> Json:
        """The JSON answer, always with status 200.

        Raises:
            RivetError: What to answer instead, almost always with status 400.
        """
        self._host.require_open()
        params = _query(head.query)
        match head.method, head.path.split("/"):
            case "GET", ["", "actors"]:
                self._check_namespace(params)
                return await self._find(params)
            case "PUT", ["", "actors"]:
                self._check_namespace(params)
                return await self._get_or_create(_json_body(head, body))
            case "POST", ["", "actors"]:
                self._check_namespace(params)
                return await self._create(_json_body(head, body))
            case "GET", ["", "actors", "names"]:
                self._check_namespace(params)
                return await self._names(params)
            case "DELETE", ["", "actors", actor_id] if actor_id:
                self._check_namespace(params)
                await self._host.destroy(unquote(actor_id))
                return {}
            case _:
                raise error("api.not_found", f"There is no route {head.method} {head.path} on this server")

    async def _find(self, params: Mapping[str, str]) -> Json:
        ids = params.get("actor_ids")
        if ids is not None:
            return _page([row for actor_id in _split_ids(ids) if (row := await self._by_id(actor_id))], None)
        name, key = params.get("name"), params.get("key")
        if name is None:
            raise error("validation.invalid_input", reason="name or actor_ids is required")
        rows, cursor = await self._host.store.list_actors(
            self._host.namespace,
            name,
            key=None if key is None else _read_key(key),
            limit=_limit(params),
            cursor=params.get("cursor"),
            include_destroyed=params.get("include_destroyed") == "true",
        )
        return _page(rows, cursor)

    async def _by_id(self, actor_id: str) -> ActorRow | None:
        try:
            return await self._host.place(ById(actor_id))
        except RivetError as failure:
            if failure.code != "not_found":
                raise
            return None

    async def _get_or_create(self, body: Json) -> Json:
        name, key = _name(body), _key(body)
        if key is None:
            raise error("api.bad_request", reason="missing field `key`")
        target = ByKey(name, key, create=True, input=_input(body), region=_region(body))
        placement = await self._host.place_or_create(target)
        actor_id = placement.row.actor_id
        await self._host.reach(ById(actor_id))
        return {"actor": _actor(await self._host.place(ById(actor_id))), "created": placement.created}

    async def _create(self, body: Json) -> Json:
        row = await self._host.create(_name(body), _key(body), input=_input(body), region=_region(body))
        return {"actor": _actor(await self._host.place(ById(row.actor_id)))}

    async def _names(self, params: Mapping[str, str]) -> Json:
        names, cursor = await self._host.store.list_names(
            self._host.namespace, limit=_limit(params), cursor=params.get("cursor")
        )
        return {"names": {name: {"metadata": {}} for name in names}, "pagination": {"cursor": cursor}}

    def _check_namespace(self, params: Mapping[str, str]) -> None:
        namespace = params.get("namespace")
        if namespace is None:
            raise error("api.bad_request", reason="missing field `namespace`")
        if namespace != self._host.namespace:
            raise error("namespace.not_found", f"This server has no namespace {namespace!r}")


def _query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError:
        raise error("api.bad_request", reason="the query cannot be parsed") from None


def _json_body(head: Head, body: bytes) -> Json:
    content_type = (head.text("content-type") or "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise error("api.bad_request", reason="expected a request with `Content-Type: application/json`")
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        raise error("api.bad_request", reason="the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise error("api.bad_request", reason="the body is not a JSON object")
    fields = cast("Json", parsed)
    unknown = sorted(fields.keys() - _PUT_FIELDS)
    if unknown:
        raise error("api.bad_request", reason=f"unknown field `{unknown[0]}`")
    if fields.get("crash_policy", "sleep") not in _CRASH_POLICIES:
        raise error("api.bad_request", reason=f"crash_policy must be one of {', '.join(_CRASH_POLICIES)}")
    return fields


def _name(body: Json) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise error("api.bad_request", reason="missing field `name`")
    return _unicode(name, "name")


def _key(body: Json) -> ActorKey | None:
    key = body.get("key")
    if key is None:
        return None
    if not isinstance(key, str):
        raise error("api.bad_request", reason="key must be a string")
    return _read_key(key)


def _read_key(text: str) -> ActorKey:
    if text == "":
        raise error("actor.empty_key")
    key = actor_key.deserialize(_unicode(text, "key"))
    check_key(key)
    return key


def _region(body: Json) -> str | None:
    region = body.get("datacenter")
    if region is not None and not isinstance(region, str):
        raise error("api.bad_request", reason="datacenter must be a string")
    return region


def _unicode(text: str, field: str) -> str:
    """The text, unless JSON escapes smuggled half a character into it, which no storage takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise error("api.bad_request", reason=f"{field} is not Unicode text") from None
    return text


def _input(body: Json) -> bytes | None:
    encoded = body.get("input")
    if encoded is None:
        return None
    if not isinstance(encoded, str):
        raise error("api.bad_request", reason="input must be a base64 string")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise error("api.bad_request", reason="input is not base64") from None
    if len(decoded) > _MAX_INPUT:
        raise error("validation.invalid_input", reason=f"the input exceeds {_MAX_INPUT} bytes")
    try:
        cbor.decode_compat(decoded)
    except ProtocolError:
        raise error("api.bad_request", reason="input is not CBOR") from None
    return decoded


def _split_ids(text: str) -> list[str]:
    return [actor_id for actor_id in text.split(",") if actor_id][:_MAX_PAGE]


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _MAX_PAGE):
        raise error("api.bad_request", reason=f"limit must be between 1 and {_MAX_PAGE}")
    return int(text)


def _page(rows: list[ActorRow], cursor: str | None) -> Json:
    return {"actors": [_actor(row) for row in rows], "pagination": {"cursor": cursor}}


def _actor(row: ActorRow) -> Json:
    return {
        "actor_id": row.actor_id,
        "name": row.name,
        "key": None if row.key is None else actor_key.serialize(row.key),
        "namespace_id": row.namespace,
        "datacenter": REGION,
        "runner_name_selector": "default",
        "crash_policy": "sleep",
        "create_ts": row.create_ts,
        "start_ts": row.start_ts,
        "pending_allocation_ts": None,
        "connectable_ts": row.connectable_ts,
        "sleep_ts": row.sleep_ts,
        "reschedule_ts": None,
        "destroy_ts": row.destroy_ts,
    }
