"""The wire as the load uses it: plain HTTP calls, encoded with the core's codecs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import httpx

from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.gateway_url import direct_url, manager_url, query_url
from rivetkit_core.wire.messages import Encoding
from tests.crash.promises import Entry, Placement

_NAMESPACE = "default"


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """One actor: by key, created when it is missing, or by id."""

    name: str
    key: str
    actor_id: str | None = None

    def url(self, base: str, path: str) -> str:
        if self.actor_id is not None:
            return direct_url(base, self.actor_id, path)
        return query_url(
            base,
            self.name,
            path,
            namespace=_NAMESPACE,
            method="getOrCreate",
            key=(self.key,),
        )


class Api:
    """Calls to one server."""

    def __init__(self, base: str, http: httpx.AsyncClient) -> None:
        self.base = base
        self._http = http

    async def append(self, address: Address, entry: Entry, encoding: Encoding) -> int:
        """The position it got.

        Raises:
            Refused: The server answered with an error.
            httpx.TransportError: The server is gone.
        """
        return cast("int", await self._call(address, "append", entry, encoding))

    async def numbers(self, address: Address, encoding: Encoding) -> list[Entry]:
        """Everything a ledger holds."""
        held = cast("dict[str, object]", await self._call(address, "numbers", (), encoding))
        entries = [(client, number) for client, number in cast("list[Entry]", held["entries"])]
        assert held["count"] == len(entries), "the state is torn: its count does not fit its entries"
        return entries

    async def generation(self, address: Address) -> int:
        return cast("int", await self._call(address, "generation", (), Encoding.CBOR))

    async def create(self, name: str, key: str) -> str:
        """Get or create through the manager API; returns the id."""
        body = {"name": name, "key": key, "runner_name_selector": "default", "crash_policy": "sleep"}
        response = await self._http.put(self._manager("/actors"), json=body)
        answer = cast("dict[str, dict[str, str]]", _json(response))
        return answer["actor"]["actor_id"]

    async def destroy(self, actor_id: str) -> None:
        _json(await self._http.delete(self._manager(f"/actors/{actor_id}")))

    async def placements(self, name: str) -> dict[str, Placement]:
        """Every actor of a name there ever was, by id."""
        found: dict[str, Placement] = {}
        cursor: str | None = None
        while True:
            query = [("name", name), ("include_destroyed", "true"), ("limit", "1000")]
            if cursor is not None:
                query.append(("cursor", cursor))
            page = cast("dict[str, object]", _json(await self._http.get(self._manager("/actors", query))))
            for row in cast("list[dict[str, object]]", page["actors"]):
                found[str(row["actor_id"])] = Placement(str(row["key"]), row["destroy_ts"] is not None)
            cursor = cast("dict[str, str | None]", page["pagination"])["cursor"]
            if cursor is None:
                return found

    async def _call(
        self, address: Address, action: str, args: Sequence[object], encoding: Encoding
    ) -> object:
        codec = Codec(encoding)
        response = await self._http.post(
            address.url(self.base, f"/action/{action}"),
            content=codec.encode_action_request(cbor.encode(list(args))),
            headers={"x-rivet-encoding": encoding.value},
        )
        if response.status_code != 200:
            # The gateway's own errors are JSON, whatever the call was encoded in.
            json = response.headers["content-type"].startswith("application/json")
            failure = (Codec(Encoding.JSON) if json else codec).decode_http_error(response.content)
            raise Refused(f"{failure.group}.{failure.code}")
        return cbor.decode(codec.decode_action_response(response.content))

    def _manager(self, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
        return manager_url(self.base, path, [("namespace", _NAMESPACE), *query])


def _json(response: httpx.Response) -> object:
    if response.status_code != 200:
        raise Refused(response.text)
    return response.json()
