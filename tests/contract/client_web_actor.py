"""An actor that answers raw requests and websockets, for what clients must do alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.websockets import WebSocket

from rivetkit import Actor, Conn, UserError, action, actor


@actor(name="web", shutdown_grace_period=0.2)
class Web(Actor):
    state: int = 0
    conn: Conn[object, None]

    @action
    async def requests(self) -> int:
        return self.state

    @action
    async def ask(self, key: str) -> str:
        """The answer of another one, from inside."""
        response = await self.ctx.client.get_or_create(Web, key).fetch("/hello")
        return response.text

    async def on_request(self, request: Request) -> Response:
        self.state += 1
        match request.url.path:
            case "/hello":
                return PlainTextResponse("hello")
            case "/echo":
                return await self._echo(request)
            case "/upload":
                sizes = [len(chunk) async for chunk in request.stream()]
                return PlainTextResponse(str(sum(sizes)))
            case "/form":
                form = await request.form()
                return JSONResponse({name: str(value) for name, value in form.items()})
            case "/refuse":
                raise UserError("no", code="nope")
            case "/numbers":
                return StreamingResponse(_numbers(int(request.query_params["count"])))
            case "/wait":
                await asyncio.Event().wait()
            case _:
                pass
        return PlainTextResponse("nothing here", 404)

    async def _echo(self, request: Request) -> Response:
        told = [
            request.method,
            str(request.url.query),
            request.headers.get("x-asked"),
            request.headers.get("content-type"),
            (await request.body()).decode(),
            self.conn.params,
        ]
        return JSONResponse(told)

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(
            [str(websocket.url.path), websocket.url.query, websocket.scope["subprotocols"], self.conn.params]
        )
        while True:
            message = await websocket.receive()
            match message:
                case {"text": "close"}:
                    await websocket.close(4001, "as you say")
                case {"text": "leave"}:
                    return
                case {"text": "crash"}:
                    raise RuntimeError("secret")
                case {"text": str(text)}:
                    await websocket.send_text(text)
                case {"bytes": bytes(data)}:
                    await websocket.send_bytes(data)
                case _:
                    return


async def _numbers(count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield f"{number}\n"
