from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel
from starlette.websockets import WebSocket

from rivetkit import Actor


class Item(BaseModel):
    name: str
    count: int = 0


class Inventory(Actor):
    state: dict[str, Item]

    async def create_app(self) -> FastAPI:
        app = FastAPI(title="Inventory")
        app.add_api_route("/items/{name}", self.item)
        app.add_api_route("/items/{name}", self.put, methods=["PUT"])
        app.add_api_websocket_route("/live", self.live)
        return app

    async def item(self, name: str) -> Item:
        if name not in self.state:
            raise HTTPException(404, "no such item")
        return self.state[name]

    async def put(self, name: str, count: Annotated[int, Query(ge=0)]) -> Item:
        self.state[name] = Item(name=name, count=count)
        return self.state[name]

    async def live(self, websocket: WebSocket) -> None:
        await websocket.accept()
        async for name in websocket.iter_text():
            await websocket.send_json({"known": name in self.state})
