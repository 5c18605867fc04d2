"""Requests to actors' own code, with httpx's requests and responses.

What the actor answers is a response, whatever its status. Errors are raised where no actor answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, cast

import httpx

from rivetkit.client._bounds import bounded
from rivetkit.client._payload import encode_params
from rivetkit.client._retry import nothing_ran, repeat_between_lives
from rivetkit.client._scope import ClientScope
from rivetkit_core.errors import RivetError, error, rebuild
from rivetkit_core.host.port import RawAnswer, RawRequest, Target

T = TypeVar("T")

QueryValue = str | int | float | bool | None
FormFile = str | bytes | tuple[str, str | bytes] | tuple[str, str | bytes, str]

_BASE = "http://actor"


class FetchOptions(TypedDict, total=False):
    """What a request may have besides its path, as in httpx.

    ``query`` is added to that of the path. ``content`` is sent as it is, and read once if it is iterated;
    ``data`` becomes a form, ``json`` JSON, and ``files`` a multipart form.
    """

    method: str
    query: Mapping[str, QueryValue | Sequence[QueryValue]]
    headers: Mapping[str, str] | Sequence[tuple[str, str]]
    content: str | bytes | Iterable[bytes] | AsyncIterable[bytes]
    data: Mapping[str, object]
    json: object
    files: Mapping[str, FormFile]


class Fetching:
    """Sends the requests of one handle.

    A request is sent again while its actor is between two lives, unless its body can be read only once.
    """

    def __init__(self, scope: ClientScope, target: Target, params: object) -> None:
        self._scope = scope
        self._target = target
        self._params = params

    async def whole(self, path: str, timeout: float | None, options: FetchOptions) -> httpx.Response:
        """The whole answer, within ``timeout``."""

        async def exchange() -> httpx.Response:
            request = _request(path, options)
            answer = await self._answer(request)
            response = streamed(request, answer)
            try:
                await response.aread()
            finally:
                await answer.aclose()
            return response

        return await self._bounded(exchange(), timeout)

    async def begun(
        self, path: str, timeout: float | None, options: FetchOptions
    ) -> tuple[httpx.Request, RawAnswer]:
        """A request and its answer, whose head came within ``timeout``. The caller closes the answer."""
        request = _request(path, options)
        return request, await self._bounded(self._answer(request), timeout)

    async def _answer(self, request: httpx.Request) -> RawAnswer:
        raw = _raw(request)

        async def attempt() -> RawAnswer:
            params = await encode_params(self._params)
            answer = await self._scope.access.fetch(self._target, raw, params=params)
            failure = _refusal(answer)
            if failure is not None and nothing_ran(failure, self._target):
                await answer.aclose()
                raise failure
            return answer

        if not isinstance(raw.body, bytes):
            return await attempt()
        scope = self._scope
        return await repeat_between_lives(attempt, self._target, clock=scope.clock, entropy=scope.entropy)

    async def _bounded(self, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        scope = self._scope
        try:
            scope.require_open()
        except RivetError:
            work.close()
            raise
        return await bounded(scope.clock, scope.seconds(timeout), work)


class _Body(httpx.AsyncByteStream):
    """An answer's body as httpx reads it."""

    def __init__(self, answer: RawAnswer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer:
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


def streamed(request: httpx.Request, answer: RawAnswer) -> httpx.Response:
    """A response to be read as it comes."""
    return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), request=request)


def _request(path: str, options: FetchOptions) -> httpx.Request:
    given: dict[str, Any] = dict(options)
    method = given.pop("method", "GET")
    query = given.pop("query", None)
    if not isinstance(cast("object", path), str):
        raise TypeError(f"a path is text, not {path!r}")
    try:
        url = httpx.URL(_BASE + (path if path.startswith("/") else f"/{path}"))
        return httpx.Request(method, url.copy_merge_params(query) if query else url, **given)
    except httpx.InvalidURL as failure:
        raise error("validation.invalid_input", reason=f"path: {failure}") from failure


def _raw(request: httpx.Request) -> RawRequest:
    stream = request.stream
    body = (
        request.read() if isinstance(stream, httpx.SyncByteStream) else cast("AsyncIterable[bytes]", stream)
    )
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    return RawRequest(request.method, request.url.raw_path.decode("ascii"), headers, body)


def _refusal(answer: RawAnswer) -> RivetError | None:
    """The error with which a runtime answered in place of its actor's code."""
    named = next((value for name, value in answer.headers if name == b"x-rivet-error"), None)
    if named is None:
        return None
    group, _, code = named.decode("latin-1").partition(".")
    return rebuild(group, code)
