"""Positive cases of raw requests and websockets."""

from __future__ import annotations

from typing import assert_type

import httpx
from app import Counter
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from rivetkit import Actor, ActorWebSocket, SyncActorWebSocket, actor
from rivetkit.client import Client, SyncClient


@actor(on_request_timeout=5.0)
class Plain(Actor):
    async def on_request(self, request: Request) -> Response:
        return JSONResponse({"path": request.url.path})

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()


@actor(can_hibernate_websocket=lambda request: "stay" in request.query_params)
class Staying(Actor):
    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()


class Streaming(Actor):
    async def on_request(self, request: Request) -> StreamingResponse:
        return StreamingResponse(iter([b"a"]))


class Mixed(Actor):
    async def on_request(self, request: Request) -> ASGIApp:
        return Starlette() if request.method == "GET" else Response()


class Application(Actor):
    async def create_app(self) -> FastAPI:
        return FastAPI()


async def good_requests(client: Client) -> None:
    counter = client.get_or_create(Counter, "a")
    response = await counter.fetch("/a", method="POST", query={"q": [1, "two"]}, json={"a": 1}, timeout=3.0)
    assert_type(response, httpx.Response)
    await counter.fetch(content=b"bytes", headers=[("a", "b")], method="PUT")
    await counter.fetch(files={"f": ("name", b"data", "text/plain")})
    async with counter.stream("/events") as streamed:
        assert_type(streamed, httpx.Response)
    async with counter.websocket("/live", protocols=["chat"]) as socket:
        assert_type(socket, ActorWebSocket)
        await socket.send("text")
        await socket.send(b"bytes")
        assert_type(await socket.receive(), str | bytes)
        async for message in socket:
            assert_type(message, str | bytes)


def good_blocking_requests(client: SyncClient) -> None:
    counter = client.get_or_create(Counter, "a")
    assert_type(counter.fetch("/a"), httpx.Response)
    with counter.stream("/a") as streamed:
        assert_type(streamed, httpx.Response)
    with counter.websocket() as socket:
        assert_type(socket, SyncActorWebSocket)
        for message in socket:
            assert_type(message, str | bytes)
