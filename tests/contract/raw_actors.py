"""Actors that answer raw requests and websockets with code of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

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


@actor(name="socketeer")
class Socketeer(Actor):
    """Talks over raw websockets."""

    state: list[str]
    conn: Conn[object, None]

    @action
    async def heard(self) -> list[str]:
        return self.state

    @action
    async def sockets(self) -> int:
        return len(self.ctx.conns) - 1  # without the one that asks

    @action
    async def kick(self, reason: str) -> None:
        for conn in self.ctx.conns:
            if conn is not self.conn:
                await conn.disconnect(reason)

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    @action
    async def bye(self) -> None:
        await self.ctx.destroy()

    async def on_before_connect(self, params: object) -> None:
        if params == "intruder":
            raise UserError("go away", code="intruder")

    async def on_disconnect(self, conn: Conn[object, None]) -> None:
        current.probe.disconnected.set()

    async def on_websocket(self, websocket: WebSocket) -> None:
        match websocket.url.path:
            case "/websocket/echo":
                await self._echo(websocket)
            case "/websocket/about":
                await websocket.accept()
                await websocket.send_json(
                    [
                        websocket.url.path,
                        dict(websocket.query_params),
                        websocket.scope["subprotocols"],
                        self.conn.params,
                        len(self.ctx.conns),
                    ]
                )
            case "/websocket/reject":
                await websocket.close(4403, "not you")
            case "/websocket/crash":
                raise RuntimeError("secret")
            case "/websocket/refuse":
                await websocket.accept()
                raise UserError("no", code="no")
            case "/websocket/deaf":
                await websocket.accept()
                await self._wait_deaf()
            case "/websocket/journal":
                await self._journal(websocket)
            case _:
                pass

    async def _echo(self, websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            message = await websocket.receive()
            match message:
                case {"type": "websocket.receive", "text": str(text)}:
                    await websocket.send_text(text)
                case {"type": "websocket.receive", "bytes": bytes(data)}:
                    await websocket.send_bytes(data)
                case _:
                    self.state.append(f"{message['code']} {message.get('reason', '')}".strip())
                    current.probe.ended.set()
                    return

    async def _journal(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                text = await websocket.receive_text()
                if text == "wait":
                    current.probe.entered.set()
                    await current.probe.gate.wait()
                self.state.append(text)
                await websocket.send_text(f"noted {len(self.state)}")
        except WebSocketDisconnect as gone:
            self.state.append(f"left {gone.code}")
            current.probe.ended.set()
            raise

    async def _wait_deaf(self) -> None:
        current.probe.entered.set()
        try:
            await current.probe.gate.wait()
        finally:
            current.probe.ended.set()


def _asks_to_stay(request: HTTPConnection) -> bool:
    return request.query_params.get("stay") == "yes"


@actor(name="parlour", can_hibernate_websocket=_asks_to_stay)
class Parlour(Actor):
    """Keeps raw websockets open while it sleeps, if they ask for it."""

    state: list[str]
    conn: Conn[object, int]

    async def create_conn_state(self, params: object) -> int:
        return 0

    async def on_connect(self, conn: Conn[object, int]) -> None:
        if conn.params is not None:
            self.state.append("came")

    async def on_disconnect(self, conn: Conn[object, int]) -> None:
        if conn.params is not None:
            self.state.append(f"left after {conn.state}")
            current.probe.disconnected.set()

    async def on_sleep(self) -> None:
        current.probe.asleep.set()

    @action
    async def log(self) -> list[str]:
        return self.state

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        if not websocket.state.restored:
            await websocket.send_text("welcome")
        try:
            async for text in websocket.iter_text():
                if text == "wait":
                    current.probe.entered.set()
                    await current.probe.gate.wait()
                self.conn.state += 1
                told = [text, self.conn.id, self.conn.params, self.conn.state, self.ctx.generation]
                await websocket.send_json([*told, websocket.query_params["stay"]])
        finally:
            self.state.append(f"handler of {self.ctx.generation} ended")


@actor(name="silent")
class Silent(Actor):
    """Answers nothing raw."""

    @action
    async def ping(self) -> str:
        return "pong"


class Item(BaseModel):
    name: str
    price: float


@actor(name="shop")
class Shop(Actor):
    """Answers with a whole application."""

    state: dict[str, Item]
    conn: Conn[object, None]

    @action
    async def names(self) -> list[str]:
        return list(self.state)

    async def create_app(self) -> FastAPI:
        app = FastAPI()
        current.probe.starts += 1

        @app.put("/items/{name}")
        async def put(name: str, item: Item) -> Item:
            self.state[name] = item
            return item

        @app.get("/items/{name}")
        async def get(name: str) -> Item:
            if name not in self.state:
                raise HTTPException(404, "no such item")
            return self.state[name]

        @app.get("/crash")
        async def crash() -> None:
            raise RuntimeError("secret")

        @app.websocket("/live")
        async def live(websocket: WebSocket) -> None:
            await websocket.accept()
            async for name in websocket.iter_text():
                await websocket.send_json({"known": name in self.state})

        del put, get, crash, live  # the application has them
        return app


RAW_CLASSES: tuple[type[Actor], ...] = (Site, Socketeer, Parlour, Silent, Shop)
