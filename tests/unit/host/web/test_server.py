"""Binding, and serving with uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.web.asgi import AsgiApp
from rivetkit_core.host.web.http_protocol import MAX_HEAD
from rivetkit_core.host.web.server import Address, ServeError, bind, serve
from tests.unit.host.embedded.fakes import new_host


def _refusal(address: Address) -> str:
    with pytest.raises(ServeError) as caught:
        bind(address).close()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_free_port_is_picked_for_zero() -> None:
    with bind(Address(port=0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert listener.getsockname()[1] > 0


def test_a_port_in_use_is_named() -> None:
    with bind(Address(port=0)) as listener:
        port = listener.getsockname()[1]
        message = _refusal(Address(port=port))
    assert (
        message == f"127.0.0.1:{port} is in use: stop the other program, or choose another port with port=..."
    )


def test_a_port_without_permission_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert _refusal(Address(port=80)).startswith("no permission to listen on 127.0.0.1:80:")


def test_an_unknown_host_says_what_to_do() -> None:
    assert _refusal(Address(host="nowhere.invalid")).startswith("the host name nowhere.invalid is unknown")


def test_an_address_of_another_machine_is_refused() -> None:
    assert _refusal(Address(host="192.0.2.1", port=0)).startswith(
        "192.0.2.1 is not an address of this machine"
    )


@pytest.mark.parametrize("port", [-1, 65_536, 70_000])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    assert _refusal(Address(port=port)).startswith(f"port {port} does not exist")


def test_an_inherited_listening_socket_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        descriptor = os.dup(inherited.fileno())
        with bind(Address(fd=descriptor)) as listener:
            assert listener.getsockname() == inherited.getsockname()


def test_a_descriptor_that_does_not_exist_is_refused() -> None:
    assert _refusal(Address(fd=9999)).startswith("file descriptor 9999 cannot be listened on:")


def test_a_descriptor_that_is_no_listening_socket_is_refused_and_left_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert "is not a listening socket" in _refusal(Address(fd=ours.fileno()))
        ours.send(b"still open")


@contextlib.asynccontextmanager
async def _served(app: AsgiApp, finished: list[str]) -> AsyncGenerator[str]:
    listener = bind(Address(port=0))
    ready = asyncio.Event()

    async def finish() -> None:
        finished.append("finish")

    serving = asyncio.create_task(
        serve(app, listener, finish=finish, handle_signals=False, on_ready=ready.set)
    )
    await ready.wait()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_finish_runs_once_when_serving_is_cancelled() -> None:
    finished: list[str] = []
    async with _served(GatewayApp(new_host()), finished):
        assert finished == []
    assert finished == ["finish"]


async def test_a_failing_finish_is_the_servers_failure() -> None:
    async def finish() -> None:
        raise ServeError("could not save")

    listener = bind(Address(port=0))
    ready = asyncio.Event()
    serving = asyncio.create_task(
        serve(GatewayApp(new_host()), listener, finish=finish, handle_signals=False, on_ready=ready.set)
    )
    await ready.wait()
    serving.cancel()
    with pytest.raises(ServeError, match="could not save"):
        await serving


async def test_a_host_that_is_not_open_says_so() -> None:
    async with _served(GatewayApp(new_host()), []) as address, httpx.AsyncClient(trust_env=False) as http:
        for path in ("gateway/a/health", "actors?namespace=default&name=note"):
            answer = await http.get(f"http://{address}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (503, "shut_down")
        assert (await http.get(f"http://{address}/health")).status_code == 200


async def test_tokens_in_urls_do_not_get_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with _served(GatewayApp(new_host()), []) as address:
        url = f"ws://{address}/gateway/a@hunter2/connect"
        async with connect(url, subprotocols=[Subprotocol("rivet")], proxy=None) as client:
            await client.wait_closed()
    server_lines = [record for record in caplog.records if record.name.startswith("uvicorn")]
    assert not any("hunter2" in record.getMessage() for record in server_lines)


async def test_signal_handlers_are_put_back_where_the_loop_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_number: int, _callback: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)
    before = signal.getsignal(signal.SIGTERM)
    finished = asyncio.Event()

    async def finish() -> None:
        finished.set()

    serving = asyncio.create_task(
        serve(
            GatewayApp(new_host()),
            bind(Address(port=0)),
            finish=finish,
            on_ready=lambda: signal.raise_signal(signal.SIGTERM),
        )
    )
    await serving
    assert finished.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_request_head_without_end_is_cut_off() -> None:
    async with _served(GatewayApp(new_host()), []) as address, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(b"GET /health HTTP/1.1\r\nx-long: " + b"a" * MAX_HEAD)
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()


async def test_requests_after_each_other_do_not_add_up_to_a_long_head() -> None:
    headers = {"x-filler": "a" * 200_000}
    async with (
        _served(GatewayApp(new_host()), []) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
    ):
        answers = [await http.get("/health", headers=headers) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 8
