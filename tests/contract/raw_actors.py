"""Actors that answer raw requests and websockets with code of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from rivetkit import Actor, Conn, UserError, action, actor
from tests.contract.probe import current


@actor(name="site", on_request_timeout=5.0)
class Site(Actor):
    """Answers requests of many kinds."""

    state: int = 0
    conn: Conn[object, None]

    @action
    async def visits(self) -> int:
        return self.state

    @action
    async def whoami(self) -> list[object]:
        return [self.ctx.actor_id, list(self.ctx.key), self.ctx.generation]

    async def on_before_connect(self, params: object) -> None:
        if params == "intruder":
            raise UserError("go away", code="intruder")

    async def on_request(self, request: Request) -> ASGIApp:
        self.state += 1
        match request.url.path:
            case "/echo":
                return await self._echo(request)
            case "/upload":
                sizes = [len(chunk) async for chunk in request.stream()]
                return JSONResponse({"bytes": sum(sizes), "chunks": len(sizes)})
            case "/stream":
                return StreamingResponse(self._parts(), media_type="text/plain")
            case "/big":
                return Response(b"x" * int(request.query_params["size"]))
            case "/status":
                status = int(request.query_params["code"])
                return Response(status_code=status, headers={"x-own": "yes"})
            case "/refuse":
                raise UserError("not today", code="no", metadata={"why": "tired"})
            case "/crash":
                raise RuntimeError("secret")
            case "/half":
                return StreamingResponse(self._broken())
            case "/none":
                return None  # pyright: ignore[reportReturnType]  # what an author may forget
            case "/hold":
                current.probe.entered.set()
                await current.probe.gate.wait()
                return PlainTextResponse("held")
            case "/behind":
                return PlainTextResponse("now", background=BackgroundTask(self._behind))
            case _:
                return PlainTextResponse("nothing here", status_code=404)

    async def _echo(self, request: Request) -> Response:
        told = {
            "method": request.method,
            "path": request.url.path,
            "query": dict(request.query_params),
            "header": request.headers.get("x-asked"),
            "body": (await request.body()).decode(),
            "params": self.conn.params,
            "conns": len(self.ctx.conns),
        }
        return JSONResponse(told)

    async def _parts(self) -> AsyncIterator[bytes]:
        yield b"first"
        try:
            current.probe.entered.set()
            await current.probe.gate.wait()
            yield b"second"
        finally:
            current.probe.ended.set()

    async def _broken(self) -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("secret")

    async def _behind(self) -> None:
        current.probe.entered.set()
        await current.probe.gate.wait()
        self.state += 100


RAW_CLASSES: tuple[type[Actor], ...] = (Site,)
