from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket

from rivetkit import Actor, Event


class Guestbook(Actor):
    state: list[str]

    signed = Event[str]()

    async def on_request(self, request: Request) -> Response:
        match request.method, request.url.path:
            case "GET", "/":
                return HTMLResponse("".join(f"<p>{name}" for name in self.state))
            case "POST", "/names":
                name = (await request.body()).decode()
                self.state.append(name)
                self.signed.broadcast(name)
                return JSONResponse({"guests": len(self.state)}, status_code=201)
            case "GET", "/export":
                return StreamingResponse(self._lines(), media_type="text/csv")
            case _:
                return Response(status_code=404)

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        async for prefix in websocket.iter_text():
            await websocket.send_json([name for name in self.state if name.startswith(prefix)])

    async def _lines(self) -> AsyncIterator[str]:
        for name in self.state:
            yield f"{name}\n"
