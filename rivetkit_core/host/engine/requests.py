"""One JSON request to the engine and what may come of it (envoy-protocol 2.1).

Refusals become ``RivetError`` with the engine's own group, code, message and metadata. Knows no resource.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import httpx

from rivetkit_core.clock import Clock, within
from rivetkit_core.errors import ProtocolError, RivetError, error, rebuild
from rivetkit_core.host.engine.resources import Json
from rivetkit_core.wire.gateway_url import manager_url

REQUEST_TIMEOUT = 15.0
"""Seconds for one request, unless its caller says otherwise."""

_TRANSIENT = frozenset({404, 429})


class EngineRequests:
    """A kept-alive connection to one engine; ``token`` travels in a header."""

    def __init__(
        self,
        endpoint: str,
        *,
        clock: Clock,
        token: str | None,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=endpoint.startswith(
                "https:"
            ),  # reading certificates takes 20 ms and plain HTTP needs none
            timeout=None,  # noqa: S113 - bounded in call, with the injected clock
            headers={} if token is None else {"authorization": f"Bearer {token}"},
            trust_env=False,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        content: Json | None = None,
        timeout: float | None = None,
    ) -> object:
        """The decoded answer. Cancelled or timed out, the request may have taken effect.

        Raises:
            RivetError: ``engine.unreachable`` for no connection and no answer in time; the engine's refusal;
                ``engine.unexpected_answer`` for a refusal that says no reason.
            ProtocolError: The answer is not JSON.
        """
        bound = self._timeout if timeout is None else timeout
        url = manager_url(self._endpoint, path, query)
        try:
            response = await within(
                self._clock,
                bound,
                self._http.request(method, url, json=content),
                lambda: self._unreachable(f"no answer to {method} {path} within {bound:g} s"),
            )
            response.raise_for_status()
        except httpx.HTTPStatusError as failure:
            raise _refusal(failure.response) from failure
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise self._unreachable(str(failure) or type(failure).__name__) from failure
        return _decoded(response)

    def _unreachable(self, reason: str) -> RivetError:
        return error("engine.unreachable", endpoint=self._endpoint, reason=reason)


def may_pass(failure: RivetError) -> bool:
    """Whether a failed request may succeed later: the engine is still starting, or busy.

    A namespace that does not exist stays so: the one called ``default`` is there from the first moment.
    """
    if failure.group == "namespace":
        return False
    cause = failure.__cause__
    if isinstance(cause, httpx.HTTPStatusError):
        status = cause.response.status_code
        return status in _TRANSIENT or status >= 500 or failure.code == "not_found"
    return (failure.group, failure.code) == ("engine", "unreachable")


def nobody_listens(failure: RivetError) -> bool:
    """Whether a request failed because its connection was refused."""
    return isinstance(failure.__cause__, httpx.ConnectError)


def _refusal(response: httpx.Response) -> RivetError:
    """The error in the body of an answer; any other server's answer is told by its status."""
    try:
        body: object = response.json()
    except ValueError:
        body = None
    if isinstance(body, Mapping):
        fields = cast("Json", body)
        group, code, message = fields.get("group"), fields.get("code"), fields.get("message")
        if isinstance(group, str) and isinstance(code, str):
            shown = message if isinstance(message, str) else None
            return rebuild(group, code, shown, fields.get("metadata"))
    return error("engine.unexpected_answer", status=response.status_code, path=response.request.url.path)


def _decoded(response: httpx.Response) -> object:
    try:
        return cast("object", response.json())
    except ValueError as failure:
        raise ProtocolError("not JSON", label="the engine's answer") from failure
