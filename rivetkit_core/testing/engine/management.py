"""The HTTP endpoints that a host needs before it connects (envoy-protocol 2.1 and 2.2).

Requests in, answers out: no sockets here. Nothing beyond these endpoints exists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs, unquote

from rivetkit_core.testing.engine.connections import Connections
from rivetkit_core.testing.engine.kv import ENGINE_VERSION

_DATACENTER = "default"
_RUNNER_CONFIGS = "/runner-configs"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """``query`` is as sent; ``authorization`` is the header."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    authorization: str | None = None


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    status: int
    body: Mapping[str, object] = field(default_factory=dict[str, object])


class Management:
    """One datacenter, ``default``. Pools exist once they were put.

    Attributes:
        configs: What was put for each pool.
    """

    def __init__(self, connections: Connections, endpoint: Callable[[], str], token: str | None) -> None:
        self.configs: dict[str, object] = {}
        self._connections = connections
        self._endpoint = endpoint
        self._token = token

    def answer(self, request: ApiRequest) -> ApiAnswer:
        match request.method, request.path:
            case "GET", "/health":
                return ApiAnswer(200, {"runtime": "engine", "status": "ok", "version": ENGINE_VERSION})
            case "GET", "/metadata":
                return ApiAnswer(
                    200, {"runtime": "engine", "version": ENGINE_VERSION, "envoy_protocol_version": 8}
                )
            case _ if self._token is not None and request.authorization != f"Bearer {self._token}":
                return _failure(403, "api.forbidden")
            case "GET", "/datacenters":
                place = {"label": 1, "name": _DATACENTER, "url": self._endpoint()}
                return ApiAnswer(200, {"datacenters": [place], "pagination": {"cursor": None}})
            case method, path if path == _RUNNER_CONFIGS or path.startswith(f"{_RUNNER_CONFIGS}/"):
                pool = unquote(path.removeprefix(_RUNNER_CONFIGS).removeprefix("/"))
                return self._runner_configs(method, pool, request)
            case _:
                return _failure(404, "api.not_found")

    def _runner_configs(self, method: str, pool: str, request: ApiRequest) -> ApiAnswer:
        namespace = parse_qs(request.query).get("namespace", [""])[0]
        if namespace not in self._connections.namespaces:
            return _failure(400, "namespace.not_found" if namespace else "api.bad_request")
        match method, pool:
            case "GET", "":
                configs = {name: self._described(name) for name in sorted(self._connections.pools)}
                return ApiAnswer(200, {"runner_configs": configs, "pagination": {"cursor": None}})
            case "PUT", name if name:
                return self._put(name, request.body)
            case "DELETE", name if name:
                self._connections.pools.discard(name)
                return ApiAnswer(200)
            case _:
                return _failure(404, "api.not_found")

    def _put(self, pool: str, body: bytes) -> ApiAnswer:
        try:
            config = cast("object", json.loads(body))
        except ValueError:
            return _failure(400, "api.bad_request")
        places = cast("dict[str, object]", config).get("datacenters") if isinstance(config, dict) else None
        if not isinstance(places, dict):
            return _failure(400, "api.bad_request")
        if set(cast("dict[str, object]", places)) - {_DATACENTER}:
            return _failure(400, "datacenter.not_found")
        changed = self.configs.get(pool) != config
        self.configs[pool] = config
        self._connections.pools.add(pool)
        return ApiAnswer(200, {"endpoint_config_changed": changed})

    def _described(self, pool: str) -> dict[str, object]:
        """The config with what the engine adds; the version is None until an envoy of the pool came."""
        versions = [envoy.protocol for envoy in self._connections.all() if envoy.hello.pool == pool]
        normal = {
            "drain_on_version_upgrade": True,
            "actor_eviction_delay": 0,
            "actor_eviction_period": 0,
            "actor_eviction_rate": 1.0,
        }
        config = {"normal": normal, "protocol_version": versions[-1] if versions else None}
        return {"datacenters": {_DATACENTER: config}}


def _failure(status: int, code: str) -> ApiAnswer:
    group, _, rest = code.partition(".")
    return ApiAnswer(status, {"group": group, "code": rest, "message": code})
