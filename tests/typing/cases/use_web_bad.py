"""Negative cases of raw requests and websockets."""

from __future__ import annotations

from app import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from rivetkit import Actor, actor
from rivetkit.client import Client, SyncClient


class Wrong(Actor):
    async def on_request(self, request: Request) -> str:  # E: text is no response
        return "hello"

    async def on_websocket(self, websocket: str) -> None:  # E: a hook is given a websocket
        pass


class Empty(Actor):
    async def on_request(self, request: Request) -> None:  # E: nothing is no response
        pass

    async def on_websocket(self, websocket: WebSocket, path: str) -> None:  # E: one argument too many
        pass

    async def create_app(self) -> str:  # E: text is no application
        return "app"


class Blocking(Actor):
    def on_request(self, request: Request) -> Response:  # E: hooks are async
        return Response()


@actor(on_request_timeout="5")  # E: seconds are a number
class Late(Actor):
    pass


def by_path(path: str) -> bool:
    return path == "/stay"


@actor(can_hibernate_websocket=by_path)  # E: it is given the request
class Staying(Actor):
    pass


async def bad_requests(client: Client) -> None:
    counter = client.get_or_create(Counter, "a")
    await counter.fetch(7)  # E: a path is text
    await counter.fetch("/a", "POST")  # E: options have names
    await counter.fetch("/a", verb="POST")  # E: there is no such option
    await counter.fetch("/a", params={"q": 1})  # E: the query is called query
    await counter.stream("/a")  # E: a stream is entered, not awaited
    with counter.stream("/a"):  # E: a stream of an asynchronous client
        pass
    async with counter.websocket(protocols="chat", path="/a"):  # E: the path has no name
        pass
    async with counter.websocket("/a") as socket:
        await socket.send(7)  # E: messages are text or bytes
        text: str = await socket.receive()  # E: it may be bytes
        print(text)


def bad_blocking_requests(client: SyncClient) -> None:
    counter = client.get_or_create(Counter, "a")
    print(counter.fetch("/a").text.nope)  # E: responses have no such attribute
    counter.websocket("/a").send({"a": 1})  # E: messages are text or bytes
