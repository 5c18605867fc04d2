from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from rivetkit import Actor, Conn, actor


def stays(request: HTTPConnection) -> bool:
    return request.query_params.get("stay") == "yes"


@actor(can_hibernate_websocket=stays)  # or True, for all of them
class Ticker(Actor):
    conn: Conn[None, int]

    async def create_conn_state(self, params: None) -> int:
        return 0

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        if not websocket.state.restored:
            await websocket.send_text("welcome")
        async for _ in websocket.iter_text():
            self.conn.state += 1
            await websocket.send_text(str(self.conn.state))
